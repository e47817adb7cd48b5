/* test_manager.c: notifying the service manager, with this suite as the manager (manager.h). */
#include "suite.h"

#include "base/clock.h"
#include "platform/platform.h"
#include "process/manager.h"

#include <stddef.h>
#include <sys/un.h>

/* Where sockets are made; it is emptied and removed when the suite is over. */
static char directory[80];
static char path[100]; /* in it */

#define ADDRESS_ROOM sizeof(((struct sockaddr_un *)NULL)->sun_path)

static struct capture errors;
static char received[4096];

/* ---- a manager ---- */

/* An address as in NOTIFY_SOCKET, of its exact length. */
static socklen_t address_of(const char *name, struct sockaddr_un *address)
{
    size_t length = strlen(name);

    memset(address, 0, sizeof *address);
    address->sun_family = AF_UNIX;
    memcpy(address->sun_path, name, length);
    if (name[0] == '@')
        address->sun_path[0] = '\0';
    return (socklen_t)(offsetof(struct sockaddr_un, sun_path) + length + (name[0] == '/'));
}

/* Listens for datagrams there. */
static int open_manager(const char *name)
{
    struct sockaddr_un address;
    socklen_t length = address_of(name, &address);
    int manager = socket(AF_UNIX, SOCK_DGRAM, 0);

    ck_assert_int_ne(manager, -1);
    ck_assert_msg(bind(manager, (struct sockaddr *)&address, length) == 0, "%s: %s", name,
                  strerror(errno));
    return manager;
}

/* The next datagram, NULL when there is none. */
static const char *next_message(int manager)
{
    ssize_t length = recv(manager, received, sizeof received - 1, MSG_DONTWAIT);

    if (length == -1)
        return NULL;
    received[length] = '\0';
    ck_assert_uint_eq(strlen(received), (size_t)length); /* no NUL is part of a message */
    return received;
}

/* An abstract name that only this test has. */
static const char *abstract_name(void)
{
    static char name[64];

    snprintf(name, sizeof name, "@forkecho-test-%ld", (long)getpid());
    return name;
}

static const char *const variables[] = {"NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID"};

static void forget_variables(void)
{
    for (size_t i = 0; i < SUITE_LENGTH(variables); i++)
        unsetenv(variables[i]);
}

/* Starts with this manager alone. What is logged is in `errors`. */
static void start_under(const char *notify_socket)
{
    forget_variables();
    ck_assert_int_eq(setenv("NOTIFY_SOCKET", notify_socket, 1), 0);
    capture_begin(&errors, STDERR_FILENO);
    manager_open();
    manager_connect(0);
    capture_end(&errors);
}

/* ---- notifying ---- */

/* Makes a name as long as `length` by letters behind it. */
static void lengthen(const char *name, char *longer, size_t length)
{
    memset(longer, 'n', length);
    memcpy(longer, name, strlen(name));
    longer[length] = '\0';
}

/* Catches an address with a NUL or rubbish behind an abstract name, which is another name, and
 * a datagram with one behind the text. */
START_TEST(messages_arrive_byte_for_byte)
{
    char longest[2][ADDRESS_ROOM + 1];
    const char *const names[] = {path, abstract_name(), longest[0], longest[1]};

    lengthen(path, longest[0], ADDRESS_ROOM - 1); /* its NUL belongs to it */
    lengthen(abstract_name(), longest[1], ADDRESS_ROOM);
    for (size_t i = 0; i < SUITE_LENGTH(names); i++) {
        pid_t pid = fork(); /* one start a process */
        int status, manager;
        ck_assert_int_ne(pid, -1);
        if (pid == 0) {
            manager = open_manager(names[i]);
            start_under(names[i]);
            ck_assert_str_eq(errors.text, "");
            ck_assert_int_eq(manager_notify("READY=1"), 1);
            ck_assert_int_eq(manager_notify("STATUS=%d live\nMAINPID=%ld", 3, 77L), 1);
            ck_assert_str_eq(next_message(manager), "READY=1");
            ck_assert_str_eq(next_message(manager), "STATUS=3 live\nMAINPID=77");
            ck_assert_ptr_null(next_message(manager));
            _exit(0);
        }
        ck_assert_int_eq(waitpid(pid, &status, 0), pid);
        ck_assert_msg(status == 0, "%s", names[i]);
    }
}
END_TEST

