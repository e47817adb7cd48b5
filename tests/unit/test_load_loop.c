/* test_load_loop.c: the event loop under a load generator's connections (load/loop.h). The server
 * is this process itself, between two turns. */
#include "suite.h"

#include "base/clock.h"
#include "load/loop.h"
#include "platform/platform.h"

#include <signal.h>
#include <time.h>

#define SIZE 5 /* of a message */
#define CONNECTIONS 4
#ifndef MECHANISM /* test_load_loop_polled.c */
#define MECHANISM readiness_best
#endif
#define DESCRIPTORS 1000

static struct load_loop loop;
static struct target target;
static struct connection *connections;
static int listener;

/* What the loop said. */
static int completed, failures;
static enum load_failure why;
static struct connection *last;
static bool opens_again; /* a complete one is closed and opened anew, at once */
static enum connection_goal goal;

static void complete(void *owner, struct connection *connection)
{
    ck_assert_ptr_eq(owner, &target);
    completed++;
    last = connection;
    if (opens_again) {
        loop_close(&loop, connection);
        loop_open(&loop, connection, goal, SIZE, LOAD_NOW);
    } else {
        loop_rest(&loop, connection);
    }
}

static void failed(void *owner, struct connection *connection, enum load_failure reason, int error)
{
    (void)error;
    ck_assert_ptr_eq(owner, &target);
    ck_assert_int_eq(connection->state, CONNECTION_CLOSED);
    failures++;
    why = reason;
    last = connection;
}

/* A loop with connections to a listener of ours. */
static void begin(void)
{
    signal(SIGPIPE, SIG_IGN);
    listener = socket(AF_INET, SOCK_STREAM, 0);
    target = (struct target){.connected = -1};
    target.address.name.v4.sin_family = AF_INET;
    target.address.name.v4.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    target.address.length = sizeof target.address.name.v4;
    ck_assert_int_eq(bind(listener, &target.address.name.any, target.address.length), 0);
    ck_assert_int_eq(getsockname(listener, &target.address.name.any, &target.address.length), 0);
    ck_assert_int_eq(listen(listener, 64), 0);
    set_nonblocking(listener);
    ck_assert_int_eq(loop_new(&loop, &target, CONNECTIONS, SIZE, MECHANISM, DESCRIPTORS), 0);
    loop.timeout = 30;
    loop.complete = complete;
    loop.failed = failed;
    loop.owner = &target;
    loop.busy_end = CONNECTIONS;
    connections = loop.connections;
}

/* Turns until it is so, which a test that fails never sees. On a busy machine a connection is made,
 * and a message comes, only a moment after the call. */
#define TURN_UNTIL(condition) \
    while (!(condition))      \
    ck_assert_int_eq(loop_turn(&loop, loop.now + 0.01), 0)

/* The server's end of the next connection. */
static int accepted(void)
{
    int server;

    TURN_UNTIL((server = accept(listener, NULL, NULL)) != -1);
    return server;
}

static void echo(int server)
{
    char bytes[64];
    ssize_t count;

    TURN_UNTIL((count = recv(server, bytes, sizeof bytes, MSG_DONTWAIT)) != -1);
    ck_assert_int_gt(count, 0);
    ck_assert_int_eq(write(server, bytes, (size_t)count), count);
}

/* One that has echoed its first message, and rests. Returns the server's end. */
static int opened(struct connection *connection)
{
    int server, before = completed;

    loop_open(&loop, connection, GOAL_ECHO, SIZE, LOAD_NOW);
    server = accepted();
    echo(server);
    TURN_UNTIL(completed > before);
    return server;
}

/* Catches an event that is entered under another name, and a count that drifts. */
START_TEST(times_are_in_the_order_of_events)
{
    const struct connection_times *times;

    begin();
    opened(&connections[0]);
    ck_assert_ptr_eq(last, &connections[0]);
    times = &connections[0].times;
    ck_assert(times->intended > 0);
    ck_assert(times->intended <= times->started && times->started <= times->connecting);
    ck_assert(times->connecting <= times->sending && times->sending <= times->first);
    ck_assert(times->first <= loop.moment);
    ck_assert_uint_eq(loop.busy, 0);
    ck_assert_uint_eq(loop.live, 1);
    ck_assert_uint_eq(loop.received, SIZE);
    loop_close(&loop, &connections[0]);
    ck_assert_uint_eq(loop.live, 0);
}
END_TEST

/* Catches times of the message before in those of the next. */
START_TEST(each_message_has_times_of_its_own)
{
    struct connection_times before;
    int server;

    begin();
    server = opened(&connections[0]);
    before = connections[0].times;
    loop_request(&loop, &connections[0], SIZE, LOAD_NOW);
    ck_assert_uint_eq(loop.busy, 1);
    echo(server);
    TURN_UNTIL(completed == 2);
    ck_assert(connections[0].times.intended > before.first);
    ck_assert(connections[0].times.first >= connections[0].times.sending);
    ck_assert(connections[0].times.connecting <= 0); /* it did not connect */
}
END_TEST

