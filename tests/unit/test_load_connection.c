/* test_load_connection.c: one connection of a load generator (load/connection.h). The server's
 * end is ours, so each case says what it does. */
#include "suite.h"

#include "load/connection.h"
#include "platform/readiness.h"

#include <netinet/tcp.h>
#include <poll.h>
#include <signal.h>

#define NUMBER 3 /* of the connection: it has an origin of its own */

static struct load_buffers buffers = {.write_max = PATTERN_SLICE_MAX};
static struct connection connection;
static int server; /* the other end */

/* Opens one with a goal that may send `limit` bytes. */
static void open_for(enum connection_goal goal, uint64_t limit)
{
    struct target target = {.connected = -1};
    int ends[2];

    signal(SIGPIPE, SIG_IGN);
    pattern_fill(&buffers.pattern);
    ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM, 0, ends), 0);
    set_nonblocking(ends[0]);
    target.connected = ends[0];
    server = ends[1];
    ck_assert_int_eq(connection_open(&connection, &target, NUMBER), 0);
    connection.goal = goal;
    connection.limit = connection.mark = limit;
}

/* Opens one that is complete with the last byte that it may send. */
static void open_connection(uint64_t limit)
{
    open_for(GOAL_ECHO, limit);
}

static const unsigned char *expected(uint64_t position)
{
    return pattern_slice(&buffers.pattern, pattern_origin(NUMBER), position);
}

/* A step that has to end well, or not to end yet. */
static enum connection_outcome step(unsigned ready)
{
    enum load_failure why = FAILURES;
    enum connection_outcome outcome = connection_step(&connection, &buffers, ready, &why);

    ck_assert_msg(outcome != CONNECTION_FAILED, "failed: %d, %s", (int)why, strerror(errno));
    return outcome;
}

/* A step that has to fail. Returns why; the errno that it leaves must be `error`. */
static enum load_failure failure(unsigned ready, int error)
{
    enum load_failure why = FAILURES;

    errno = -1;
    ck_assert_int_eq(connection_step(&connection, &buffers, ready, &why), CONNECTION_FAILED);
    ck_assert_int_eq(errno, error);
    return why;
}

static void server_sends(const void *bytes, size_t size)
{
    ck_assert_int_eq(write(server, bytes, size), (ssize_t)size);
}

/* Catches bytes that are not the connection's own, and a wait for more room once all is sent. */
START_TEST(it_sends_its_own_bytes_and_then_waits_for_them)
{
    unsigned char bytes[8];

    open_connection(5);
    ck_assert_int_eq(connection.state, CONNECTION_CONNECTING);
    ck_assert_uint_eq(connection_wants(&connection), READINESS_WRITE);
    ck_assert_int_eq(step(READINESS_WRITE), CONNECTION_GOES_ON);
    ck_assert_int_eq(read(server, bytes, sizeof bytes), 5);
    ck_assert_mem_eq(bytes, expected(0), 5);
    ck_assert_int_eq(connection.state, CONNECTION_ECHOING);
    ck_assert_uint_eq(connection_wants(&connection), READINESS_READ);
}
END_TEST

/* Catches a completion before the last byte, or none with it. */
START_TEST(it_is_complete_with_the_marked_byte)
{
    open_connection(5);
    step(READINESS_WRITE);
    server_sends(expected(0), 4);
    ck_assert_int_eq(step(READINESS_READ), CONNECTION_GOES_ON);
    server_sends(expected(4), 1);
    ck_assert_int_eq(step(READINESS_READ), CONNECTION_COMPLETE);
    ck_assert_uint_eq(connection.received, 5);
}
END_TEST

