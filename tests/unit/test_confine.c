/* test_confine.c: what servers and children give up (confine.h). Each case is a process of its own,
 * since check's own descriptors are closed, too. */
#include "suite.h"

#include "process/confine.h"

#include <sys/resource.h>
#include <sys/stat.h>

/* ---- descriptors ---- */

static bool is_same_file(int descriptor, const struct stat *file)
{
    struct stat status;

    return fstat(descriptor, &status) == 0 && status.st_dev == file->st_dev &&
           status.st_ino == file->st_ino;
}

static bool is_null(int descriptor)
{
    struct stat null;

    return stat("/dev/null", &null) == 0 && is_same_file(descriptor, &null);
}

/* Closes those of 0, 1 and 2 that the bits in `data` name, tidies, and looks. */
static int tidy_without(void *data)
{
    const unsigned closed = *(unsigned *)data;
    struct stat before[3];
    int highest;

    for (int i = 0; i <= 2; i++)
        if (fstat(i, &before[i]) == -1)
            return 1;
    highest = fcntl(0, F_DUPFD, 200);
    if (highest == -1 || dup2(highest, 64) == -1)
        return 2;
    for (int i = 0; i <= 2; i++)
        if (closed >> i & 1)
            close(i);
    confine_server(STDERR_FILENO + 1);
    for (int i = 0; i <= 2; i++)
        if (closed >> i & 1 ? !is_null(i) : !is_same_file(i, &before[i]))
            return 10 + i;
    for (int i = 3; i <= highest; i++)
        if (fcntl(i, F_GETFD) != -1)
            return 100;
    return 0;
}

/* Catches a client's socket that becomes 0, 1 or 2, on which a stray message would appear,
 * and a standard descriptor that was open and is replaced. */
START_TEST(standard_descriptors_are_open_and_all_others_closed)
{
    for (unsigned closed = 0; closed < 8; closed++)
        ck_assert_msg(suite_in_child(tidy_without, &closed) == 0, "closed: %u", closed);
}
END_TEST

/* Both ends of a standard descriptor on /dev/null have to work. */
static int use_null(void *data)
{
    char byte;

    (void)data;
    close(0);
    close(2);
    confine_server(STDERR_FILENO + 1);
    return read(0, &byte, 1) == 0 && write(2, "x", 1) == 1 ? 0 : 1;
}

/* Catches a replacement that can only be read, or only be written. */
START_TEST(a_replaced_descriptor_can_be_read_and_written)
{
    ck_assert_int_eq(suite_in_child(use_null, NULL), 0);
}
END_TEST

enum { KEPT = 3, HIGH = 40 };

/* Each number that is open is a pipe's end of its own; moves three of them, in an order that `data`
 * has, while the table of descriptors is full. */
static int keep_in_order(void *data)
{
    const int *order = data;
    const struct rlimit full = {HIGH + 1, HIGH + 1};
    struct stat before[KEPT], after;
    int kept[KEPT], ends[2];

    for (int number = 3; number <= HIGH; number += 2) {
        close(number);
        close(number + 1);
        if (pipe(ends) == -1)
            return 1;
    }
    if (setrlimit(RLIMIT_NOFILE, &full) == -1)
        return 2;
    for (int i = 0; i < KEPT; i++) {
        kept[i] = order[i];
        if (fstat(kept[i], &before[i]) == -1 || fcntl(kept[i], F_SETFD, FD_CLOEXEC) == -1)
            return 3;
    }
    (void)confine_descriptors(kept, KEPT, false);
    for (int i = 0; i < KEPT; i++)
        if (kept[i] != 3 + i || fstat(kept[i], &after) == -1 || after.st_ino != before[i].st_ino)
            return 10 + i;
    for (int number = 3 + KEPT; number <= HIGH; number++)
        if (fcntl(number, F_GETFD) != -1)
            return 100 + number;
    return 0;
}

/* Catches a client that lands on the ledger, or a pipe's other end that a child keeps, as two kept
 * ones lay in each other's place, or as no number was left for a copy. */
START_TEST(what_is_kept_does_not_depend_on_where_it_was)
{
    static const int numbers[] = {3, 5, 4, 7, 39};
    enum { NUMBERS = sizeof numbers / sizeof numbers[0] };

    for (int i = 0; i < NUMBERS * NUMBERS * NUMBERS; i++) {
        int order[KEPT] = {numbers[i % NUMBERS], numbers[i / NUMBERS % NUMBERS],
                           numbers[i / NUMBERS / NUMBERS]};
        int result = order[0] == order[1] || order[1] == order[2] || order[0] == order[2]
                         ? 0 : suite_in_child(keep_in_order, order);
        ck_assert_msg(result == 0, "%d %d %d: %d", order[0], order[1], order[2], result);
    }
}
END_TEST

/* ---- rights ---- */

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

SUITE("confine", standard_descriptors_are_open_and_all_others_closed,
      a_replaced_descriptor_can_be_read_and_written,
      what_is_kept_does_not_depend_on_where_it_was, a_child_has_no_descriptors_files_or_cores,
      a_child_that_accepts_has_one_descriptor_more,
      only_a_child_that_logs_can_write_to_a_file, a_child_cannot_fork)
