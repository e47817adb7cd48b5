/* test_manager.c: the service manager's protocol, with this suite as the manager (manager.h).
 * What is handed over at descriptor 3 is so in a child, since check has descriptors there. */
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

static void forget_variables(void)
{
    static const char *const names[] = {"NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID",
                                        "LISTEN_FDS", "LISTEN_PID", "LISTEN_FDNAMES"};

    for (size_t i = 0; i < SUITE_LENGTH(names); i++)
        unsetenv(names[i]);
}

/* Starts with this manager alone. What is said is in `errors`. */
static void start_under(const char *notify_socket)
{
    forget_variables();
    ck_assert_int_eq(setenv("NOTIFY_SOCKET", notify_socket, 1), 0);
    capture_begin(&errors, STDERR_FILENO);
    ck_assert_int_eq(manager_open(), 0);
    manager_connect();
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
    int descriptors[4], before = open_descriptors();

    forget_variables();
    ck_assert_int_eq(setenv("NOTIFY_SOCKET", "", 1), 0);
    capture_begin(&errors, STDERR_FILENO);
    ck_assert_int_eq(manager_open(), 0);
    manager_connect();
    ck_assert_int_eq(manager_notify("READY=1"), 0);
    manager_state(MANAGER_RELOADING);
    ck_assert(!manager_present());
    manager_state(MANAGER_READY);
    ck_assert(same(manager_update("3 live", 1), 0));
    ck_assert_str_eq(capture_end(&errors), "");
    ck_assert_int_eq(manager_listeners(descriptors), 0);
    ck_assert_int_eq(manager_lowest_free(), 3);
    ck_assert_int_eq(open_descriptors(), before);
}
END_TEST

/* Catches a wrong address that is cut to one that somebody has, or that stops the server. */
START_TEST(a_wrong_notify_socket_is_said_and_ignored)
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
    static const char *const names[] = {"NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID",
                                        "LISTEN_FDS", "LISTEN_PID", "LISTEN_FDNAMES"};

    for (int malformed = 0; malformed < 2; malformed++) {
        char pid[32];
        snprintf(pid, sizeof pid, "%ld%s", (long)getpid(), malformed ? "x" : "");
        for (size_t i = 0; i < SUITE_LENGTH(names); i++)
            ck_assert_int_eq(setenv(names[i], i == 0 ? "@" : "1000000", 1), 0);
        ck_assert_int_eq(setenv("LISTEN_PID", pid, 1), 0);
        capture_begin(&errors, STDERR_FILENO);
        ck_assert_int_eq(manager_open(), malformed ? -1 : 0);
        capture_end(&errors);
        for (size_t i = 0; i < SUITE_LENGTH(names); i++)
            ck_assert_ptr_null(getenv(names[i]));
    }
}
END_TEST

/* Catches a manager that does not read and with it stops the server, and one that is not told
 * anything any more after that. */
