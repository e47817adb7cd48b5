/* linux.c: platform.h on Linux, with any libc. */
#define _GNU_SOURCE
/* In glibc 2.34 to 2.36 the fortified ppoll takes a time of 64 bits for one of 32, which then is 0:
 * each wait would end at once (systemd/systemd#25176). */
#ifndef __LP64__
#undef _FORTIFY_SOURCE
#endif
#include "platform/platform.h"

#include "base/clock.h"
#include "base/descriptors.h"
#include "base/text.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <ifaddrs.h>
#include <limits.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/timerfd.h>
#include <sys/utsname.h>
#include <unistd.h>

#define SCORE_MAX 1000 /* OOM_SCORE_ADJ_MAX (linux/oom.h) */

/* In private memory, for it is written to between forks: each page that the parent writes to after
 * a fork costs a fault, and so would snprintf, deep in the stack. */
static struct score {
    int file;
    int own, next; /* the parent's value, and that of the next child */
    char own_text[16], next_text[16];
} *score;

static void put_score(char *text, int value)
{
    struct text room = text_in(text, sizeof score->own_text);

    text_add(&room, value < 0 ? "-" : "");
    text_add_number(&room, (unsigned)abs(value));
}

static void set_score(const char *text)
{
    (void)!write(score->file, text, strlen(text));
}

static pid_t plain_fork(void)
{
#ifdef HAVE__FORK
    return _Fork();
#else
    return fork();
#endif
}

void platform_reset_environment(char **argv)
{
    while (*argv != NULL)
        argv++;
    environ = argv + 1; /* the kernel puts one behind the other */
}

bool platform_runs(const char *path)
{
    char running[PATH_MAX]; /* not stat of the link, which valgrind and qemu do not translate */
    ssize_t length = readlink("/proc/self/exe", running, sizeof running - 1);
    struct stat named, executed;

    running[length > 0 ? length : 0] = '\0';
    return stat(path, &named) == 0 &&
           stat(length > 0 ? running : (const char *)getauxval(AT_EXECFN), &executed) == 0 &&
           named.st_dev == executed.st_dev && named.st_ino == executed.st_ino;
}

pid_t platform_fork(void)
{
    pid_t pid;

    if (score == NULL)
        return plain_fork();
    put_score(score->next_text, score->next);
    score->next = score->next > score->own + 1 ? score->next - 1 : SCORE_MAX;
    set_score(score->next_text);
    pid = plain_fork();
    if (pid != 0) {
        int error = errno;
        set_score(score->own_text);
        if (pid == -1) /* not else: it lies in a page that a child then shares */
            errno = error;
    }
    return pid;
}

/* A program that may not be read (mode 711) is not traceable, and this file root's: see open. */
static int open_score(void)
{
    const char path[] = "/proc/self/oom_score_adj";
    int file = open(path, O_RDWR | O_CLOEXEC), traceable = prctl(PR_GET_DUMPABLE, 0, 0, 0, 0);

    if (file == -1 && traceable == 0 && prctl(PR_SET_DUMPABLE, 1, 0, 0, 0) == 0) {
        file = open(path, O_RDWR | O_CLOEXEC);
        (void)prctl(PR_SET_DUMPABLE, 0, 0, 0, 0);
    }
    return file;
}

int platform_prefer_children(int file)
{
    char text[16] = "";
    long own;

    file = file == -1 ? open_score() : file;
    if (file == -1)
        return -1;
    own = pread(file, text, sizeof text - 1, 0) > 0 ? strtol(text, NULL, 10) : SCORE_MAX;
    if (own >= SCORE_MAX || (score = platform_private_memory(sizeof *score)) == NULL)
        return descriptors_close_failed(file);
    *score = (struct score){.file = file, .own = (int)own, .next = SCORE_MAX};
    put_score(score->own_text, score->own);
    return file;
}

void *platform_private_memory(size_t size)
{
    void *memory = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

    /* What madvise fails on is not given back: whoever gets NULL ends. */
    return memory != MAP_FAILED && madvise(memory, size, MADV_DONTFORK) == 0 ? memory : NULL;
}

/* Whether a line of proc(5)'s maps names what a child that only makes system calls can do without.
 * A static glibc has the thread's own memory, which every call needs, in the heap. */
static bool is_dispensable(const char *line, uintptr_t start, uintptr_t end)
{
    const uintptr_t thread = (uintptr_t)&errno;

    if (strstr(line, " [heap]\n") != NULL)
        return thread < start || thread >= end;
#if defined(__i386__)
    return false; /* there libc makes each system call through the vdso */
#endif
    return strstr(line, " [vvar") != NULL || strstr(line, " [vdso]\n") != NULL;
}