static bool same(double one, double other)
{
    return one - other < 1e-9 && other - one < 1e-9;
}

/* Catches a server that writes to somebody, or opens something, when nobody is there. */
START_TEST(without_a_manager_nothing_happens)
{
    int before = open_descriptors();

    forget_variables();
    ck_assert_int_eq(setenv("NOTIFY_SOCKET", "", 1), 0);
    capture_begin(&errors, STDERR_FILENO);
    manager_open();
    manager_connect(0);
    ck_assert_int_eq(manager_notify("READY=1"), 0);
    manager_state(MANAGER_RELOADING);
    ck_assert(!manager_present());
    manager_state(MANAGER_READY);
    ck_assert(same(manager_update("3 live", 1), 0));
    ck_assert_str_eq(capture_end(&errors), "");
    ck_assert_int_eq(open_descriptors(), before);
}
END_TEST

/* Catches a wrong address that is cut to one that somebody has, or that stops the server. */
START_TEST(a_wrong_notify_socket_is_logged_and_ignored)
{
    char too_long[2][200];
    const char *const wrong[] = {"relative", "vsock:2:1234", "@", "/", too_long[0], too_long[1]};

    memset(too_long, 'a', sizeof too_long);
    too_long[0][0] = '/';
    too_long[0][ADDRESS_ROOM] = '\0'; /* no room for it */
    too_long[1][0] = '@';
    too_long[1][ADDRESS_ROOM + 1] = '\0';
    for (size_t i = 0; i < SUITE_LENGTH(wrong); i++) {
        start_under(wrong[i]);
        ck_assert_int_eq(lines_of(errors.text), 1);
        ck_assert_ptr_nonnull(strstr(errors.text, "NOTIFY_SOCKET '"));
        ck_assert_int_eq(manager_notify("READY=1"), 0);
    }
}
END_TEST

/* Catches a child, or a program that it executes, that finds its way to the manager. */
START_TEST(the_environment_is_cleared)
{
    for (size_t i = 0; i < SUITE_LENGTH(variables); i++)
        ck_assert_int_eq(setenv(variables[i], i == 0 ? "@" : "malformed", 1), 0);
    capture_begin(&errors, STDERR_FILENO);
    manager_open();
    ck_assert_int_eq(lines_of(capture_end(&errors)), 2);
    for (size_t i = 0; i < SUITE_LENGTH(variables); i++)
        ck_assert_ptr_null(getenv(variables[i]));
}
END_TEST

/* Catches a manager that does not read and with it stops the server, and one that is not
 * notified any more after that. */
START_TEST(a_full_queue_is_no_wait)
{
    int manager = open_manager(path), sent = 0, received_count = 0;

    start_under(path);
    while (manager_notify("WATCHDOG=1") == 1)
        ck_assert_int_lt(sent++, 1000000);
    ck_assert(errno == EAGAIN || errno == EWOULDBLOCK || errno == ENOBUFS);
    while (next_message(manager) != NULL)
        received_count++;
    ck_assert_int_gt(received_count, 0);
    ck_assert_int_eq(received_count, sent);
    ck_assert_int_eq(manager_notify("READY=1"), 1);
    ck_assert_str_eq(next_message(manager), "READY=1");
}
END_TEST

/* Notes which descriptors are open. */
static void note_open(bool *open_before)
{
    for (int descriptor = 0; descriptor < 1024; descriptor++)
        open_before[descriptor] = fcntl(descriptor, F_GETFD) != -1;
}

/* The lowest descriptor that was opened since; -1: none. */
static int opened_since(const bool *open_before)
{
    for (int descriptor = 0; descriptor < 1024; descriptor++)
        if (!open_before[descriptor] && fcntl(descriptor, F_GETFD) != -1)
            return descriptor;
    return -1;
}

/* Catches a descriptor that children inherit, since it is opened late or once more, and one
 * that blocks or stays open in what is executed. The manager comes, and comes again. */
