/* test_load_work.c: what a connection of a run does next, and what is counted (load/work.h). The
 * server is this process itself, between two turns; which phase it is, the tests say. */
#include "suite.h"

#include "base/clock.h"
#include "load/work.h"

#include <signal.h>

#define SIZE 5 /* of a message */
#define CONCURRENCY 3
#define HELD 2
#define CONNECTIONS (CONCURRENCY + HELD)

/* Far beyond what a test takes, in seconds. */
#define LATER 1000.0

static struct load_settings settings;
static struct load_result result;
static struct load_tally tally;
static struct run run;
static struct target target;
static struct connection *connections;
static int listener;

static void begin(const char *mode)
{
    struct sockaddr_in *name = &target.address.name.v4;

    signal(SIGPIPE, SIG_IGN);
    listener = socket(AF_INET, SOCK_STREAM, 0);
    target = (struct target){.connected = -1};
    name->sin_family = AF_INET;
    name->sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    target.address.length = sizeof *name;
    ck_assert_int_eq(bind(listener, &target.address.name.any, target.address.length), 0);
    ck_assert_int_eq(getsockname(listener, &target.address.name.any, &target.address.length), 0);
    ck_assert_int_eq(listen(listener, 64), 0);
    set_nonblocking(listener);
    settings = (struct load_settings){.mode = load_mode(mode), .concurrency = CONCURRENCY,
                                      .held = HELD, .size = SIZE, .timeout = 30, .channel = -1};
    memset(&run, 0, sizeof run);
    memset(&result, 0, sizeof result);
    memset(&tally, 0, sizeof tally);
    run.settings = &settings;
    run.result = &result;
    run.tally = &tally;
    ck_assert_int_eq(loop_new(&run.loop, &target, CONNECTIONS, SIZE, readiness_best, 1000), 0);
    run.loop.timeout = settings.timeout;
    run.loop.complete = work_complete;
    run.loop.failed = work_failed;
    run.loop.owner = &run;
    run.loop.busy_end = CONNECTIONS;
    connections = run.loop.connections;
}

static void turn(void)
{
    ck_assert_int_eq(loop_turn(&run.loop, run.loop.now + 0.01), 0);
}

/* Turns until it is so, which a test that fails never sees. On a busy machine a connection is made,
 * and a message comes, only a moment after the call. */
#define TURN_UNTIL(condition) \
    while (!(condition))      \
    turn()

/* The server's end of the next connection. */
static int accepted(void)
{
    int server;

    TURN_UNTIL((server = accept(listener, NULL, NULL)) != -1);
    return server;
}

/* Echoes one message and has it taken. */
static void echo(int server)
{
    uint64_t before = run.loop.received;
    char bytes[64];
    ssize_t count;

    TURN_UNTIL((count = recv(server, bytes, sizeof bytes, MSG_DONTWAIT)) != -1);
    ck_assert_int_gt(count, 0);
    ck_assert_int_eq(write(server, bytes, (size_t)count), count);
    TURN_UNTIL(run.loop.received - before == (uint64_t)count);
}

/* Opens a kept connection, which echoes and then rests. Returns the server's end. */
static int opened(struct connection *connection)
{
    int server;

    run.phase = PHASE_OPEN;
    work_echo_kept(&run, connection);
    server = accepted();
    echo(server);
    ck_assert_int_eq(connection->state, CONNECTION_RESTING);
    return server;
}

/* Measures from now on, for `seconds`. */
static void measure(double seconds)
{
    run.phase = PHASE_MEASURE;
    run.loop.now = clock_seconds();
    run.end = run.loop.now + seconds;
}

/* The same on a schedule of `requests` requests that all are due by now. */
static void measure_requests(uint64_t requests)
{
    settings.rate = (struct load_ramp){1e6, 1e6};
    measure(LATER);
    schedule_begin(&run.schedule, run.loop.now - 1, (double)requests / 1e6, 1e6, 0);
    ck_assert_uint_eq(schedule_left(&run.schedule), requests);
}