void platform_withhold_memory(void)
{
    enum { MAPPINGS = 16 };
    uintptr_t starts[MAPPINGS], ends[MAPPINGS];
    size_t count = 0, programs = 0;
    char line[256];
    FILE *file = fopen("/proc/self/maps", "re");

    while (file != NULL && count < MAPPINGS && fgets(line, sizeof line, file) != NULL) {
        char *dash;
        programs += strstr(line, " r-xp ") != NULL && strchr(line, '/') != NULL;
        starts[count] = (uintptr_t)strtoull(line, &dash, 16);
        ends[count] = (uintptr_t)strtoull(dash + 1, NULL, 16);
        count += is_dispensable(line, starts[count], ends[count]);
    }
    if (file != NULL)
        fclose(file);
    /* Only now: reading the list must not change it. A refusal costs speed and nothing else. */
    for (size_t i = 0; programs == 1 && i < count; i++)
        (void)madvise((void *)starts[i], ends[i] - starts[i], MADV_DONTFORK);
}

/* Reads the beginning of a file of /proc or /sys into `text`. Returns whether there is any. */
static bool read_text(const char *path, char *text, size_t size)
{
    FILE *file = fopen(path, "re");
    size_t used = file != NULL ? fread(text, 1, size - 1, file) : 0;

    if (file != NULL)
        fclose(file);
    text[used] = '\0';
    return used > 0;
}

/* Reads the fields of /proc/self/stat from the third to before `count`, by number (proc(5)). */
static bool read_stat(unsigned long long *fields, int count)
{
    char text[1024], *at;

    (void)read_text("/proc/self/stat", text, sizeof text);
    at = strrchr(text, ')'); /* the end of the name, in which anything may stand */
    for (int field = 3; at != NULL && field < count; field++)
        if ((at = strchr(at + 1, ' ')) != NULL)
            fields[field] = strtoull(at + 1, NULL, 10);
    return at != NULL;
}

int platform_show_title(char *area, size_t size)
{
    enum { START_CODE = 26, END_CODE, START_STACK, START_DATA = 45, END_DATA, START_BRK,
           ENV_START = 50, ENV_END, FIELDS };
    static unsigned long long fields[FIELDS]; /* read once: a chroot puts /proc out of reach */
    static bool known;
    union {
        struct prctl_mm_map own;
        uint32_t words[26];
    } map;

    known = known || read_stat(fields, FIELDS);
    if (!known)
        return -1;
    map.own = (struct prctl_mm_map){
        .start_code = fields[START_CODE], .end_code = fields[END_CODE],
        .start_data = fields[START_DATA], .end_data = fields[END_DATA],
        .start_brk = fields[START_BRK], .brk = (uintptr_t)sbrk(0),
        .start_stack = fields[START_STACK],
        .arg_start = (uintptr_t)area, .arg_end = (uintptr_t)area + size,
        .env_start = fields[ENV_START], .env_end = fields[ENV_END], .exe_fd = (unsigned)-1};
    area[size - 1] = '.'; /* as it is no NUL, the kernel takes the area for one text, not a list */
    if (prctl(PR_SET_MM, PR_SET_MM_MAP, &map, sizeof map.own, 0) == 0)
        return 0;
    /* A 64-bit kernel has the map of a 32-bit program as its own: its pointer is longer by a word. */
    map.own.exe_fd = 0;
    map.words[25] = (uint32_t)-1;
    return prctl(PR_SET_MM, PR_SET_MM_MAP, &map, sizeof map.words, 0);
}

int platform_anonymous_file(void)
{
    return (int)syscall(SYS_memfd_create, "forkecho", 3U /* MFD_CLOEXEC, MFD_ALLOW_SEALING */);
}

int platform_sealed_file(size_t size)
{
    int file = platform_anonymous_file();

    return file == -1 || (ftruncate(file, (off_t)size) == 0 &&
                          fcntl(file, F_ADD_SEALS, F_SEAL_GROW) == 0)
               ? file
               : descriptors_close_failed(file);
}

/* Headers before Linux 6.16 lack it, and two architectures number their options otherwise. */
#ifndef SO_PASSRIGHTS
#if defined __sparc__ || defined __hppa__
#define SO_PASSRIGHTS (-1)
#else
#define SO_PASSRIGHTS 83
#endif
#endif