/* Catches a second write that begins the pattern anew, and one above the allowed size. */
START_TEST(a_long_message_goes_on_where_it_was)
{
    unsigned char bytes[16];

    buffers.write_max = 6;
    open_connection(10);
    ck_assert_int_eq(step(READINESS_WRITE), CONNECTION_GOES_ON);
    ck_assert_uint_eq(connection.sent, 6);
    ck_assert_uint_eq(connection_wants(&connection), READINESS_READ | READINESS_WRITE);
    ck_assert_int_eq(step(READINESS_WRITE), CONNECTION_GOES_ON);
    ck_assert_uint_eq(connection.sent, 10);
    ck_assert_int_eq(read(server, bytes, sizeof bytes), 10);
    ck_assert_mem_eq(bytes, expected(0), 10);
}
END_TEST

/* Catches readiness in word only that is taken for an end or an error. */
START_TEST(a_false_readiness_changes_nothing)
{
    open_connection(5);
    step(READINESS_WRITE);
    ck_assert_int_eq(step(READINESS_READ | READINESS_WRITE), CONNECTION_GOES_ON);
    ck_assert_uint_eq(connection.sent, 5);
    ck_assert_uint_eq(connection.received, 0);
}
END_TEST

/* Catches a byte that is not compared: here each of them is once another. */
START_TEST(every_wrong_byte_is_found)
{
    for (size_t wrong = 0; wrong < 5; wrong++) {
        unsigned char bytes[5];
        open_connection(5);
        step(READINESS_WRITE);
        memcpy(bytes, expected(0), sizeof bytes);
        bytes[wrong] ^= 1;
        server_sends(bytes, sizeof bytes);
        ck_assert_int_eq(failure(READINESS_READ, 0), FAILED_WRONG);
    }
}
END_TEST

/* Catches bytes that are right but were not sent, and those that come while it rests. */
START_TEST(more_than_was_sent_is_wrong)
{
    open_connection(5);
    step(READINESS_WRITE);
    server_sends(expected(0), 6);
    ck_assert_int_eq(failure(READINESS_READ, 0), FAILED_WRONG);

    open_connection(5);
    connection.state = CONNECTION_RESTING;
    ck_assert_uint_eq(connection_wants(&connection), READINESS_READ);
    server_sends(expected(0), 1);
    ck_assert_int_eq(failure(READINESS_READ, 0), FAILED_WRONG);
}
END_TEST

/* Catches an end before all was echoed that counts as success, or as a reset. */
START_TEST(an_early_end_is_told_from_a_reset)
{
    char byte;

    open_connection(5);
    step(READINESS_WRITE);
    ck_assert_int_eq(read(server, &byte, 1), 1);
    ck_assert_int_eq(shutdown(server, SHUT_WR), 0);
    ck_assert_int_eq(failure(READINESS_READ, 0), FAILED_EARLY);

    open_connection(5);
    step(READINESS_WRITE);
    close(server); /* with bytes unread */
    ck_assert_int_eq(failure(READINESS_READ, ECONNRESET), FAILED_RESET);

    open_connection(5);
    close(server);
    ck_assert_int_eq(failure(READINESS_WRITE, EPIPE), FAILED_RESET);
}
END_TEST

/* Where nobody listens, on loopback: it is bound, so nobody else does either. */
static struct target nobody(void)
{
    struct target target = {.connected = -1};
    int holder = socket(AF_INET, SOCK_STREAM, 0);

    target.address.name.v4.sin_family = AF_INET;
    target.address.name.v4.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    target.address.length = sizeof target.address.name.v4;
    ck_assert_int_eq(bind(holder, &target.address.name.any, target.address.length), 0);
    ck_assert_int_eq(getsockname(holder, &target.address.name.any, &target.address.length), 0);
    return target;
}