START_TEST(one_descriptor_serves_for_good)
{
    int before = open_descriptors(), manager, again, here;
    bool open_before[1024];

    note_open(open_before);
    start_under(path);
    ck_assert_int_eq(lines_of(errors.text), 1);
    ck_assert_ptr_nonnull(strstr(errors.text, "(NOTIFY_SOCKET): "));
    ck_assert_int_eq(open_descriptors(), before + 1);
    here = opened_since(open_before);
    ck_assert_int_ne(here, -1);
    ck_assert_int_eq(fcntl(here, F_GETFD), FD_CLOEXEC);
    ck_assert_int_ne(fcntl(here, F_GETFL) & O_NONBLOCK, 0);
    ck_assert_int_eq(manager_notify("READY=1"), -1);
    manager = open_manager(path);
    ck_assert_int_eq(manager_notify("READY=1"), 1);
    ck_assert_str_eq(next_message(manager), "READY=1");
    close(manager);
    unlink(path);
    ck_assert_int_eq(manager_notify("WATCHDOG=1"), -1);
    again = open_manager(path);
    ck_assert_int_eq(manager_notify("STOPPING=1"), 1);
    ck_assert_str_eq(next_message(again), "STOPPING=1");
    close(again);
    ck_assert_int_eq(open_descriptors(), before + 1);
    ck_assert_int_eq(fcntl(here, F_GETFD), FD_CLOEXEC);
}
END_TEST

/* Catches the time of another clock, or in another unit: the manager would wait for ever. */
START_TEST(reloading_sends_the_monotonic_time)
{
    static const char prefix[] = "RELOADING=1\nMONOTONIC_USEC=";
    int manager = open_manager(path);
    double before, sent, after;
    const char *message;
    char *end;

    start_under(path);
    before = clock_seconds();
    manager_state(MANAGER_RELOADING);
    after = clock_seconds();
    message = next_message(manager);
    ck_assert_ptr_nonnull(message);
    ck_assert_int_eq(strncmp(message, prefix, sizeof prefix - 1), 0);
    sent = (double)strtoull(message + sizeof prefix - 1, &end, 10) / 1e6;
    ck_assert_int_eq(*end, '\0');
    ck_assert(sent >= before - 2e-6 && sent <= after + 2e-6);
}
END_TEST

/* Catches a flood of status texts, one that is never sent since it came too early, and a text that
 * sets another variable. */
START_TEST(a_status_is_sent_once_a_second_at_most)
{
    int manager = open_manager(path);

    start_under(path);
    ck_assert(same(manager_update("0 live", 0), 0));
    ck_assert_str_eq(next_message(manager), "STATUS=0 live");
    ck_assert(same(manager_update("1 live", 0.25), 1));
    ck_assert(same(manager_update("2 live", 0.75), 1));
    ck_assert_ptr_null(next_message(manager));
    ck_assert(same(manager_update("3 live", 1), 0));
    ck_assert_str_eq(next_message(manager), "STATUS=3 live");
    ck_assert(same(manager_update("3 live", 5), 0));
    ck_assert_ptr_null(next_message(manager));
    ck_assert(same(manager_update("4 live\nMAINPID=1", 5.5), 0));
    ck_assert_str_eq(next_message(manager), "STATUS=4 live");
}
END_TEST

/* Catches a server that looks ten times a second, for ever, for a manager that has gone, and one
 * that says what is new only when it would have looked again. */
START_TEST(a_manager_that_has_gone_is_looked_for_every_other_minute)
{
    int manager = open_manager(path);

    start_under(path);
    close(manager);
    unlink(path);
    manager_state(MANAGER_READY);
    ck_assert(same(manager_update("0 live", 7), 127));
    ck_assert(same(manager_update("0 live", 126), 127));
    ck_assert(same(manager_update("0 live", 127), 247));
    manager = open_manager(path);
    ck_assert(same(manager_update("0 live", 128), 247));
    ck_assert_ptr_null(next_message(manager));
    ck_assert(same(manager_update("1 live", 129), 0));
    ck_assert_str_eq(next_message(manager), "READY=1");
    ck_assert_str_eq(next_message(manager), "STATUS=1 live");
    ck_assert_ptr_null(next_message(manager));
}
END_TEST

/* Catches a server that looks ten times a second, for ever, whether a queue has room again, and one
 * that after a long pause begins with a long one. */