void platform_refuse_rights(int listener)
{
    int passed = 0;

    (void)setsockopt(listener, SOL_SOCKET, SO_PASSRIGHTS, &passed, sizeof passed);
}

bool platform_refuses_rights(int descriptor)
{
    int passed = 1;
    socklen_t size = sizeof passed;

    return getsockopt(descriptor, SOL_SOCKET, SO_PASSRIGHTS, &passed, &size) == 0 && passed == 0;
}

uid_t platform_peer_user(int descriptor, gid_t *group, pid_t *process)
{
    struct ucred peer = {.uid = 0};
    socklen_t size = sizeof peer;

    (void)getsockopt(descriptor, SOL_SOCKET, SO_PEERCRED, &peer, &size);
    if (group != NULL)
        *group = peer.gid;
    if (process != NULL)
        *process = peer.pid;
    return peer.uid;
}

bool platform_waits_by_pid(void)
{
    struct utsname system;
    char *end;
    long first, second;

    if (uname(&system) == -1)
        return false;
    first = strtol(system.release, &end, 10);
    second = *end == '.' ? strtol(end + 1, NULL, 10) : 0;
    return first > 5 || (first == 5 && second >= 13);
}

/* The kernel probes a client that takes nothing after 0.2 s, then after twice as long each time,
 * and looks at TCP_USER_TIMEOUT only then. So many probes are out after 12.6 s, and the next comes
 * 12.8 s later: such a client has had its time, and is reset. */
#define PROBED_OFTEN 6

void platform_give_up_after(int descriptor, double seconds)
{
    const struct linger at_once = {.l_onoff = 1, .l_linger = 0};
    unsigned milliseconds = (unsigned)(seconds * 1000);
    struct tcp_info info = {0};
    socklen_t size = sizeof info;

    if (getsockopt(descriptor, IPPROTO_TCP, TCP_INFO, &info, &size) == 0 &&
        info.tcpi_backoff >= PROBED_OFTEN)
        (void)setsockopt(descriptor, SOL_SOCKET, SO_LINGER, &at_once, sizeof at_once);
    else
        (void)setsockopt(descriptor, IPPROTO_TCP, TCP_USER_TIMEOUT, &milliseconds,
                         sizeof milliseconds);
}

bool platform_has_family(int family)
{
    struct ifaddrs *list;
    bool found = false;

    if (getifaddrs(&list) == -1)
        return false;
    for (const struct ifaddrs *each = list; each != NULL; each = each->ifa_next)
        found = found || (each->ifa_addr != NULL && each->ifa_addr->sa_family == family);
    freeifaddrs(list);
    return found;
}

/* Closes those that /proc lists. Not by opendir(3), which allocates, as a child cannot where its
 * heap is withheld. Returns whether it could. */
static bool close_listed(int lowest)
{
    _Alignas(uint64_t) char entries[1024]; /* getdents64(2): a size is at 16, the name at 19 */
    int list = open("/proc/self/fd", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    long size = -1;

    while (list != -1 && (size = syscall(SYS_getdents64, list, entries, sizeof entries)) > 0)
        for (long at = 0; at < size; at += *(unsigned short *)(entries + at + 16)) {
            int descriptor = (int)strtol(entries + at + 19, NULL, 10); /* of "." and ".." 0 */
            if (descriptor >= lowest && descriptor != list)
                close(descriptor);
        }
    if (list != -1)
        close(list);
    return size == 0;
}

/* By libc's function where it has one, which touches no page more in a child. */
void platform_close_from(int lowest)
{
#if defined(CLOSE_RANGE_UNSHARE) /* glibc 2.34 */
    if (close_range((unsigned)lowest, INT_MAX, 0) == 0)
        return;
#elif defined(SYS_close_range)
    if (syscall(SYS_close_range, (unsigned)lowest, INT_MAX, 0) == 0)
        return;
#endif
    /* Linux before 5.9, or a sandbox that forbids it. */
    if (!close_listed(lowest))
        descriptors_close_from(lowest);
}

int platform_poll(struct pollfd *polls, nfds_t count, double seconds, const sigset_t *mask)
{
    struct timespec limit = clock_timespec(seconds);

    return ppoll(polls, count, seconds < 0 ? NULL : &limit, mask);
}

int platform_set_groups(size_t count, const gid_t *groups)
{
    return setgroups(count, groups);
}

int platform_change_root(const char *path)
{
    return chroot(path);
}

void platform_forbid_privileges(void)
{
    /* capset(2), of which libc declares nothing: the third version and pid 0; no capability, twice
     * 32 of them effective, permitted and inheritable. */
    const uint32_t header[] = {0x20080522, 0}, none[6] = {0};

    if (geteuid() != 0) {
        (void)prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0);
        (void)syscall(SYS_capset, header, none);
    }
    (void)prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
}

