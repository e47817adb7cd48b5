/* test_platform.c: what POSIX lacks, on the system that it is built for (platform.h, waiting.h). */
#include "suite.h"

#include "platform/platform.h"
#include "platform/waiting.h"

#include <signal.h>
#include <sys/resource.h>
#include <sys/stat.h>

#define UNPRIVILEGED 65534 /* a user that is not root, where we are */

#ifdef __linux__ /* elsewhere nothing is known of it */
extern char **environ;

/* Catches an environment that libraries have added to, which the next program would be given. */
START_TEST(the_environment_is_the_one_of_the_exec)
{
    static char name[] = "forkecho", option[] = "-v", given[] = "GIVEN=1";
    char *stack[] = {name, option, NULL, given, NULL}; /* as the kernel puts it */
    char **before = environ;

    setenv("ADDED", "1", 1);
    platform_reset_environment(stack);
    ck_assert_ptr_null(getenv("ADDED"));
    ck_assert_str_eq(getenv("GIVEN"), "1");
    environ = before;
}
END_TEST
#endif

/* ---- memory and fork ---- */

#define PRIVATE_SIZE ((size_t)3 << 20)

static char *private_memory(void)
{
    char *memory = platform_private_memory(PRIVATE_SIZE);

    ck_assert_msg(memory != NULL, "platform_private_memory: %s", strerror(errno));
    return memory;
}

/* Catches memory that holds what was there before, and two areas that are one. */
START_TEST(private_memory_is_zeroed_and_its_own)
{
    char *first = private_memory(), *second;

    for (size_t i = 0; i < PRIVATE_SIZE; i++)
        if (first[i] != 0)
            ck_abort_msg("byte %zu is %d", i, first[i]);
    memset(first, 'x', PRIVATE_SIZE);
    second = private_memory();
    ck_assert(second >= first + PRIVATE_SIZE || first >= second + PRIVATE_SIZE);
    ck_assert_int_eq(second[0], 0);
    ck_assert_int_eq(second[PRIVATE_SIZE - 1], 0);
}
END_TEST

/* Catches a size that cannot be had and that ends the program, or is no error. */
START_TEST(too_much_private_memory_is_an_error)
{
    volatile size_t size = SIZE_MAX - SIZE_MAX / 16; /* 32 bits may have half of all */

    errno = 0;
    ck_assert_ptr_null(platform_private_memory(size));
    ck_assert_int_eq(errno, ENOMEM);
}
END_TEST

#ifdef __linux__ /* elsewhere it is ordinary memory */
static void leave_no_core(void)
{
    const struct rlimit none = {0, 0};

    setrlimit(RLIMIT_CORE, &none);
}

static int read_byte(void *byte)
{
    leave_no_core();
    (void)*(volatile char *)byte;
    return 0;
}

/* Catches the other clients' data in a child: also what the parent has not touched yet is out of
 * reach, and the parent keeps its own. A sanitizer ends the child in its own way. */
START_TEST(a_child_that_touches_private_memory_dies)
{
    char *memory = private_memory(), ordinary = 'x';

    memory[0] = memory[PRIVATE_SIZE - 1] = 'x';
    ck_assert_int_eq(suite_in_child(read_byte, &ordinary), 0);
    ck_assert_int_ne(suite_in_child(read_byte, memory), 0);
    ck_assert_int_ne(suite_in_child(read_byte, memory + PRIVATE_SIZE - 1), 0);
    ck_assert_int_ne(suite_in_child(read_byte, memory + PRIVATE_SIZE / 2), 0);
    ck_assert_int_eq(memory[0], 'x');
    ck_assert_int_eq(memory[PRIVATE_SIZE - 1], 'x');
}
END_TEST
#endif

/* Catches a fork whose child is not our own, or believes that it is the parent. */
START_TEST(a_fork_returns_twice)
{
    const pid_t parent = getpid();
    int status = 0;
    pid_t child = platform_fork();

    ck_assert_int_ne(child, -1);
    if (child == 0)
        _exit(getpid() != parent && getppid() == parent ? 7 : 1);
    ck_assert_int_eq(waitpid(child, &status, 0), child);
    ck_assert(WIFEXITED(status));
    ck_assert_int_eq(WEXITSTATUS(status), 7);
}
END_TEST

#ifdef __linux__
/* Catches a parent that keeps the value of its child, or a child that has its parent's, or one that
 * is as good a victim as the child before. The file is what the kernel would be told. */