START_TEST(a_full_queue_is_no_wait)
{
    int manager = open_manager(path), sent = 0, told = 0;

    start_under(path);
    while (manager_notify("WATCHDOG=1") == 1)
        ck_assert_int_lt(sent++, 1000000);
    ck_assert(errno == EAGAIN || errno == EWOULDBLOCK || errno == ENOBUFS);
    while (next_message(manager) != NULL)
        told++;
    ck_assert_int_gt(told, 0);
    ck_assert_int_eq(told, sent);
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

/* Catches a long message that is cut, perhaps to one that says something else. */
START_TEST(a_message_is_sent_whole_or_not_at_all)
{
    char text[MANAGER_MESSAGE_MAX + 2];
    int manager = open_manager(path);

    memset(text, 'a', sizeof text - 1);
    text[sizeof text - 1] = '\0';
    start_under(path);
    ck_assert_int_eq(manager_notify("%s", text), -1);
    ck_assert_int_eq(errno, EMSGSIZE);
    ck_assert_ptr_null(next_message(manager));
    ck_assert_int_eq(manager_notify("%s", text + 1), 1);
    ck_assert_str_eq(next_message(manager), text + 1);
}
END_TEST

/* Catches the time of another clock, or in another unit: the manager would wait for ever. */
START_TEST(reloading_tells_the_monotonic_time)
{
    static const char prefix[] = "RELOADING=1\nMONOTONIC_USEC=";
    int manager = open_manager(path);
    double before, told, after;
    const char *message;
    char *end;

    start_under(path);
    before = clock_seconds();
    manager_state(MANAGER_RELOADING);
    after = clock_seconds();
    message = next_message(manager);
    ck_assert_ptr_nonnull(message);
    ck_assert_int_eq(strncmp(message, prefix, sizeof prefix - 1), 0);
    told = (double)strtoull(message + sizeof prefix - 1, &end, 10) / 1e6;
    ck_assert_int_eq(*end, '\0');
    ck_assert(told >= before - 2e-6 && told <= after + 2e-6);
}
END_TEST

/* Catches a flood of status texts, one that is never told since it came too early, one that
 * failed and is not told again, and a text that sets another variable. */
START_TEST(a_status_is_told_once_a_second_at_most)
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
    close(manager);
    unlink(path);
    ck_assert(same(manager_update("5 live", 7), 8));
    manager = open_manager(path);
    ck_assert(same(manager_update("5 live", 7.5), 8));
    ck_assert_ptr_null(next_message(manager));
    ck_assert(same(manager_update("5 live", 8), 0));
    ck_assert_str_eq(next_message(manager), "STATUS=5 live");
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
            ck_assert_int_eq(manager_open(), 0);
            ck_assert_int_eq(lines_of(capture_end(&errors)), cases[i].lines);
            manager_connect();
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
START_TEST(ready_is_told_as_soon_as_there_is_room)
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

static void expect_variable(const char *name, const char *expected)
{
    const char *value = getenv(name);

    ck_assert_msg(value != NULL && strcmp(value, expected) == 0, "%s=%s", name,
                  value != NULL ? value : "(unset)");
}

/* Catches an upgrade whose new program cannot tell the manager that it is ready, or that finds
 * listeners that were handed over long ago. */
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
        setenv("LISTEN_FDS", "1", 1);
        setenv("LISTEN_PID", pid, 1);
        ck_assert_int_eq(manager_open(), 0);
        ck_assert_int_eq(manager_export(), 0);
        expect_variable("NOTIFY_SOCKET", name);
        expect_variable("WATCHDOG_USEC", "4000000");
        expect_variable("WATCHDOG_PID", pid);
        ck_assert_ptr_null(getenv("LISTEN_FDS"));
        manager_unexport();
        ck_assert_ptr_null(getenv("NOTIFY_SOCKET"));
        ck_assert_ptr_null(getenv("WATCHDOG_USEC"));
        close(manager);
    }
}
END_TEST

/* ---- listeners ---- */

/*
 * What is handed over, one letter a descriptor: 4, 6, u: a socket that listens, of IPv4, IPv6
 * or Unix; d: a datagram socket; q: a packet socket; s: a stream socket that does not listen;
 * x: one end of a connection; p: a pipe; c: closed.
 */
struct handover {
    const char *kinds;
    const char *count;  /* LISTEN_FDS, NULL: as many as there are */
    const char *pid;    /* LISTEN_PID, NULL: ours */
    const char *names;  /* LISTEN_FDNAMES, NULL: not set */
    size_t limit;
    int expected;       /* of manager_listeners */
};

static int open_listener(int family)
{
    struct sockaddr_storage any;
    struct sockaddr_un local;
    socklen_t length = address_of(path, &local);
    int listener = socket(family, SOCK_STREAM, 0);

    memset(&any, 0, sizeof any);
    any.ss_family = (sa_family_t)family;
    if (family == AF_UNIX ? bind(listener, (struct sockaddr *)&local, length) == -1
                          : bind(listener, (struct sockaddr *)&any,
                                 family == AF_INET ? sizeof(struct sockaddr_in)
                                                   : sizeof(struct sockaddr_in6)) == -1)
        return -1;
    return listen(listener, 4) == 0 ? listener : -1;
}