bool platform_is_untraceable(void)
{
    return prctl(PR_GET_DUMPABLE, 0, 0, 0, 0) != 1;
}

void platform_forbid_tracing(void)
{
    (void)prctl(PR_SET_DUMPABLE, 0, 0, 0, 0);
}

void platform_signal_when_orphaned(int number)
{
    (void)prctl(PR_SET_PDEATHSIG, number, 0, 0, 0);
}

int platform_timer(void)
{
    return timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC);
}

void platform_timer_set(int timer, double seconds)
{
    struct itimerspec setting = {.it_value = clock_timespec(seconds)};

    timerfd_settime(timer, 0, &setting, NULL);
}

/* The number in a file; NO_LIMIT where there is none, or the word "max". */
#define NO_LIMIT ULLONG_MAX
static unsigned long long read_limit(const char *path)
{
    char text[32] = "";

    return read_text(path, text, sizeof text) && text[0] != 'm' ? strtoull(text, NULL, 10)
                                                                 : NO_LIMIT;
}

/* Of a control group and those that it is in, up to `top`: the limit on processes that leaves the
 * least room, which may be that of any of them. */
static void find_least_room(const char *top, const char *group, unsigned long long *room,
                            unsigned long long *limit)
{
    char path[512], file[sizeof path + sizeof "/pids.current"];
    unsigned long long most, used;

    snprintf(path, sizeof path, "%s%.*s", top, (int)strcspn(group, "\n"), group);
    for (char *end = path; end != NULL && strlen(path) >= strlen(top);) {
        snprintf(file, sizeof file, "%s/pids.max", path);
        most = read_limit(file);
        snprintf(file, sizeof file, "%s/pids.current", path);
        used = read_limit(file);
        used = used == NO_LIMIT ? 0 : used < most ? used : most;
        if (most != NO_LIMIT && most - used < *room) {
            *room = most - used;
            *limit = most;
        }
        if ((end = strrchr(path, '/')) != NULL)
            *end = '\0';
    }
}

/* The pids limit that holds for us (cgroups(7)): in version 2, whose line in the list begins with
 * 0::, in version 1, where another names the controller, or in both. */
static unsigned long long group_limit(void)
{
    unsigned long long room = NO_LIMIT, limit = NO_LIMIT;
    char groups[4096];
    const char *own;

    (void)read_text("/proc/self/cgroup", groups, sizeof groups);
    if ((own = strstr(groups, "0::/")) != NULL) {
        find_least_room("/sys/fs/cgroup", own + strlen("0::"), &room, &limit);
        find_least_room("/sys/fs/cgroup/unified", own + strlen("0::"), &room, &limit);
    }
    if ((own = strstr(groups, "pids:/")) != NULL)
        find_least_room("/sys/fs/cgroup/pids", own + strlen("pids:"), &room, &limit);
    return limit;
}

void platform_process_limits(char *text, size_t size)
{
    struct rlimit user = {.rlim_cur = RLIM_INFINITY};
    struct {
        unsigned long long value;
        const char *name, *where; /* it can be changed */
    } limits[] = {{NO_LIMIT, "RLIMIT_NPROC", " (ulimit -u)"},
                  {group_limit(), "pids.max", " (TasksMax=)"},
                  {read_limit("/proc/sys/kernel/pid_max"), "kernel.pid_max", ""},
                  {read_limit("/proc/sys/kernel/threads-max"), "kernel.threads-max", ""}};
    size_t used = 0;

    text[0] = '\0';
    (void)getrlimit(RLIMIT_NPROC, &user);
    if (geteuid() != 0 && user.rlim_cur != RLIM_INFINITY) /* root is not held to it (fork(2)) */
        limits[0].value = user.rlim_cur;
    while (used < size) {
        size_t lowest = 0;
        for (size_t i = 1; i < sizeof limits / sizeof limits[0]; i++)
            if (limits[i].value < limits[lowest].value)
                lowest = i;
        if (limits[lowest].value == NO_LIMIT)
            return;
        used += (size_t)snprintf(text + used, size - used, "%s%s %llu%s", used > 0 ? ", " : "",
                                 limits[lowest].name, limits[lowest].value, limits[lowest].where);
        limits[lowest].value = NO_LIMIT; /* it has been written */
    }
}