static void expect_counted(uint64_t count, uint64_t late, uint64_t failures)
{
    ck_assert_msg(tally.count == count && tally.late == late && tally.failures == failures,
                  "%d done, %d late, %d failed", (int)tally.count, (int)tally.late,
                  (int)tally.failures);
}

/* Has the server end a connection, and that found. */
static void cut(int server)
{
    uint64_t before = result.failures + run.loop.opened;
    size_t live = run.loop.live;

    close(server);
    TURN_UNTIL(run.loop.live < live || result.failures + run.loop.opened > before);
}

/* ---- opening and closing ---- */

/* Catches the first message of a kept connection among those that are measured. */
START_TEST(to_open_is_no_request)
{
    begin("ping");
    opened(&connections[0]);
    ck_assert_double_ge(run.last_success, connections[0].times.started);
    expect_counted(0, 0, 0);
    ck_assert_uint_eq(tally.latency.total + tally.connect.total + tally.message.total, 0);
    ck_assert_uint_eq(result.held, 0);
}
END_TEST

/* Catches held connections among those of the workload, and the reverse. */
START_TEST(held_connections_are_counted_apart)
{
    int first, second;

    begin("ping");
    first = opened(&connections[CONCURRENCY]);
    second = opened(&connections[CONCURRENCY + 1]);
    ck_assert_uint_eq(result.held, 2);
    run.phase = PHASE_MEASURE;
    cut(first);
    ck_assert_uint_eq(result.held_lost, 1);
    run.phase = PHASE_CLOSE;
    work_echo_kept(&run, &connections[CONCURRENCY + 1]);
    echo(second); /* for the last time */
    ck_assert_uint_eq(result.held, 2);
    ck_assert_uint_eq(result.held_failed, 0);
    ck_assert_uint_eq(result.failures, 1);
    expect_counted(0, 0, 0);
    ck_assert_uint_eq(tally.latency.total, 0);
}
END_TEST

/* Catches one that counts as held and as not opened, since it was cut while others were opened. */
START_TEST(a_held_one_is_lost_once_it_has_echoed)
{
    int server;

    begin("ping");
    server = opened(&connections[CONCURRENCY]);
    cut(server); /* it is still the opening */
    ck_assert_uint_eq(result.held, 1);
    ck_assert_uint_eq(result.held_lost, 1);
    work_echo_kept(&run, &connections[CONCURRENCY + 1]);
    cut(accepted());
    ck_assert_uint_eq(result.held_failed, 1);
    ck_assert_uint_eq(result.held_lost, 1);
    ck_assert_uint_eq(result.failures, 2);
    expect_counted(0, 0, 0);
}
END_TEST

/* Catches connections whose work it is to hold that are counted twice, or before the end, and those
 * that are not timed. */
START_TEST(those_that_hold_are_timed_first_and_counted_last)
{
    int server;

    begin("hold");
    server = opened(&connections[0]);
    ck_assert_uint_eq(tally.latency.total, 1);
    ck_assert_uint_eq(tally.connect.total, 1);
    ck_assert_uint_eq(tally.message.total, 1);
    measure(LATER);
    work_begin(&run);
    work_end(&run, false);
    ck_assert_uint_eq(run.loop.busy, 0);
    ck_assert_uint_eq(run.loop.opened, 1);
    expect_counted(0, 0, 0);
    run.phase = PHASE_CLOSE;
    work_echo_kept(&run, &connections[0]);
    echo(server);
    expect_counted(1, 0, 0);
    ck_assert_uint_eq(tally.latency.total, 1);
}
END_TEST

/* Catches one that has been lost, and is asked, or opened anew, in the closing. */
START_TEST(only_those_that_stand_are_asked_a_last_time)
{
    begin("hold");
    cut(opened(&connections[0]));
    run.phase = PHASE_CLOSE;
    work_echo_kept(&run, &connections[0]);
    ck_assert_uint_eq(run.loop.busy, 0);
    ck_assert_uint_eq(run.loop.opened, 1);
    ck_assert_int_eq(connections[0].state, CONNECTION_CLOSED);
}
END_TEST

