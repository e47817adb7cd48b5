/* test_daemon.c: detaching, seen from the starter and from the server (daemon.h). Each test
 * starts a starter; a server that has detached ends when the test closes its pipe. */
#include "suite.h"

#include "platform/platform.h"
#include "process/daemon.h"

#include <signal.h>
#include <sys/stat.h>

/* A starter and the pipes by which its server and the test talk. */
struct start {
    pid_t starter;
    int go;     /* bytes to the server, and the end that ends it */
    int report; /* bytes from it, and the end when it has ended */
};

/* What a server has of it. */
struct server_side {
    int go, report;
    int before; /* descriptors open before daemon_detach, ... */
    int left;   /* ... and how many of them would be after an exec */
};

static int left_at_exec(void)
{
    int count = 0;

    for (int descriptor = 0; descriptor < 1024; descriptor++)
        count += fcntl(descriptor, F_GETFD) == 0;
    return count;
}

typedef int (*server_life)(const struct server_side *side);

static void report(const struct server_side *side, char byte)
{
    if (write(side->report, &byte, 1) != 1)
        _exit(90);
}

/* Waits for a byte of the test, or for the end. */
static void await(const struct server_side *side)
{
    char byte;

    while (read(side->go, &byte, 1) == -1 && errno == EINTR)
        ;
}

/* Starts a starter. `life` is what its server does; the result is its exit status. */
static struct start start(server_life life)
{
    struct start start;
    int go[2], reports[2];

    ck_assert_int_eq(pipe(go), 0);
    ck_assert_int_eq(pipe(reports), 0);
    fflush(NULL);
    start.starter = fork();
    ck_assert_int_ne(start.starter, -1);
    if (start.starter == 0) {
        struct server_side side = {go[0], reports[1], 0, 0};
        close(go[1]);
        close(reports[0]);
        side.before = open_descriptors();
        side.left = left_at_exec();
        if (daemon_detach() == -1)
            _exit(91);
        _exit(life(&side));
    }
    close(go[0]);
    close(reports[1]);
    start.go = go[1];
    start.report = reports[0];
    return start;
}

static char next_report(const struct start *start)
{
    char byte = '?';

    ck_assert_int_eq(read(start->report, &byte, 1), 1);
    return byte;
}

static void expect_end(const struct start *start)
{
    char byte;

    ck_assert_int_eq(read(start->report, &byte, 1), 0);
    close(start->report);
}

/* The starter's exit status, or 256 and the signal that ended it. */
static int starter_status(const struct start *start)
{
    int status;

    ck_assert_int_eq(waitpid(start->starter, &status, 0), start->starter);
    return WIFEXITED(status) ? WEXITSTATUS(status) : 256 + WTERMSIG(status);
}

/* ---- how a start ends ---- */

static int become_ready_when_told(const struct server_side *side)
{
    report(side, 'a');
    await(side);
    report(side, 'b');
    if (daemon_ready() == -1)
        return 1;
    await(side);
    return 0;
}

/* Catches a starter that returns before the server listens: `b` is there when it has. */
START_TEST(the_starter_returns_when_the_server_is_ready)
{
    struct start it = start(become_ready_when_told);

    ck_assert_int_eq(next_report(&it), 'a');
    ck_assert_int_eq(waitpid(it.starter, NULL, WNOHANG), 0);
    ck_assert_int_eq(write(it.go, "", 1), 1);
    ck_assert_int_eq(starter_status(&it), 0);
    set_nonblocking(it.report);
    ck_assert_int_eq(next_report(&it), 'b');
    ck_assert_int_eq(fcntl(it.report, F_SETFL, 0), 0);
    close(it.go);
    expect_end(&it);
}
END_TEST

static int fail_with_1(const struct server_side *side)
{
    (void)side;
    fputs("forkecho: cannot listen\n", stderr);
    return 1;
}

static int fail_with_2(const struct server_side *side)
{
    (void)side;
    return 2;
}

static int end_with_0(const struct server_side *side)
{
    (void)side;
    return 0;
}

static int crash(const struct server_side *side)
{
    (void)side;
    raise(SIGKILL);
    return 0;
}

