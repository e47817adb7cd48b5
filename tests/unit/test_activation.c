/* test_activation.c: sockets that a service manager hands over (activation.h). Each start is in a
 * child, since check has descriptors at 3 and above. */
#include "suite.h"

#include "process/activation.h"

#include <sys/un.h>

static char directory[80];
static char path[100]; /* of a Unix socket in it */
static struct capture errors;

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
    int expected;       /* how many sockets; -1: it fails */
};

static int open_listener(int family)
{
    struct sockaddr_storage any;
    struct sockaddr_un local = {.sun_family = AF_UNIX};
    int listener = socket(family, SOCK_STREAM, 0);

    strcpy(local.sun_path, path);
    memset(&any, 0, sizeof any);
    any.ss_family = (sa_family_t)family;
    if (family == AF_UNIX ? bind(listener, (struct sockaddr *)&local, sizeof local) == -1
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

    if (fcntl(descriptor, F_GETFD) != FD_CLOEXEC ||
        (fcntl(descriptor, F_GETFL) & O_NONBLOCK) == 0 ||
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

static const char *const variables[] = {"LISTEN_FDS", "LISTEN_PID", "LISTEN_FDNAMES",
                                        "LISTEN_PIDFDID"};

/* A start in a child. Returns 0 where that gave what was expected. */
static int start_with(void *data)
{
    const struct handover *handover = data;
    char count[32], pid[32];

    if (!hand_over(handover->kinds))
        return 90;
    snprintf(count, sizeof count, "%zu", strlen(handover->kinds));
    snprintf(pid, sizeof pid, "%ld", (long)getpid());
    setenv("LISTEN_FDS", handover->count != NULL ? handover->count : count, 1);
    setenv("LISTEN_PID", handover->pid != NULL ? handover->pid : pid, 1);
    unsetenv("LISTEN_FDNAMES");
    if (handover->names != NULL)
        setenv("LISTEN_FDNAMES", handover->names, 1);
    setenv("LISTEN_PIDFDID", "1", 1);
    if ((activation_open(handover->limit) == -1 ? -1 : activation_count()) != handover->expected)
        return 91;
    for (size_t i = 0; i < SUITE_LENGTH(variables); i++)
        if (getenv(variables[i]) != NULL)
            return 92;
    for (int i = 0; i < handover->expected; i++)
        if (!is_usable(ACTIVATION_FIRST + i))
            return 93;
    return 0;
}

/* Runs a start in a child; `logged` is part of its one line, NULL: it logs none. */
static void expect_start(struct handover handover, const char *logged)
{
    int result;

    capture_begin(&errors, STDERR_FILENO);
    result = suite_in_child(start_with, &handover);
    capture_end(&errors);
    unlink(path);
    ck_assert_msg(result == 0, "%s: %d: %s", handover.kinds, result, errors.text);
    ck_assert_int_eq(lines_of(errors.text), logged != NULL);
    ck_assert_msg(logged == NULL || strstr(errors.text, logged) != NULL, "'%s' is not in: %s",
                  logged, errors.text);
}

/* Whether this machine has IPv6 at all. */
static bool has_v6(void)
{
    int probe = open_listener(AF_INET6);

    close(probe);
    return probe != -1;
}

/* Catches a listener that blocks the loop, is inherited by what is executed, or is shut down; and
 * variables that stay for a child, or a program that it executes, to find. */
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
        const char *kinds, *names, *logged;
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
        expect_start((struct handover){.kinds = cases[i].kinds, .names = cases[i].names,
                                       .limit = 16, .expected = -1}, cases[i].logged);
    expect_start((struct handover){.kinds = "444", .limit = 2, .expected = -1},
                 "LISTEN_FDS hands over 3 sockets; at most 2");
    expect_start((struct handover){.kinds = "4", .count = "2000000000", .limit = 16,
                                   .expected = -1}, "at most 16");
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
        expect_start((struct handover){.kinds = "4", .count = counts[i], .limit = 16,
                                       .expected = -1}, "LISTEN_FDS '");
    expect_start((struct handover){.kinds = "4", .pid = "one", .limit = 16, .expected = -1},
                 "LISTEN_PID 'one'");
}
END_TEST

int main(void)
{
    const TTest *const tests[] = {listeners_are_taken_over, what_is_no_listener_is_named,
                                  what_was_handed_to_another_process_is_not_taken,
                                  malformed_variables_are_refused};
    int status;

    if (suite_make_directory(directory, sizeof directory) == -1)
        return EXIT_FAILURE;
    snprintf(path, sizeof path, "%s/socket", directory);
    status = suite_run("activation", tests, SUITE_LENGTH(tests));
    suite_remove_directory(directory);
    return status;
}