/* Catches nonreading ones opened by an echo that they do not read, and the held ones beside them
 * that are not seen to be served. */
START_TEST(each_is_opened_with_a_goal_that_it_can_reach)
{
    begin("nonreading");
    run.phase = PHASE_OPEN;
    work_echo_kept(&run, &connections[0]);
    work_echo_kept(&run, &connections[CONCURRENCY]);
    ck_assert_int_eq(connections[0].goal, GOAL_CONNECT);
    ck_assert_int_eq(connections[CONCURRENCY].goal, GOAL_ECHO);
    TURN_UNTIL(connections[0].state == CONNECTION_RESTING);
    ck_assert_uint_eq(connections[0].sent, 0);
}
END_TEST

/* ---- requests ---- */

/* Begins with one connection that is kept, and at work in a round without end. Returns the server's
 * end of it. */
static int begin_alone(const char *mode)
{
    int server;

    begin(mode);
    server = opened(&connections[0]);
    settings.concurrency = 1;
    measure(LATER);
    work_begin(&run);
    return server;
}

/* Catches what is done behind the end counted as done in the time, the reverse, and a connection
 * that asks on behind it. */
START_TEST(a_request_is_done_in_the_round_or_late)
{
    int server;

    server = begin_alone("ping");
    echo(server);
    echo(server); /* one behind the other */
    expect_counted(2, 0, 0);
    run.end = 0;
    echo(server);
    expect_counted(2, 1, 0);
    ck_assert_int_eq(connections[0].state, CONNECTION_RESTING);
    ck_assert_uint_eq(tally.latency.total, 3);
    ck_assert_uint_eq(tally.first.total, 3);
    ck_assert_uint_eq(tally.message.total, 3);
    ck_assert_uint_eq(tally.connect.total, 0); /* it stood */
    ck_assert_uint_eq(tally.service.total, 0); /* there is no schedule */
}
END_TEST

/* Catches a request that ends with the time and is in neither part, or is called late. */
START_TEST(the_end_itself_is_in_the_round)
{
    begin("ping");
    opened(&connections[0]);
    measure(0);
    loop_request(&run.loop, &connections[0], SIZE, LOAD_NOW);
    connections[0].measured = true;
    run.phase = PHASE_FINISH;
    run.loop.moment = run.end;
    work_complete(&run, &connections[0]);
    expect_counted(1, 0, 0);
}
END_TEST

/* Catches a connection of a mode that opens one for each request that is kept, or not followed. */
START_TEST(where_each_request_is_a_connection_the_next_is_opened)
{
    int server;

    begin("connect");
    settings.concurrency = 1;
    measure(LATER);
    work_begin(&run);
    echo(accepted());
    expect_counted(1, 0, 0);
    ck_assert_uint_eq(run.loop.live, 1);
    server = accepted();
    ck_assert_uint_eq(run.loop.opened, 2);
    run.phase = PHASE_FINISH;
    echo(server);
    expect_counted(2, 0, 0);
    ck_assert_uint_eq(run.loop.live, 0);
    ck_assert_uint_eq(run.loop.busy, 0);
    ck_assert_uint_eq(tally.connect.total, 2);
}
END_TEST

/* Catches a request that is done and failed, one that is in neither, and a connection that is not
 * opened again, whose first message then counts as work. */
START_TEST(a_kept_connection_that_fails_is_opened_again)
{
    int server;

    server = begin_alone("ping");
    cut(server);
    expect_counted(0, 0, 1);
    ck_assert_uint_eq(tally.failed[FAILED_EARLY] + tally.failed[FAILED_RESET], 1);
    ck_assert_double_ge(connections[0].times.intended, run.loop.now + 0.02); /* no spin */
    server = accepted();
    echo(server);
    expect_counted(0, 0, 1);
    echo(server);
    expect_counted(1, 0, 1);
    ck_assert_uint_eq(tally.latency.total, 1);
    ck_assert_uint_eq(result.failures, 1);
}
END_TEST