/* Catches work that begins before its time, in another order than that of the times, or in that
 * order only if it was asked in it. */
START_TEST(work_begins_at_its_time)
{
    double start;

    begin();
    start = clock_seconds();
    loop_open(&loop, &connections[0], GOAL_ECHO, SIZE, start + 0.6);
    loop_open(&loop, &connections[1], GOAL_ECHO, SIZE, start + 0.2);
    loop_open(&loop, &connections[2], GOAL_ECHO, SIZE, start + 0.4);
    ck_assert_uint_eq(loop.busy, 3);
    ck_assert_uint_eq(loop.opened, 0);
    TURN_UNTIL(loop.opened == 3);
    ck_assert_uint_eq(connections[1].origin, pattern_origin(0));
    ck_assert_uint_eq(connections[2].origin, pattern_origin(1));
    ck_assert_uint_eq(connections[0].origin, pattern_origin(2));
    for (int i = 0; i < 3; i++)
        ck_assert(connections[i].times.started >= connections[i].times.intended);
    ck_assert(connections[0].times.intended > connections[2].times.intended);
    ck_assert(loop.lag > 0);
}
END_TEST

/* Catches a time that has passed and is forgotten: that would be coordinated omission. */
START_TEST(work_whose_time_has_passed_is_timed_from_then)
{
    double when;

    begin();
    opened(&connections[0]);
    when = clock_seconds() - 10;
    loop_request(&loop, &connections[0], SIZE, when);
    ck_assert_uint_eq(connections[0].sent, 2 * SIZE);
    ck_assert(connections[0].times.intended <= when);
    ck_assert(connections[0].times.started > when + 9);
    ck_assert(loop.lag <= 0); /* nobody waited though it was free */
}
END_TEST

/* Catches a millisecond that the system's wait is rounded up by. The best of many, as the machine
 * may be busy. */
START_TEST(waits_can_be_exact)
{
    double best = 1;

    begin();
    loop_be_exact(&loop);
    if (loop.timer == -1)
        return; /* a system that has no timer */
    opened(&connections[0]);
    for (int i = 0; i < 100 && best > 0.0005; i++) {
        double before = loop.lag;
        loop_request(&loop, &connections[0], SIZE, clock_seconds() + 0.0003);
        TURN_UNTIL(connections[0].times.started > 0);
        if (loop.lag - before < best)
            best = loop.lag - before;
        connections[0].received = connections[0].sent; /* as if it had been echoed */
        loop_rest(&loop, &connections[0]);
    }
    ck_assert_msg(best < 0.0005, "%g", best);
}
END_TEST

/* Catches a goal that is reached at once and whose successor begins inside of it, for ever. */
START_TEST(each_begins_once_a_turn)
{
    begin();
    opens_again = true;
    for (goal = GOAL_SEND; goal != GOAL_NONE; goal = goal == GOAL_SEND ? GOAL_CONNECT : GOAL_NONE) {
        int before;
        loop_open(&loop, &connections[0], goal, SIZE, LOAD_NOW);
        loop_open(&loop, &connections[1], goal, SIZE, LOAD_NOW);
        for (int turn = 0; turn < 20; turn++) {
            before = completed;
            ck_assert_int_eq(loop_turn(&loop, loop.now + 0.01), 0);
            ck_assert_int_le(completed - before, 2);
        }
        ck_assert_int_gt(completed, 0);
        completed = 0;
        loop_close(&loop, &connections[0]);
        loop_close(&loop, &connections[1]);
        ck_assert_uint_eq(loop.busy, 0);
    }
}
END_TEST

/* Catches a server that says nothing and is waited for without end, and a client that never reads,
 * of which nothing is expected, that is taken for one. */
START_TEST(only_what_should_move_times_out)
{
    begin();
    loop.buffers->write_max = PATTERN_SLICE_MAX; /* so the one that floods soon cannot move */
    opened(&connections[2]); /* rests: nothing is expected of it either */
    opened(&connections[1]);
    loop.timeout = 0.05;
    loop_flood(&loop, &connections[1]);
    loop_open(&loop, &connections[0], GOAL_ECHO, SIZE, LOAD_NOW);
    TURN_UNTIL(failures > 0);
    ck_assert_ptr_eq(last, &connections[0]);
    ck_assert_int_eq(why, FAILED_TIMEOUT);
    for (double end = clock_seconds() + 0.2; clock_seconds() < end;)
        ck_assert_int_eq(loop_turn(&loop, end), 0);
    ck_assert_int_eq(failures, 1);
    ck_assert_uint_gt(connections[1].sent, SIZE);
}
END_TEST