static int open_kind(char kind)
{
    int ends[2] = {-1, -1};

    switch (kind) {
    case '4': return open_listener(AF_INET);
    case '6': return open_listener(AF_INET6);
    case 'u': return open_listener(AF_UNIX);
    case 'd': return socket(AF_INET, SOCK_DGRAM, 0);
    case 'q': return socket(AF_UNIX, SOCK_SEQPACKET, 0);
    case 's': return socket(AF_INET, SOCK_STREAM, 0);
    case 'x': return socketpair(AF_UNIX, SOCK_STREAM, 0, ends) == 0 ? ends[0] : -1;
    case 'p': return pipe(ends) == 0 ? ends[0] : -1;
    default: return -1;
    }
}

/* In a child: puts the kinds at 3 and above, wherever that is taken. */
static bool hand_over(const char *kinds)
{
    int made[16];

    for (int i = 0; kinds[i] != '\0'; i++) {
        int one = open_kind(kinds[i]);
        if (kinds[i] == 'c')
            continue;
        made[i] = fcntl(one, F_DUPFD, 100);
        if (one == -1 || made[i] == -1)
            return false;
        close(one);
    }
    for (int i = 0; kinds[i] != '\0'; i++) {
        if (kinds[i] == 'c') {
            close(3 + i);
            continue;
        }
        dup2(made[i], 3 + i);
        close(made[i]);
    }
    return true;
}

/* Whether a listener that was taken has its flags, and still takes connections. */
static bool is_usable(int descriptor)
{
    struct sockaddr_storage name;
    socklen_t length = sizeof name;
    int client, accepted;

    if (fcntl(descriptor, F_GETFD) != FD_CLOEXEC || (fcntl(descriptor, F_GETFL) & O_NONBLOCK) == 0 ||
        getsockname(descriptor, (struct sockaddr *)&name, &length) == -1)
        return false;
    client = socket(name.ss_family, SOCK_STREAM, 0);
    if (connect(client, (struct sockaddr *)&name, length) == -1)
        return false;
    accepted = accept(descriptor, NULL, NULL);
    close(client);
    close(accepted);
    return accepted != -1;
}

/* A start in a child. Returns 0 where manager_listeners gave what was expected. */
static int start_with(void *data)
{
    const struct handover *handover = data;
    char text[32];
    int descriptors[16], count;

    forget_variables();
    if (!hand_over(handover->kinds))
        return 90;
    snprintf(text, sizeof text, "%zu", strlen(handover->kinds));
    setenv("LISTEN_FDS", handover->count != NULL ? handover->count : text, 1);
    snprintf(text, sizeof text, "%ld", (long)getpid());
    setenv("LISTEN_PID", handover->pid != NULL ? handover->pid : text, 1);
    if (handover->names != NULL)
        setenv("LISTEN_FDNAMES", handover->names, 1);
    if (manager_open() == -1)
        return handover->expected == -2 ? 0 : 91;
    count = manager_check(handover->limit) == -1 ? -1 : manager_listeners(descriptors);
    if (count != handover->expected)
        return 92;
    if (count > 0 && manager_lowest_free() != 3 + count)
        return 93;
    for (int i = 0; i < count; i++)
        if (descriptors[i] != 3 + i || !is_usable(descriptors[i]))
            return 94;
    return 0;
}

/* Runs a start in a child; `said` is part of its one line, NULL: it has to say nothing. */
static void expect_start(struct handover handover, const char *said)
{
    int result;

    capture_begin(&errors, STDERR_FILENO);
    result = suite_in_child(start_with, &handover);
    capture_end(&errors);
    unlink(path);
    ck_assert_msg(result == 0, "%s: %d: %s", handover.kinds, result, errors.text);
    ck_assert_int_eq(lines_of(errors.text), said != NULL);
    ck_assert_msg(said == NULL || strstr(errors.text, said) != NULL, "'%s' is not in: %s", said,
                  errors.text);
}