/* Catches a refused connection that is taken for one that stands, or was reset. */
START_TEST(a_refusal_is_a_failed_connect)
{
    struct target target = nobody();
    struct pollfd wait = {.events = POLLOUT};

    pattern_fill(&buffers.pattern);
    ck_assert_int_eq(connection_open(&connection, &target, NUMBER), 0);
    ck_assert_int_eq(connection.state, CONNECTION_CONNECTING);
    connection.goal = GOAL_ECHO;
    connection.limit = connection.mark = 5;
    ck_assert_uint_eq(connection_wants(&connection), READINESS_WRITE);
    ck_assert_int_eq(step(READINESS_NONE), CONNECTION_GOES_ON); /* nothing is known yet */
    ck_assert_int_eq(connection.state, CONNECTION_CONNECTING);
    wait.fd = connection.descriptor;
    ck_assert_int_eq(poll(&wait, 1, -1), 1);
    ck_assert_int_eq(failure(READINESS_READ | READINESS_WRITE, ECONNREFUSED), FAILED_CONNECT);
}
END_TEST

/* Catches a byte that travels with its neighbours, and a message that is not whole in the end. */
START_TEST(a_dribbler_writes_byte_by_byte)
{
    unsigned char bytes[8];

    open_for(GOAL_DRIBBLE, 3);
    for (int i = 0; i < 3; i++) {
        ck_assert_uint_ne(connection_wants(&connection) & READINESS_WRITE, 0);
        ck_assert_int_eq(step(READINESS_WRITE), CONNECTION_GOES_ON);
        ck_assert_int_eq(read(server, bytes + i, sizeof bytes), 1);
    }
    ck_assert_mem_eq(bytes, expected(0), 3);
    ck_assert_uint_eq(connection_wants(&connection), READINESS_READ);
    server_sends(bytes, 3);
    ck_assert_int_eq(step(READINESS_READ), CONNECTION_COMPLETE);
}
END_TEST

/* Catches one that sends all the same, or waits for something. */
START_TEST(one_that_vanishes_is_complete_when_it_stands)
{
    open_for(GOAL_CONNECT, 5);
    ck_assert_int_eq(step(READINESS_WRITE), CONNECTION_COMPLETE);
    ck_assert_uint_eq(connection.sent, 0);
}
END_TEST

/* Catches an end that is missing, or is not awaited, and a server that ends before all is back. */
START_TEST(one_that_half_closes_waits_for_the_end)
{
    char bytes[8];

    open_for(GOAL_END, 5);
    ck_assert_int_eq(step(READINESS_WRITE), CONNECTION_GOES_ON);
    ck_assert_int_eq(read(server, bytes, sizeof bytes), 5);
    ck_assert_int_eq(read(server, bytes + 5, 1), 0);
    server_sends(bytes, 5);
    ck_assert_int_eq(step(READINESS_READ), CONNECTION_GOES_ON);
    close(server);
    ck_assert_int_eq(step(READINESS_READ), CONNECTION_COMPLETE);

    open_for(GOAL_END, 5);
    step(READINESS_WRITE);
    ck_assert_int_eq(read(server, bytes, sizeof bytes), 5);
    server_sends(bytes, 4);
    ck_assert_int_eq(step(READINESS_READ), CONNECTION_GOES_ON);
    close(server);
    ck_assert_int_eq(failure(READINESS_READ, 0), FAILED_EARLY);
}
END_TEST

/* Catches a byte too many behind the message, and a change in it. */
START_TEST(one_that_half_closes_checks_every_byte)
{
    open_for(GOAL_END, 5);
    step(READINESS_WRITE);
    server_sends(expected(0), 6);
    ck_assert_int_eq(failure(READINESS_READ, 0), FAILED_WRONG);
    open_for(GOAL_END, 5);
    step(READINESS_WRITE);
    server_sends("wrong", 5);
    ck_assert_int_eq(failure(READINESS_READ, 0), FAILED_WRONG);
}
END_TEST

/* A server on loopback, to which one is connected with a goal. Returns the server's end. */
static int connect_for(enum connection_goal goal)
{
    struct target target = nobody();
    int listener = socket(AF_INET, SOCK_STREAM, 0), on = 1;

    setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    target.address.name.v4.sin_port = 0;
    ck_assert_int_eq(bind(listener, &target.address.name.any, target.address.length), 0);
    ck_assert_int_eq(getsockname(listener, &target.address.name.any, &target.address.length), 0);
    ck_assert_int_eq(listen(listener, 1), 0);
    pattern_fill(&buffers.pattern);
    ck_assert_int_eq(connection_open(&connection, &target, NUMBER), 0);
    connection.goal = goal;
    connection.limit = connection.mark = 5;
    return accept(listener, NULL, NULL);
}

