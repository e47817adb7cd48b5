/* test_confine.c: what a child gives up (confine.h). Each case is a process of its own. */
#include "suite.h"

#include "process/confine.h"

#include <sys/resource.h>

/* Whether both limits of a resource are 0. */
static bool is_none(struct rlimit limit)
{
    return limit.rlim_cur == 0 && limit.rlim_max == 0;
}

static int confine(void *data)
{
    bool logs = *(bool *)data;
    struct rlimit files, size, core;

    confine_child(logs, 0);
    if (open("/dev/null", O_RDONLY) != -1 || errno != EMFILE || dup(STDERR_FILENO) != -1)
        return 1;
    getrlimit(RLIMIT_NOFILE, &files);
    getrlimit(RLIMIT_FSIZE, &size);
    getrlimit(RLIMIT_CORE, &core);
    if (!is_none(files) || !is_none(core) || is_none(size) == logs)
        return 2;
    return 0;
}

/* Catches a limit that is left, soft or hard, and a log that its child cannot write to. */
START_TEST(a_child_has_no_descriptors_files_or_cores)
{
    for (int i = 0; i < 2; i++) {
        bool logs = i == 1;
        int result = suite_in_child(confine, &logs);
        ck_assert_msg(result == 0, "logs %d: %d", logs, result);
    }
}
END_TEST

static int confine_and_write(void *data)
{
    FILE *file = tmpfile();

    if (file == NULL)
        return 1;
    signal(SIGXFSZ, SIG_IGN);
    confine_child(*(bool *)data, 0);
    return write(fileno(file), "x", 1) == 1 ? 10 : 11;
}

/* Catches a child that can still write to a file that it inherits, or one whose log cannot. */
START_TEST(only_a_child_that_logs_can_write_to_a_file)
{
    bool logs = false;

    ck_assert_int_eq(suite_in_child(confine_and_write, &logs), 11);
    logs = true;
    ck_assert_int_eq(suite_in_child(confine_and_write, &logs), 10);
}
END_TEST

static int confine_to_one_more(void *data)
{
    int lowest = dup(STDERR_FILENO), one, other;

    (void)data;
    close(lowest);
    confine_child(false, lowest + 1);
    one = dup(STDERR_FILENO);
    other = dup(STDERR_FILENO);
    return one == lowest && other == -1 && errno == EMFILE ? 0 : 1;
}

/* Catches a child that accepts and cannot, or may open any number of others. */
START_TEST(a_child_that_accepts_has_one_descriptor_more)
{
    ck_assert_int_eq(suite_in_child(confine_to_one_more, NULL), 0);
}
END_TEST

/* As an ordinary user: the limit does not bind root. */
static int confine_and_fork(void *data)
{
    pid_t pid;

    (void)data;
    if (geteuid() == 0 && setuid(65534) == -1)
        return 1;
    confine_child(false, 0);
    pid = fork();
    if (pid == 0)
        _exit(0);
    return pid == -1 && errno == EAGAIN ? 0 : 2;
}

/* Catches a child that can start programs. */
START_TEST(a_child_cannot_fork)
{
#ifdef __linux__
    ck_assert_int_eq(suite_in_child(confine_and_fork, NULL), 0);
#else
    (void)confine_and_fork; /* the system's own sandbox is another matter */
#endif
}
END_TEST

SUITE("confine", a_child_has_no_descriptors_files_or_cores,
      a_child_that_accepts_has_one_descriptor_more,
      only_a_child_that_logs_can_write_to_a_file, a_child_cannot_fork)