/* Catches one that fails behind the end and is opened again for nothing, for ever. */
START_TEST(behind_the_end_none_is_opened_again)
{
    int server;

    begin("connect");
    settings.concurrency = 1;
    measure(LATER);
    work_begin(&run);
    server = accepted();
    run.phase = PHASE_FINISH;
    work_end(&run, false);
    cut(server);
    expect_counted(0, 0, 1);
    ck_assert_uint_eq(run.loop.busy, 0);
    ck_assert_int_eq(connections[0].state, CONNECTION_CLOSED);
}
END_TEST

/* Catches a first failure that is overwritten by the next, and is then explained by its error. */
START_TEST(the_first_failure_is_kept)
{
    begin("ping");
    run.phase = PHASE_MEASURE;
    run.loop.now = 17;
    work_count_failure(&run, &connections[1], FAILED_CONNECT, ECONNREFUSED);
    run.loop.now = 18;
    work_count_failure(&run, &connections[0], FAILED_WRONG, 0);
    work_count_failure(&run, &connections[CONCURRENCY], FAILED_RESET, ECONNRESET);
    ck_assert_uint_eq(result.failures, 3);
    ck_assert_int_eq(result.first_failure, FAILED_CONNECT);
    ck_assert_int_eq(result.first_error, ECONNREFUSED);
    ck_assert(result.first_moment >= 17 && result.first_moment <= 17);
    ck_assert_uint_eq(tally.failed[FAILED_CONNECT], 1);
    ck_assert_uint_eq(tally.failed[FAILED_WRONG], 1);
    ck_assert_uint_eq(tally.failed[FAILED_RESET], 0); /* the workload had none */
    expect_counted(0, 0, 2);
}
END_TEST

/* ---- on a schedule ---- */

/* Catches a request that is skipped, or begun twice, and one that is timed from when it really
 * began. */
START_TEST(a_schedule_is_done_one_by_one)
{
    int servers[2];

    begin("ping");
    servers[0] = opened(&connections[0]);
    servers[1] = opened(&connections[1]);
    settings.concurrency = 2;
    measure_requests(5);
    work_begin(&run);
    ck_assert_uint_eq(schedule_left(&run.schedule), 3);
    echo(servers[1]);
    echo(servers[1]);
    run.phase = PHASE_FINISH; /* they are begun all the same */
    work_end(&run, false);
    echo(servers[1]);
    ck_assert_uint_eq(schedule_left(&run.schedule), 0);
    echo(servers[1]);
    ck_assert_int_eq(connections[1].state, CONNECTION_RESTING);
    echo(servers[0]);
    ck_assert_uint_eq(run.loop.busy, 0);
    expect_counted(5, 0, 0);
    ck_assert_uint_eq(tally.latency.total, 5);
    ck_assert_uint_eq(tally.service.total, 5);
    ck_assert_double_ge(histogram_percentile(&tally.latency, 1), 0.99); /* due a second ago */
    ck_assert_double_lt(tally.service.longest, tally.latency.longest);
}
END_TEST

/* Catches more connections that begin than the schedule has requests. */
START_TEST(a_short_schedule_leaves_connections_alone)
{
    begin("ping");
    for (size_t i = 0; i < CONCURRENCY; i++)
        opened(&connections[i]);
    measure_requests(2);
    work_begin(&run);
    ck_assert_uint_eq(run.loop.busy, 2);
    ck_assert_int_eq(connections[2].state, CONNECTION_RESTING);
    ck_assert_uint_eq(connections[2].sent, SIZE);
}
END_TEST

/* Catches a request that two failures are counted for: as what was asked, and as the connection
 * that is opened again, which is no request of the schedule. */
START_TEST(on_a_schedule_to_open_again_is_no_failure)
{
    int server;

    begin("ping");
    server = opened(&connections[0]);
    settings.concurrency = 1;
    measure_requests(2);
    work_begin(&run);
    cut(server);
    expect_counted(0, 0, 1);
    cut(accepted()); /* it had not echoed yet */
    expect_counted(0, 0, 1);
    ck_assert_uint_eq(schedule_left(&run.schedule), 1);
    server = accepted();
    echo(server); /* to be opened */
    echo(server);
    expect_counted(1, 0, 1);
    ck_assert_uint_eq(run.loop.busy, 0);
}
END_TEST