START_TEST(children_are_better_victims)
{
    char text[32] = "";
    int file = platform_anonymous_file();

    ck_assert_int_eq(write(file, "997", 3), 3);
    ck_assert_int_eq(platform_prefer_children(file), file);
    for (int i = 0; i < 4; i++) {
        pid_t child = platform_fork();
        if (child == 0)
            _exit(0);
        ck_assert_int_eq(waitpid(child, NULL, 0), child);
    }
    ck_assert_int_gt(pread(file, text, sizeof text - 1, 0), 0);
    ck_assert_str_eq(text + 3, "1000" "997" "999" "997" "998" "997" "1000" "997");
}
END_TEST

/* Catches a file that stays open for nothing, where no child could be a better victim. */
START_TEST(the_best_victim_has_no_better_children)
{
    int file = platform_anonymous_file();

    ck_assert_int_eq(write(file, "1000", 4), 4);
    ck_assert_int_eq(platform_prefer_children(file), 0);
    ck_assert_int_eq(fcntl(file, F_GETFD), -1);
}
END_TEST
#endif

/* ---- descriptors ---- */

/* Catches a file that cannot be read back or written to, that a program inherits which we
 * execute, or that has a name and so stays behind. */
START_TEST(an_anonymous_file_is_read_and_written_and_not_inherited)
{
    char text[8] = "";
    struct stat status;
    int file = platform_anonymous_file(), other = platform_anonymous_file();

    ck_assert_int_ge(file, 0);
    ck_assert_int_ge(other, 0);
    ck_assert_int_eq(write(file, "ledger", 6), 6);
    ck_assert_int_eq(pread(file, text, sizeof text, 0), 6);
    ck_assert_str_eq(text, "ledger");
    ck_assert_int_eq(fcntl(file, F_GETFD), FD_CLOEXEC);
    ck_assert_int_eq(fstat(file, &status), 0);
    ck_assert_uint_eq(status.st_nlink, 0);
    ck_assert_int_eq(ftruncate(file, 0), 0);
    ck_assert_int_eq(pread(file, text, sizeof text, 0), 0);
    ck_assert_int_eq(fstat(other, &status), 0); /* each call makes a file of its own */
    ck_assert_int_eq(status.st_size, 0);
    ck_assert_int_eq(write(other, "x", 1), 1);
    ck_assert_int_eq(fstat(file, &status), 0);
    ck_assert_int_eq(status.st_size, 0);
}
END_TEST

/* Catches a file that a program can fill without end, or cannot fill at all. */
START_TEST(a_sealed_file_has_its_size_and_no_more)
{
    char text[8] = "x";
    struct stat status;
    int file = platform_sealed_file(4);

    ck_assert_int_ge(file, 0);
    ck_assert_int_eq(fcntl(file, F_GETFD), FD_CLOEXEC);
    ck_assert_int_eq(pread(file, text, sizeof text, 0), 4);
    ck_assert_str_eq(text, "");
    ck_assert_int_eq(write(file, "four", 4), 4);
#ifdef __linux__
    ck_assert_int_eq(write(file, "more", 4), -1);
#endif
    ck_assert_int_eq(fstat(file, &status), 0);
    ck_assert_uint_eq(status.st_nlink, 0);
    close(file);
}
END_TEST

#define FIRST 100

/* Opens the descriptors from FIRST to `last`. */
static void open_range(int last)
{
    for (int descriptor = FIRST; descriptor <= last; descriptor++)
        ck_assert_int_eq(dup2(STDERR_FILENO, descriptor), descriptor);
}

static bool is_open(int descriptor)
{
    return fcntl(descriptor, F_GETFD) != -1;
}

/* Catches the one below that is closed, or one of those from it on that is not; what is closed
 * already is no reason to stop. There is no end to look for: that would take too long. */
START_TEST(all_from_one_on_are_closed)
{
    for (int lowest = FIRST + 1; lowest <= FIRST + 64; lowest += 7) {
        open_range(FIRST + 64);
        close(lowest + 1);
        platform_close_from(lowest);
        ck_assert(is_open(STDERR_FILENO));
        for (int descriptor = FIRST; descriptor <= FIRST + 64; descriptor++)
            ck_assert_msg(is_open(descriptor) == (descriptor < lowest), "%d from %d is %s",
                          descriptor, lowest, is_open(descriptor) ? "open" : "closed");
    }
}
END_TEST

/* ---- what others see ---- */

/* The file's text; empty where there is none. */
static void read_text(const char *path, char *text, size_t room)
{
    FILE *file = fopen(path, "r");
    size_t size = file != NULL ? fread(text, 1, room - 1, file) : 0;

    text[size] = '\0';
    if (file != NULL)
        fclose(file);
}