/* Catches a shell that gets 0 for a server that does not run, or hangs, or hides its error. */
START_TEST(a_failed_start_is_the_starters_failure)
{
    static const struct {
        server_life life;
        int status;
        const char *logged;
    } cases[] = {
        {fail_with_1, 1, "forkecho: cannot listen\n"},
        {fail_with_2, 2, ""},
        {end_with_0, 1, ""},
        {crash, 1, "forkecho: the server was ended by signal 9 before it listened (-d)\n"},
    };
    static struct capture errors;

    for (size_t i = 0; i < SUITE_LENGTH(cases); i++) {
        struct start it;
        int status;
        capture_begin(&errors, STDERR_FILENO);
        it = start(cases[i].life);
        status = starter_status(&it);
        ck_assert_str_eq(capture_end(&errors), cases[i].logged);
        ck_assert_int_eq(status, cases[i].status);
        close(it.go);
        expect_end(&it);
    }
}
END_TEST

/* Reports r for a server that may run, g for one that has to give up. */
static int report_readiness(const struct server_side *side)
{
    report(side, 'a');
    await(side);
    report(side, daemon_ready() == 0 ? 'r' : 'g');
    return 0;
}

/* Catches a server that lives on although the starting command reported a failure; and one that
 * SIGPIPE ends before it can clean up. */
START_TEST(a_server_whose_starter_is_gone_gives_up)
{
    static struct capture errors;
    struct start it;
    char report;

    capture_begin(&errors, STDERR_FILENO);
    it = start(report_readiness);
    ck_assert_int_eq(next_report(&it), 'a');
    kill(it.starter, SIGKILL);
    ck_assert_int_eq(starter_status(&it), 256 + SIGKILL);
    close(it.go);
    report = next_report(&it);
    expect_end(&it);
    ck_assert_int_eq(lines_of(capture_end(&errors)), 1);
    ck_assert_int_eq(report, 'g');
}
END_TEST

/* ---- what a detached server is ---- */

static bool is_null(int descriptor)
{
    struct stat null, status;

    return stat("/dev/null", &null) == 0 && fstat(descriptor, &status) == 0 &&
           null.st_dev == status.st_dev && null.st_ino == status.st_ino;
}

static char session_defect(const struct server_side *side)
{
    int terminal = open("/dev/tty", O_RDWR | O_NOCTTY);

    if (getsid(0) != getpid() || getpgrp() != getpid())
        return 's';
    if (terminal != -1) /* there is a controlling terminal */
        return 't';
    if (open_descriptors() != side->before + 1 || left_at_exec() != side->left)
        return 'c';
    return '.';
}

static char ready_defect(const struct server_side *side)
{
    char where[8];

    if (getcwd(where, sizeof where) == NULL || strcmp(where, "/") != 0)
        return 'w';
    if (!is_null(STDIN_FILENO) || !is_null(STDOUT_FILENO) || is_null(STDERR_FILENO))
        return '0';
    if (open_descriptors() != side->before)
        return 'd';
    return '.';
}

static char started_in[4096];

/* Its standard error is a file. */
static int look_at_itself(const struct server_side *side)
{
    char before[4096] = "";
    const char *where = getcwd(before, sizeof before);

    report(side, where != NULL && strcmp(where, started_in) == 0 ? '.' : 'r');
    report(side, session_defect(side));
    if (daemon_ready() == -1)
        return 1;
    report(side, ready_defect(side));
    fputs("still logged\n", stderr);
    return daemon_ready() == 0 ? 0 : 1; /* a second time nothing happens */
}

/* Catches a daemon that a closing terminal ends, that keeps a file system busy, reads the
 * terminal, loses its log file, leaks the lifeline, or cannot find a relative -P or -r. */
START_TEST(a_detached_server_is_on_its_own)
{
    static struct capture errors;
    struct start it;
    char seen[4] = "";

    ck_assert_ptr_nonnull(getcwd(started_in, sizeof started_in));
    capture_begin(&errors, STDERR_FILENO);
    it = start(look_at_itself);
    for (int i = 0; i < 3; i++)
        seen[i] = next_report(&it);
    expect_end(&it);
    ck_assert_int_eq(starter_status(&it), 0);
    ck_assert_str_eq(capture_end(&errors), "still logged\n");
    ck_assert_str_eq(seen, "...");
    close(it.go);
}
END_TEST

static int stay_ready(const struct server_side *side)
{
    if (daemon_ready() == -1)
        return 1;
    report(side, 'r');
    await(side);
    return 0;
}

/* Catches $(forkecho -d 2>&1), or ssh, that waits for as long as the server lives: the end of
 * the pipe has to come while it does. */