/* How the server sees the connection end: the errno of its last read, 0 for an end in order. */
static int ending(enum connection_goal goal)
{
    char bytes[8];
    ssize_t count;

    server = connect_for(goal);
    while (step(READINESS_WRITE) != CONNECTION_COMPLETE)
        ck_assert_int_eq(goal, GOAL_ECHO); /* which waits for its echo, in vain */
    connection_close(&connection);
    while ((count = read(server, bytes, sizeof bytes)) > 0)
        ;
    return count == 0 ? 0 : errno;
}

/* Catches a close in order where a reset is the workload, or a reset by all others. */
START_TEST(only_one_that_does_not_read_resets)
{
    ck_assert_int_eq(ending(GOAL_SEND), ECONNRESET);
    ck_assert_int_eq(ending(GOAL_CONNECT), 0);
}
END_TEST

/* Catches one that never reads and does, or that is done at some point. */
START_TEST(a_nonreading_one_sends_until_nothing_is_taken)
{
    char byte;
    uint64_t sent;

    open_for(GOAL_NONE, UINT64_MAX);
    do {
        sent = connection.sent;
        ck_assert_int_eq(step(READINESS_WRITE), CONNECTION_GOES_ON);
    } while (connection.sent > sent);
    ck_assert_uint_gt(sent, PATTERN_SLICE_MAX);
    ck_assert_uint_eq(connection_wants(&connection), READINESS_WRITE);
    ck_assert_int_eq(read(server, &byte, 1), 1);
    server_sends(&byte, 1);
    ck_assert_int_eq(step(READINESS_READ | READINESS_WRITE), CONNECTION_GOES_ON);
    ck_assert_uint_eq(connection.received, 0);
    close(server);
    ck_assert_int_eq(failure(READINESS_READ | READINESS_WRITE, EPIPE), FAILED_RESET);
}
END_TEST

/* Catches a descriptor that is closed twice, or wanted when there is none. */
START_TEST(a_closed_one_has_no_descriptor)
{
    struct target target = {.connected = -1};
    int before = open_descriptors();

    open_connection(5);
    connection_close(&connection);
    connection_close(&connection);
    close(server);
    ck_assert_int_eq(open_descriptors(), before);
    ck_assert_int_eq(connection.state, CONNECTION_CLOSED);
    ck_assert_uint_eq(connection_wants(&connection), READINESS_NONE);

    target.address.name.any.sa_family = AF_UNIX; /* without a path: there is nothing there */
    target.address.length = sizeof target.address.name.any.sa_family;
    ck_assert_int_eq(connection_open(&connection, &target, NUMBER), -1);
    ck_assert_int_eq(connection.descriptor, -1);
    ck_assert_int_eq(connection.state, CONNECTION_CLOSED);
    ck_assert_int_eq(open_descriptors(), before);
}
END_TEST

SUITE("load_connection", it_sends_its_own_bytes_and_then_waits_for_them,
      it_is_complete_with_the_marked_byte, a_long_message_goes_on_where_it_was,
      a_false_readiness_changes_nothing, every_wrong_byte_is_found, more_than_was_sent_is_wrong,
      an_early_end_is_told_from_a_reset, a_refusal_is_a_failed_connect,
      a_dribbler_writes_byte_by_byte, one_that_vanishes_is_complete_when_it_stands,
      one_that_half_closes_waits_for_the_end, one_that_half_closes_checks_every_byte,
      only_one_that_does_not_read_resets, a_nonreading_one_sends_until_nothing_is_taken,
      a_closed_one_has_no_descriptor)