START_TEST(a_queue_that_stays_full_is_tried_less_and_less_often)
{
    static const double pauses[] = {0.1, 0.2, 0.4, 0.8, 1.6, 3.2, 6.4, 12.8, 25.6, 51.2, 102.4,
                                    120, 120};
    int manager = open_manager(path);
    double now = 1;

    start_under(path);
    for (int round = 0; round < 2; round++) {
        while (manager_notify("STATUS=fill") == 1)
            continue;
        manager_state(MANAGER_READY);
        for (size_t i = 0; i < SUITE_LENGTH(pauses); i++) {
            double due = manager_update("", now);
            ck_assert_msg(same(due, now + pauses[i]), "pause %zu is %g s", i, due - now);
            ck_assert(same(manager_update("", now + pauses[i] / 2), due));
            now = due;
        }
        while (next_message(manager) != NULL)
            continue;
        ck_assert(same(manager_update("", now), 0));
        ck_assert_str_eq(next_message(manager), "READY=1");
    }
}
END_TEST

/* Catches a server that the watchdog kills, being late or silent, and one that answers the
 * watchdog of its parent. */
START_TEST(the_watchdog_is_answered_twice_a_period)
{
    static const struct {
        const char *period;
        int pid; /* 0: ours, 1: another, 2: not set, 3: malformed */
        double expected;
        int lines;
    } cases[] = {
        {"30000000", 0, 15, 0}, {"500000", 2, 0.25, 0}, {"30000000", 1, 0, 0},
        {"30000000", 3, 0, 1},  {"0", 0, 0, 1},         {"-1", 0, 0, 1},
        {"3s", 2, 0, 1},        {"", 0, 0, 0},          {"99999999999999999999999", 0, 0, 1},
    };

    for (size_t i = 0; i < SUITE_LENGTH(cases); i++) {
        pid_t pid = fork(); /* one start a process */
        int status;
        ck_assert_int_ne(pid, -1);
        if (pid == 0) {
            int manager = open_manager(path);
            double due = cases[i].expected > 0 ? 100 + cases[i].expected : 0;
            char text[32];
            snprintf(text, sizeof text, "%ld%s", cases[i].pid == 1 ? (long)getppid() : (long)getpid(),
                     cases[i].pid == 3 ? "x" : "");
            forget_variables();
            setenv("WATCHDOG_USEC", cases[i].period, 1);
            if (cases[i].pid != 2)
                setenv("WATCHDOG_PID", text, 1);
            capture_begin(&errors, STDERR_FILENO);
            setenv("NOTIFY_SOCKET", path, 1);
            manager_open();
            ck_assert_int_eq(lines_of(capture_end(&errors)), cases[i].lines);
            manager_connect(0);
            if (!same(manager_update("x", 100), due) ||
                strcmp(next_message(manager), "STATUS=x") != 0)
                _exit(1);
            if (due > 0 && strcmp(next_message(manager), "WATCHDOG=1") != 0)
                _exit(2);
            if (!same(manager_update("x", 100.1), due) || next_message(manager) != NULL)
                _exit(3); /* too early for another */
            if (due > 0 && (!same(manager_update("x", due), due + cases[i].expected) ||
                            strcmp(next_message(manager), "WATCHDOG=1") != 0))
                _exit(4);
            _exit(0);
        }
        ck_assert_int_eq(waitpid(pid, &status, 0), pid);
        ck_assert_msg(status == 0, "case %zu: %x", i, (unsigned)status);
        unlink(path);
    }
}
END_TEST

/* Catches READY=1 that is lost because the manager's queue was full, and one sent twice. */
START_TEST(ready_is_sent_as_soon_as_there_is_room)
{
    int manager = open_manager(path), queued = 0;

    start_under(path);
    while (manager_notify("STATUS=fill") == 1)
        queued++;
    ck_assert_int_gt(queued, 0);
    manager_state(MANAGER_READY);
    ck_assert(manager_update("", 1) > 1);
    while (queued-- > 0)
        ck_assert_str_eq(next_message(manager), "STATUS=fill");
    ck_assert_ptr_null(next_message(manager));
    ck_assert(same(manager_update("", 2), 0));
    ck_assert_str_eq(next_message(manager), "READY=1");
    ck_assert(same(manager_update("", 3), 0));
    ck_assert_ptr_null(next_message(manager));
}
END_TEST

/* Catches a failure that is kept from the manager where it comes early or is long, or that sets a
 * variable of its own. */