/* Whether this machine has IPv6 at all. */
static bool has_v6(void)
{
    int probe = open_listener(AF_INET6);

    close(probe);
    return probe != -1;
}

/* Catches a listener that blocks the loop, is inherited by what is executed, or is shut down. */
START_TEST(listeners_are_taken_over)
{
    expect_start((struct handover){.kinds = "4u4", .limit = 16, .expected = 3}, NULL);
    expect_start((struct handover){.kinds = "u", .names = "echo", .limit = 1, .expected = 1}, NULL);
    if (has_v6())
        expect_start((struct handover){.kinds = "64", .limit = 16, .expected = 2}, NULL);
}
END_TEST

/* Catches a server that only fails when it accepts, or waits on what never becomes ready; and
 * a line that does not say which line of the socket unit is wrong. */
START_TEST(what_is_no_listener_is_named)
{
    static const struct {
        const char *kinds, *names, *said;
    } cases[] = {
        {"4d", "tcp:udp", "descriptor 4 (udp) of LISTEN_FDS: it is a datagram socket"},
        {"4d", "tcp", "descriptor 4 of LISTEN_FDS: it is a datagram socket"},
        {"44c", "a::named", "descriptor 5 (named) of LISTEN_FDS: it is not open"},
        {"p", NULL, "descriptor 3 of LISTEN_FDS: it is not a socket"},
        {"4s4", "one::three", "descriptor 4 of LISTEN_FDS: it does not listen"},
        {"x", "connection", "descriptor 3 (connection) of LISTEN_FDS: it does not listen"},
        {"q", NULL, "descriptor 3 of LISTEN_FDS: it is not a stream socket"},
    };

    for (size_t i = 0; i < SUITE_LENGTH(cases); i++)
        expect_start((struct handover){.kinds = cases[i].kinds, .names = cases[i].names, .limit = 16,
                                       .expected = -1}, cases[i].said);
    expect_start((struct handover){.kinds = "444", .limit = 2, .expected = -1},
                 "LISTEN_FDS hands over 3 sockets; at most 2");
    expect_start((struct handover){.kinds = "4", .count = "2000000000", .limit = 16, .expected = -1},
                 "at most 16");
}
END_TEST

/* Catches a server, started by one that was socket-activated, that takes its parent's
 * variables for its own, and descriptors of its own for listeners. */
START_TEST(what_was_handed_to_another_process_is_not_taken)
{
    char parent[32];

    snprintf(parent, sizeof parent, "%ld", (long)getpid());
    expect_start((struct handover){.kinds = "4d", .pid = parent, .limit = 16}, NULL);
    expect_start((struct handover){.kinds = "4", .pid = "", .limit = 16}, NULL);
    expect_start((struct handover){.kinds = "4", .count = "", .limit = 16}, NULL);
}
END_TEST

/* Catches variables that are half understood: it would listen where it was not meant to. */
START_TEST(malformed_variables_are_refused)
{
    static const char *const counts[] = {"0", "-1", "1x", "x", " 1", "99999999999999999999",
                                         "2147483647"};

    for (size_t i = 0; i < SUITE_LENGTH(counts); i++)
        expect_start((struct handover){.kinds = "4", .count = counts[i], .limit = 16, .expected = -2},
                     "LISTEN_FDS '");
    expect_start((struct handover){.kinds = "4", .pid = "one", .limit = 16, .expected = -2},
                 "LISTEN_PID 'one'");
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
    tcase_set_timeout(group, SUITE_TIMEOUT);
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
        a_wrong_notify_socket_is_said_and_ignored, the_environment_is_cleared,
        a_full_queue_is_no_wait, one_descriptor_serves_for_good,
        a_message_is_sent_whole_or_not_at_all, reloading_tells_the_monotonic_time,
        a_status_is_told_once_a_second_at_most, the_watchdog_is_answered_twice_a_period,
      ready_is_told_as_soon_as_there_is_room,
        the_next_program_finds_the_manager, listeners_are_taken_over, what_is_no_listener_is_named,
        what_was_handed_to_another_process_is_not_taken, malformed_variables_are_refused,
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