static int show_titles(void *data)
{
    const size_t size = 4096; /* Linux shows no memory that a file backs */
    char *area = platform_private_memory(size);
    char before[4096], now[4096];

    (void)data;
    if (area == NULL)
        return 4;
    read_text("/proc/self/cmdline", before, sizeof before);
    strcpy(area, "echo: 3 live");
    if (platform_show_title(area, size) == -1) {
        read_text("/proc/self/cmdline", now, sizeof now);
        return strcmp(now, before) == 0 ? 0 : 1;
    }
    read_text("/proc/self/cmdline", now, sizeof now);
    if (strcmp(now, "echo: 3 live") != 0)
        return 2;
    strcpy(area, "echo: 2"); /* shorter, and no further call */
    read_text("/proc/self/cmdline", now, sizeof now);
    return strcmp(now, "echo: 2") == 0 ? 0 : 3;
}

/* Catches a title that is not what stands in the area now, and a failure that changes the command
 * line all the same. */
START_TEST(a_title_is_what_stands_in_its_area)
{
    ck_assert_int_eq(suite_in_child(show_titles, NULL), 0);
}
END_TEST

static int become_untraceable(void *data)
{
    (void)data;
    platform_forbid_tracing();
#ifdef __linux__
    return platform_is_untraceable() ? 0 : 1;
#else
    return platform_is_untraceable() ? 1 : 0;
#endif
}

/* Catches a process that asks not to be traced and can be, or that is said to be traceable. */
START_TEST(a_process_is_untraceable_once_it_asks)
{
    ck_assert_int_eq(suite_in_child(become_untraceable, NULL), 0);
}
END_TEST

/* ---- privileges ---- */

static int give_groups(void *data)
{
    const gid_t given[] = {12345, 54321};
    gid_t groups[64];
    int count;

    (void)data;
    errno = 0;
    if (platform_set_groups(SUITE_LENGTH(given), given) == -1)
        return errno == EPERM || errno == ENOSYS ? 0 : 1;
    count = getgroups((int)SUITE_LENGTH(groups), groups);
    if (count != 2 || groups[0] + groups[1] != given[0] + given[1])
        return 2;
    if (platform_set_groups(0, NULL) == -1 || getgroups(0, NULL) != 0)
        return 3;
    /* Without the privilege. */
    if (setuid(UNPRIVILEGED) == 0 && (platform_set_groups(2, given) != -1 || errno != EPERM))
        return 4;
    return 0;
}

/* Catches groups that are kept beside the new ones, and a refusal that looks like success. */
START_TEST(the_groups_are_those_given_and_no_others)
{
    ck_assert_int_eq(suite_in_child(give_groups, NULL), 0);
}
END_TEST

static int change_root(void *data)
{
    (void)data;
    if (geteuid() == 0 && setuid(UNPRIVILEGED) == -1)
        return 0; /* there is no way to be somebody else */
    errno = 0;
    if (platform_change_root("/") != -1)
        return 1;
    return errno == EPERM || errno == ENOSYS ? 0 : 2;
}

/* Catches a root that stays where it was, and nobody says so. */
START_TEST(a_root_needs_the_privilege)
{
    ck_assert_int_eq(suite_in_child(change_root, NULL), 0);
}
END_TEST

#ifdef __linux__ /* it may do nothing */
static int forbid_privileges(void *data)
{
    char text[4096];

    (void)data;
    if (geteuid() == 0 && setuid(UNPRIVILEGED) == -1)
        return 0;
    platform_forbid_privileges();
    read_text("/proc/self/status", text, sizeof text);
    if (strstr(text, "\nNoNewPrivs:\t1\n") == NULL)
        return 1;
    if (strstr(text, "\nCapPrm:\t0000000000000000\n") == NULL)
        return 2;
    return strstr(text, "\nCapEff:\t0000000000000000\n") != NULL ? 0 : 3;
}

/* Catches a server that could still gain privileges by what it executes. */
START_TEST(no_privilege_can_be_gained_any_more)
{
    ck_assert_int_eq(suite_in_child(forbid_privileges, NULL), 0);
}
END_TEST
#endif

/* ---- the limits of processes ---- */

/* Catches a text of several lines, or a list with nothing in a place. */
START_TEST(the_process_limits_are_one_phrase)
{
    char text[400];
    size_t length;

    memset(text, 'x', sizeof text);
    platform_process_limits(text, sizeof text);
    length = strlen(text);
    ck_assert_uint_lt(length, sizeof text);
    ck_assert_ptr_null(strpbrk(text, "\n\t"));
    ck_assert_ptr_null(strstr(text, ", , "));
    if (length > 0) {
        ck_assert_int_ne(text[0], ',');
        ck_assert_int_ne(text[0], ' ');
        ck_assert(strchr(", ", text[length - 1]) == NULL);
    }
}
END_TEST