/* ---- the end of a round ---- */

/* Catches one that waits for its turn, as it has failed, and is begun behind the end or counted. */
START_TEST(who_waits_at_the_end_is_forgotten)
{
    begin("connect");
    settings.concurrency = 1;
    measure(LATER);
    work_begin(&run);
    cut(accepted());
    ck_assert_int_eq(connections[0].state, CONNECTION_WAITING);
    run.phase = PHASE_FINISH;
    work_end(&run, false);
    ck_assert_uint_eq(run.loop.busy, 0);
    work_give_up(&run);
    expect_counted(0, 0, 1);
}
END_TEST

/* Catches an interruption that leaves requests to be begun, or counts them as failed, and an end
 * without one that does not wait for them. */
START_TEST(only_an_interruption_cuts_a_schedule)
{
    for (int interrupted = 0; interrupted < 2; interrupted++) {
        begin("ping");
        opened(&connections[0]);
        settings.concurrency = 1;
        settings.rate = (struct load_ramp){1, 1};
        measure(LATER);
        schedule_begin(&run.schedule, run.loop.now + LATER, 4, 1, 0);
        work_begin(&run);
        ck_assert_int_eq(connections[0].state, CONNECTION_WAITING);
        run.phase = PHASE_FINISH;
        work_end(&run, interrupted);
        ck_assert_uint_eq(schedule_left(&run.schedule), interrupted ? 0 : 3);
        ck_assert_int_eq(connections[0].state,
                         interrupted ? CONNECTION_RESTING : CONNECTION_WAITING);
        work_give_up_waiting(&run);
        ck_assert_uint_eq(tally.failed[FAILED_TIMEOUT], interrupted ? 0 : 4);
        expect_counted(0, 0, interrupted ? 0 : 4);
        ck_assert_uint_eq(result.failures, interrupted ? 0 : 4);
        ck_assert_uint_eq(schedule_left(&run.schedule), 0);
        ck_assert_uint_eq(run.loop.busy, 0);
        work_give_up_waiting(&run);
        work_give_up(&run);
        expect_counted(0, 0, interrupted ? 0 : 4); /* once */
        loop_free(&run.loop);
    }
}
END_TEST

/* Catches one that only waits to be opened again, as its request has failed, and is counted as a
 * request that was never begun. */
START_TEST(to_open_again_is_given_up_without_a_count)
{
    int server;

    begin("ping");
    server = opened(&connections[0]);
    settings.concurrency = 1;
    measure_requests(2);
    work_begin(&run);
    cut(server);
    ck_assert_int_eq(connections[0].state, CONNECTION_WAITING);
    run.phase = PHASE_FINISH;
    work_end(&run, false);
    work_give_up_waiting(&run);
    expect_counted(0, 0, 2); /* the one that was cut, and the one that was left */
    work_give_up(&run);
    expect_counted(0, 0, 2);
}
END_TEST

/* Catches work that is cut off and counted nowhere, and a connection that rests, or was only to be
 * opened again, that is counted. */
START_TEST(what_is_given_up_has_failed)
{
    int again;

    begin("ping");
    opened(&connections[0]);
    again = opened(&connections[1]);
    opened(&connections[2]);
    opened(&connections[CONCURRENCY]);
    settings.concurrency = 2;
    measure(LATER);
    work_begin(&run);
    cut(again);
    accepted(); /* what it sends first is not echoed */
    TURN_UNTIL(connections[1].state == CONNECTION_ECHOING);
    settings.concurrency = CONCURRENCY;
    run.phase = PHASE_FINISH;
    work_end(&run, false);
    work_give_up(&run);
    expect_counted(0, 0, 2); /* what was cut, and what the first one had asked */
    ck_assert_uint_eq(tally.failed[FAILED_TIMEOUT], 1);
    ck_assert_int_eq(connections[0].state, CONNECTION_CLOSED);
    ck_assert_int_eq(connections[1].state, CONNECTION_CLOSED);
    ck_assert_int_eq(connections[2].state, CONNECTION_RESTING);
    ck_assert_int_eq(connections[CONCURRENCY].state, CONNECTION_RESTING);
    ck_assert_uint_eq(run.loop.busy, 0);
}
END_TEST