START_TEST(a_failure_is_the_last_message)
{
    int manager = open_manager(path);
    char text[1000], expected[MANAGER_STATUS_MAX + 32];

    manager_failed("nobody is there", EACCES);
    forget_variables();
    ck_assert_int_eq(setenv("NOTIFY_SOCKET", path, 1), 0);
    manager_open();
    manager_failed("cannot listen\nMAINPID=1", EADDRINUSE);
    snprintf(expected, sizeof expected, "STATUS=cannot listen\nERRNO=%d", EADDRINUSE);
    ck_assert_str_eq(next_message(manager), expected);
    memset(text, 'a', sizeof text - 1);
    text[sizeof text - 1] = '\0';
    manager_failed(text, EACCES);
    snprintf(expected, sizeof expected, "STATUS=%.*s\nERRNO=%d", MANAGER_STATUS_MAX - 1, text,
             EACCES);
    ck_assert_str_eq(next_message(manager), expected);
    ck_assert_ptr_null(next_message(manager));
}
END_TEST

static void expect_variable(const char *name, const char *expected)
{
    const char *value = getenv(name);

    ck_assert_msg(value != NULL && strcmp(value, expected) == 0, "%s=%s", name,
                  value != NULL ? value : "(unset)");
}

/* Catches an upgrade whose new program cannot notify the manager that it is ready. */
START_TEST(the_next_program_finds_the_manager)
{
    char pid[32];

    snprintf(pid, sizeof pid, "%ld", (long)getpid());
    for (int round = 0; round < 2; round++) {
        const char *name = round == 0 ? path : abstract_name();
        int manager = open_manager(name);
        forget_variables();
        setenv("NOTIFY_SOCKET", name, 1);
        setenv("WATCHDOG_USEC", "4000000", 1);
        setenv("WATCHDOG_PID", pid, 1);
        manager_open();
        ck_assert_int_eq(manager_export(), 0);
        expect_variable("NOTIFY_SOCKET", name);
        expect_variable("WATCHDOG_USEC", "4000000");
        expect_variable("WATCHDOG_PID", pid);
        manager_unexport();
        ck_assert_ptr_null(getenv("NOTIFY_SOCKET"));
        ck_assert_ptr_null(getenv("WATCHDOG_USEC"));
        close(manager);
    }
}
END_TEST

/* ---- as root ---- */

static int notify_from_another_root(void *data)
{
    (void)data;
    if (platform_change_root("/proc") == -1 || chdir("/") == -1)
        return 1;
    return manager_notify("READY=1") == 1 ? 0 : 2;
}

/* Catches a server under -r that the manager gives up on, never having heard of it. */
START_TEST(a_change_of_root_is_no_obstacle)
{
    int manager = open_manager(path);

    start_under(path);
    ck_assert_int_eq(suite_in_child(notify_from_another_root, NULL), 0);
    ck_assert_str_eq(next_message(manager), "READY=1");
}
END_TEST

static void remove_socket(void)
{
    unlink(path);
}

/* As suite_run, with the socket removed between tests. */
static int run(const TTest *const *tests, size_t count)
{
    Suite *suite = suite_create("manager");
    TCase *group = tcase_create("manager");
    SRunner *runner = srunner_create(suite);
    int failed;

    suite_add_tcase(suite, group);
    tcase_set_timeout(group, 4 * SUITE_TIMEOUT);
    tcase_add_checked_fixture(group, remove_socket, remove_socket);
    for (size_t i = 0; i < count; i++)
        tcase_add_test(group, tests[i]);
    srunner_run_all(runner, CK_NORMAL);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}

int main(void)
{
    const TTest *const tests[] = {
        messages_arrive_byte_for_byte, without_a_manager_nothing_happens,
        a_wrong_notify_socket_is_logged_and_ignored, the_environment_is_cleared,
        a_full_queue_is_no_wait, one_descriptor_serves_for_good,
        reloading_sends_the_monotonic_time,
        a_status_is_sent_once_a_second_at_most, the_watchdog_is_answered_twice_a_period,
        a_manager_that_has_gone_is_looked_for_every_other_minute,
        a_queue_that_stays_full_is_tried_less_and_less_often,
        ready_is_sent_as_soon_as_there_is_room,
        a_failure_is_the_last_message, the_next_program_finds_the_manager,
        a_change_of_root_is_no_obstacle /* needs root */};
    int status;

    if (suite_make_directory(directory, sizeof directory) == -1)
        return EXIT_FAILURE;
    snprintf(path, sizeof path, "%s/notify", directory);
    if (geteuid() != 0)
        printf("manager: 1 test skipped: it needs root\n");
    fflush(stdout);
    status = run(tests, SUITE_LENGTH(tests) - (geteuid() != 0));
    suite_remove_directory(directory);
    return status;
}