/* Catches a byte behind a text that has little room, and one without an end. */
START_TEST(the_process_limits_stay_in_their_room)
{
    char whole[400], text[400];

    platform_process_limits(whole, sizeof whole);
    for (size_t size = 1; size < 200; size++) {
        memset(text, '#', sizeof text);
        platform_process_limits(text, size);
        ck_assert_msg(memchr(text, '\0', size) != NULL, "no end in %zu bytes", size);
        ck_assert_int_eq(strncmp(text, whole, strlen(text)), 0);
        for (size_t i = size; i < sizeof text; i++)
            ck_assert_msg(text[i] == '#', "byte %zu of %zu", i + 1, size);
    }
}
END_TEST

#ifdef __linux__
/* Whether the numbers of a list such as "this 1 (so), that 2" ascend. */
static bool ascend(const char *list)
{
    unsigned long long last = 0;

    while ((list = strchr(list, ' ')) != NULL) {
        unsigned long long number = strtoull(++list, NULL, 10); /* 0: a word */
        if (number > 0 && number < last)
            return false;
        last = number > 0 ? number : last;
    }
    return true;
}

/* In a process with a limit of so many processes, as far as it may have it. */
static int limited(void *processes)
{
    rlim_t number = *(const rlim_t *)processes;
    struct rlimit limit;
    char text[400], expected[64];

    getrlimit(RLIMIT_NPROC, &limit);
    limit.rlim_cur = limit.rlim_max < number ? limit.rlim_max : number;
    if (setrlimit(RLIMIT_NPROC, &limit) == -1)
        return 0;
    platform_process_limits(text, sizeof text);
    if (geteuid() == 0 && strstr(text, "RLIMIT_NPROC") != NULL)
        return 1; /* it does not bind root */
    if (geteuid() == 0 && setuid(UNPRIVILEGED) == -1)
        return 0;
    platform_process_limits(text, sizeof text);
    snprintf(expected, sizeof expected, "RLIMIT_NPROC %llu (ulimit -u)",
             (unsigned long long)limit.rlim_cur);
    return strstr(text, expected) != NULL && ascend(text) ? 0 : 2;
}

/* Catches the limit that most likely was met and is not named first, or is named to root, whom it
 * does not concern. */
START_TEST(the_lowest_limit_is_the_first)
{
    rlim_t low = 300, high = RLIM_INFINITY - 1;

    ck_assert_int_eq(suite_in_child(limited, &low), 0);
    ck_assert_int_eq(suite_in_child(limited, &high), 0);
}
END_TEST
#endif

#ifdef __linux__
/* Catches a process that outlives its parent and gets no signal, where the system has one. */
START_TEST(an_orphan_is_signalled)
{
    int ends[2];
    char byte;
    pid_t parent;

    ck_assert_int_eq(pipe(ends), 0);
    parent = fork();
    if (parent == 0) {
        if (fork() == 0) {
            platform_signal_when_orphaned(SIGUSR1);
            close(ends[0]);
            (void)!write(ends[1], "x", 1);
            pause(); /* for ever, and the pipe stays open, unless SIGUSR1 ends it */
        }
        pause();
    }
    close(ends[1]);
    ck_assert_int_eq(read(ends[0], &byte, 1), 1);
    kill(parent, SIGKILL);
    ck_assert_int_eq(waitpid(parent, NULL, 0), parent);
    ck_assert_int_eq(read(ends[0], &byte, 1), 0);
    close(ends[0]);
}
END_TEST
#endif

#ifdef __linux__
#define ONLY_HERE                                                          \
    a_child_that_touches_private_memory_dies, no_privilege_can_be_gained_any_more, \
        the_lowest_limit_is_the_first, an_orphan_is_signalled, \
        the_environment_is_the_one_of_the_exec, children_are_better_victims, \
        the_best_victim_has_no_better_children,
#else
#define ONLY_HERE
#endif

/* Catches a share of idle time that is above 1 or of another unit, and one where there is none. */
START_TEST(processors_are_idle_for_a_part_of_their_time)
{
    double idle = -1, all = -1;
    int status = platform_processors(&idle, &all);

#ifdef __linux__
    ck_assert_int_eq(status, 0);
    ck_assert(idle > 0 && idle <= all);
#else
    ck_assert_int_eq(status, -1);
#endif
}
END_TEST

SUITE("platform", processors_are_idle_for_a_part_of_their_time, ONLY_HERE private_memory_is_zeroed_and_its_own,
      too_much_private_memory_is_an_error, a_fork_returns_twice,
      an_anonymous_file_is_read_and_written_and_not_inherited,
      a_sealed_file_has_its_size_and_no_more,
      all_from_one_on_are_closed, a_title_is_what_stands_in_its_area,
      a_process_is_untraceable_once_it_asks, the_groups_are_those_given_and_no_others,
      a_root_needs_the_privilege, the_process_limits_are_one_phrase,
      the_process_limits_stay_in_their_room)