/* ---- what has no end of its own ---- */

/* Catches streamed bytes that are counted as messages, times that a stream does not have, and one
 * that does not go on. */
START_TEST(a_stream_goes_on_and_ends_at_its_end)
{
    uint64_t sent;
    int server;

    server = begin_alone("stream");
    echo(server);
    ck_assert_uint_eq(tally.latency.total, 1);
    ck_assert_uint_eq(tally.connect.total + tally.first.total + tally.message.total, 0);
    sent = connections[0].sent;
    TURN_UNTIL(connections[0].sent > sent); /* unasked */
    run.phase = PHASE_FINISH;
    work_end(&run, false);
    sent = connections[0].sent;
    while (connections[0].state == CONNECTION_ECHOING)
        echo(server);
    ck_assert_uint_eq(connections[0].sent, sent);
    ck_assert_uint_eq(connections[0].received, sent);
    ck_assert_int_eq(connections[0].state, CONNECTION_RESTING);
    expect_counted(0, 0, 0); /* the run counts its bytes */
}
END_TEST

/* Catches a stream that is given up and told as failed: what is missing of it was late. */
START_TEST(a_stream_that_is_given_up_is_no_failure)
{
    begin("stream");
    opened(&connections[0]);
    settings.concurrency = 1;
    measure(LATER);
    work_begin(&run);
    run.phase = PHASE_FINISH;
    work_end(&run, false);
    work_give_up(&run);
    ck_assert_int_eq(connections[0].state, CONNECTION_CLOSED);
    expect_counted(0, 0, 0);
}
END_TEST

/* Catches nonreading ones that have stayed and are not counted, those that were cut counted as
 * well, and any that is left open. */
START_TEST(nonreading_ones_are_counted_if_they_have_stayed)
{
    int servers[2];

    begin("nonreading");
    settings.concurrency = 2;
    run.phase = PHASE_OPEN;
    for (size_t i = 0; i < 2; i++) {
        work_echo_kept(&run, &connections[i]);
        servers[i] = accepted();
        TURN_UNTIL(connections[i].state == CONNECTION_RESTING);
    }
    measure(LATER);
    work_begin(&run);
    ck_assert_uint_eq(run.loop.busy, 2);
    TURN_UNTIL(connections[0].sent > SIZE && connections[1].sent > SIZE);
    cut(servers[1]); /* what it was sent is not read: that is a reset */
    run.phase = PHASE_FINISH;
    work_end(&run, false);
    expect_counted(1, 0, 1);
    ck_assert_uint_eq(run.loop.live, 0);
    ck_assert_uint_eq(run.loop.busy, 0);
}
END_TEST

SUITE("load_work", to_open_is_no_request, held_connections_are_counted_apart,
      a_held_one_is_lost_once_it_has_echoed, those_that_hold_are_timed_first_and_counted_last,
      only_those_that_stand_are_asked_a_last_time, each_is_opened_with_a_goal_that_it_can_reach,
      a_request_is_done_in_the_round_or_late, the_end_itself_is_in_the_round,
      where_each_request_is_a_connection_the_next_is_opened,
      a_kept_connection_that_fails_is_opened_again, behind_the_end_none_is_opened_again,
      the_first_failure_is_kept, a_schedule_is_done_one_by_one,
      a_short_schedule_leaves_connections_alone, on_a_schedule_to_open_again_is_no_failure,
      who_waits_at_the_end_is_forgotten, only_an_interruption_cuts_a_schedule,
      to_open_again_is_given_up_without_a_count, what_is_given_up_has_failed,
      a_stream_goes_on_and_ends_at_its_end, a_stream_that_is_given_up_is_no_failure,
      nonreading_ones_are_counted_if_they_have_stayed)