/* Catches a spin on a server that refuses. */
START_TEST(one_that_failed_is_opened_after_a_pause)
{
    double start;

    begin();
    start = clock_seconds();
    loop_open_again(&loop, &connections[0], GOAL_ECHO, SIZE, LOAD_NOW);
    loop_open_again(&loop, &connections[1], GOAL_ECHO, SIZE, start - 1);
    TURN_UNTIL(loop.opened == 2);
    ck_assert(connections[0].times.started - start >= 0.02);
    ck_assert(connections[1].times.started - start >= 0.02);
    /* The pause is the client's own, unless it was to begin before. */
    ck_assert(connections[0].times.intended - start >= 0.02);
    ck_assert(connections[1].times.intended < start);
}
END_TEST

/* Catches one that is closed while it waits and stays in the queue: it would be begun, closed. */
START_TEST(a_server_that_ends_one_which_waits_is_a_failure)
{
    int server;

    begin();
    server = opened(&connections[0]);
    opened(&connections[1]);
    loop_request(&loop, &connections[0], SIZE, clock_seconds() + 60);
    loop_request(&loop, &connections[1], SIZE, clock_seconds() + 0.1);
    close(server);
    TURN_UNTIL(failures > 0);
    ck_assert_ptr_eq(last, &connections[0]);
    ck_assert_int_eq(why, FAILED_EARLY);
    ck_assert_uint_eq(loop.busy, 1);
    TURN_UNTIL(connections[1].times.started > 0);
    ck_assert_int_eq(failures, 1);
    ck_assert_int_eq(connections[0].state, CONNECTION_CLOSED);
    ck_assert_uint_eq(connections[0].sent, SIZE);
}
END_TEST

/* Catches an event of before its failure that is taken for another failure: here its time comes,
 * and the news of its end, in the same turn. */
START_TEST(one_fails_once_in_a_turn)
{
    struct linger at_once = {.l_onoff = 1};
    double when;
    int server;

    begin();
    server = opened(&connections[0]);
    when = clock_seconds() + 0.01;
    loop_request(&loop, &connections[0], SIZE, when);
    setsockopt(server, SOL_SOCKET, SO_LINGER, &at_once, sizeof at_once);
    close(server);
    while (clock_seconds() <= when)
        ;
    for (int turn = 0; turn < 3; turn++)
        ck_assert_int_eq(loop_turn(&loop, loop.now), 0);
    ck_assert_int_eq(failures, 1);
    ck_assert_int_eq(why, FAILED_RESET);
    ck_assert_uint_eq(loop.busy, 0);
}
END_TEST

/* Catches one that is to be forgotten and still begins, and an open one that is closed. A third,
 * which is due last, tells that the time of the others is over. */
START_TEST(those_that_wait_can_be_forgotten)
{
    double due;

    begin();
    opened(&connections[0]);
    due = clock_seconds() + 0.5;
    loop_request(&loop, &connections[0], SIZE, due);
    loop_open(&loop, &connections[1], GOAL_ECHO, SIZE, due);
    loop_forget_waiting(&loop);
    ck_assert_uint_eq(loop.busy, 0);
    ck_assert_int_eq(connections[0].state, CONNECTION_RESTING);
    ck_assert_int_eq(connections[1].state, CONNECTION_CLOSED);
    loop_open(&loop, &connections[2], GOAL_ECHO, SIZE, due + 0.01);
    TURN_UNTIL(loop.opened > 1);
    ck_assert_uint_eq(connections[0].sent, SIZE);
    ck_assert_int_eq(connections[1].state, CONNECTION_CLOSED);
}
END_TEST

/* Catches a refusal that is lost, or leaves a connection counted as busy. */
START_TEST(a_refusal_is_told_once)
{
    begin();
    close(listener);
    for (int i = 0; i < 3; i++)
        loop_open(&loop, &connections[i], GOAL_ECHO, SIZE, LOAD_NOW);
    TURN_UNTIL(loop.busy == 0);
    ck_assert_int_eq(failures, 3);
    ck_assert_int_eq(why, FAILED_CONNECT);
    ck_assert_uint_eq(loop.live, 0);
}
END_TEST

/* Catches what is left open at the end. */
START_TEST(nothing_stays_open)
{
    int before;

    begin();
    loop_free(&loop);
    close(listener);
    before = open_descriptors();
    begin();
    loop_be_exact(&loop);
    close(opened(&connections[0]));
    loop_close(&loop, &connections[0]);
    loop_free(&loop);
    close(listener);
    ck_assert_int_eq(open_descriptors(), before);
}
END_TEST

SUITE("load_loop", times_are_in_the_order_of_events, each_message_has_times_of_its_own,
      work_begins_at_its_time, work_whose_time_has_passed_is_timed_from_then, waits_can_be_exact,
      each_begins_once_a_turn, only_what_should_move_times_out,
      one_that_failed_is_opened_after_a_pause, a_server_that_ends_one_which_waits_is_a_failure,
      one_fails_once_in_a_turn, those_that_wait_can_be_forgotten, a_refusal_is_told_once, nothing_stays_open)