START_TEST(pipes_are_let_go_of)
{
    int output = dup(STDOUT_FILENO), errors = dup(STDERR_FILENO), ends[2];
    struct start it;
    char byte;

    ck_assert_int_eq(pipe(ends), 0);
    ck_assert_int_ne(fcntl(ends[0], F_SETFD, FD_CLOEXEC), -1);
    fflush(NULL);
    dup2(ends[1], STDOUT_FILENO);
    dup2(ends[1], STDERR_FILENO);
    close(ends[1]);
    it = start(stay_ready);
    dup2(output, STDOUT_FILENO);
    dup2(errors, STDERR_FILENO);
    ck_assert_int_eq(next_report(&it), 'r');
    ck_assert_int_eq(starter_status(&it), 0);
    ck_assert_int_eq(read(ends[0], &byte, 1), 0);
    close(it.go);
    expect_end(&it);
    close(ends[0]);
    close(output);
    close(errors);
}
END_TEST

/* A starter, and then its server, which crashes where `data` says so. */
static int print_around_the_fork(void *data)
{
    printf("before"); /* and no newline, which might write it */
    if (daemon_detach() == -1)
        return 91;
    printf("after");
    if (*(bool *)data)
        _exit(3); /* as by a signal: nothing is flushed */
    return daemon_ready() == 0 ? 0 : 1;
}

/* Catches what is still in a buffer, and is written by both processes or by none. */
START_TEST(buffered_output_is_written_once)
{
    static struct capture output;
    bool crashes = false;
    int status;

    capture_begin(&output, STDOUT_FILENO);
    status = suite_in_child(print_around_the_fork, &crashes);
    ck_assert_str_eq(capture_end(&output), "beforeafter");
    ck_assert_int_eq(status, 0);
    crashes = true;
    capture_begin(&output, STDOUT_FILENO);
    status = suite_in_child(print_around_the_fork, &crashes);
    ck_assert_str_eq(capture_end(&output), "before");
    ck_assert_int_eq(status, 3);
}
END_TEST

/* Catches a foreground server whose standard descriptors are taken away. */
START_TEST(the_foreground_is_left_alone)
{
    char before[4096], after[4096];
    struct stat one, other;

    ck_assert_ptr_nonnull(getcwd(before, sizeof before));
    ck_assert_int_eq(fstat(STDOUT_FILENO, &one), 0);
    ck_assert_int_eq(daemon_ready(), 0);
    ck_assert_int_eq(fstat(STDOUT_FILENO, &other), 0);
    ck_assert(one.st_dev == other.st_dev && one.st_ino == other.st_ino);
    ck_assert_str_eq(getcwd(after, sizeof after), before);
}
END_TEST

/* ---- as root ---- */

static char directory[80];

static int become_ready_inside(const struct server_side *side)
{
    struct stat null, status;

    if (stat("/dev/null", &null) == -1 || platform_change_root(directory) == -1 || chdir("/") == -1)
        return 3;
    if (daemon_ready() == -1)
        return 4;
    for (int i = 0; i <= 1; i++)
        if (fstat(i, &status) == -1 || status.st_ino != null.st_ino || status.st_dev != null.st_dev)
            report(side, 'n');
    return 0;
}

/* Catches a server that looks for /dev/null where there is none any more. */
START_TEST(an_empty_root_is_no_obstacle)
{
    struct start it = start(become_ready_inside);

    expect_end(&it);
    ck_assert_int_eq(starter_status(&it), 0);
    close(it.go);
}
END_TEST

int main(void)
{
    const TTest *const tests[] = {
        the_starter_returns_when_the_server_is_ready, a_failed_start_is_the_starters_failure,
        a_server_whose_starter_is_gone_gives_up, a_detached_server_is_on_its_own,
        pipes_are_let_go_of, buffered_output_is_written_once, the_foreground_is_left_alone,
        an_empty_root_is_no_obstacle /* needs root */};
    int status;

    signal(SIGPIPE, SIG_IGN); /* as signals_open leaves it */
    close(STDIN_FILENO);
    if (open("/dev/null", O_RDWR) != STDIN_FILENO) /* as confine_server leaves it */
        return EXIT_FAILURE;
    if (geteuid() != 0) {
        printf("daemon: 1 test skipped: it needs root\n");
        fflush(stdout);
        return suite_run("daemon", tests, SUITE_LENGTH(tests) - 1);
    }
    if (suite_make_directory(directory, sizeof directory) == -1)
        return EXIT_FAILURE;
    status = suite_run("daemon", tests, SUITE_LENGTH(tests));
    suite_remove_directory(directory);
    return status;
}
