/* linux.c: platform.h on Linux, with any libc, in its order; the rest of it is in *_linux.c. */
#define _GNU_SOURCE
#include "platform/platform.h"

#include "base/descriptors.h"

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
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/utsname.h>
#include <unistd.h>
#ifdef HAVE_THREAD_POINTER
#include <sys/rseq.h>
#endif

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

void *platform_private_memory(size_t size)
{
    void *memory = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

    /* What madvise fails on is not given back: whoever gets NULL ends. */
    return memory != MAP_FAILED && madvise(memory, size, MADV_DONTFORK) == 0 ? memory : NULL;
}

/* A line of proc(5)'s maps. */
struct mapping {
    uintptr_t start, end;
    bool has_name;
};

static bool holds(const struct mapping *mapping, const void *address)
{
    return (uintptr_t)address >= mapping->start && (uintptr_t)address < mapping->end;
}

/* Whether a child that only makes system calls can do without it: not without the thread's own
 * memory, nor without this program's variables. */
static bool is_dispensable(const struct mapping *mapping, const char *line)
{
    static char variable;

    if (holds(mapping, &errno) || holds(mapping, &variable))
        return false;
#if !defined(__i386__) /* there libc makes each system call through the vdso */
    if (strstr(line, " [vvar") != NULL || strstr(line, " [vdso]\n") != NULL)
        return true;
#endif
    return !mapping->has_name || strstr(line, " [heap]\n") != NULL;
}

/* glibc tells the kernel of a place beside its thread's variables (rseq(2)), where that writes when
 * it has interrupted the thread: for each child a copy of that page, 4 KiB. Without it
 * sched_getcpu(3) makes a system call. (The size is that which glibc registers.) */
static void end_rseq(void)
{
#ifdef HAVE_THREAD_POINTER
    (void)syscall(SYS_rseq, (char *)__builtin_thread_pointer() + __rseq_offset, 32,
                  RSEQ_FLAG_UNREGISTER, RSEQ_SIG);
#endif
}

void platform_withhold_memory(void)
{
    enum { MAPPINGS = 32, PROGRAM_LIBC_AND_LOADER = 3 };
    struct mapping found[MAPPINGS];
    size_t count = 0, programs = 0;
    char line[256];
    FILE *file = fopen("/proc/self/maps", "re");

    while (file != NULL && fgets(line, sizeof line, file) != NULL) {
        char *dash;
        struct mapping each = {.start = (uintptr_t)strtoull(line, &dash, 16)};
        each.end = (uintptr_t)strtoull(dash + 1, NULL, 16);
        each.has_name = strstr(line, " 00:00 0 \n") == NULL;
        programs += strstr(line, " r-xp ") != NULL && strchr(line, '/') != NULL;
        if (count < MAPPINGS && is_dispensable(&each, line))
            found[count++] = each;
    }
    if (file != NULL)
        fclose(file);
    /* Only now: reading the list must not change it. A refusal costs speed and nothing else. What
     * has no name is malloc's in a program linked statically; else it may be a library's. */
    for (size_t i = 0; programs <= PROGRAM_LIBC_AND_LOADER && i < count; i++)
        if (programs == 1 || found[i].has_name)
            (void)madvise((void *)found[i].start, found[i].end - found[i].start, MADV_DONTFORK);
    end_rseq();
}

/* Reads the fields of /proc/self/stat from the third to before `count`, by number (proc(5)). */
static bool read_stat(unsigned long long *fields, int count)
{
    char text[1024] = "", *at;
    FILE *file = fopen("/proc/self/stat", "re");

    if (file != NULL) {
        (void)!fread(text, 1, sizeof text - 1, file);
        fclose(file);
    }
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
    /* A 64-bit kernel has the map of a 32-bit program as its own, whose pointer is longer. */
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

    if (file == -1 || (ftruncate(file, (off_t)size) == 0 &&
                       fcntl(file, F_ADD_SEALS, F_SEAL_GROW) == 0))
        return file;
    close(file);
    return -1;
}

void platform_widen_pipe(int end, int size)
{
    (void)fcntl(end, F_SETPIPE_SZ, size);
}

/* Headers before Linux 6.16 lack it, and two architectures number their options otherwise. */
#ifndef SO_PASSRIGHTS
#if defined __sparc__ || defined __hppa__
#define SO_PASSRIGHTS (-1)
#else
#define SO_PASSRIGHTS 83
#endif
#endif

void platform_forbid_rights(int listener)
{
    int passed = 0;

    (void)setsockopt(listener, SOL_SOCKET, SO_PASSRIGHTS, &passed, sizeof passed);
}

bool platform_forbids_rights(int descriptor)
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

#define TEXT_OF(macro) #macro
#define VERSION_OF(major, minor) TEXT_OF(major) "." TEXT_OF(minor)

const char *platform_libc(void)
{
#ifdef __GLIBC__
    return "glibc-" VERSION_OF(__GLIBC__, __GLIBC_MINOR__);
#else
    return "musl"; /* which has no macro of its own */
#endif
}
