/* load/loop.c: see load/loop.h. */
#include "load/loop.h"

#include "base/clock.h"
#include "platform/waiting.h"

#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

/* Events of one turn: enough that the wait is shared, few enough that none gets old. */
#define EVENTS_MAX 128

/* How long a connection that failed waits before it is opened again. */
#define FAILED_SECONDS 0.02

/* How long nothing connects when no port is free: a search that finds none walks all of them, for
 * about a millisecond, and is to take a small share of the time. That a Unix socket's backlog is
 * full is found cheaply, and soon over. */
#define NO_PORT_SECONDS 0.02
#define NO_ROOM_SECONDS 0.001

/* The longest wait, so that a signal that comes just before it is seen soon. */
#define TURN_SECONDS 0.1

/* How often timeouts are looked for, in a timeout: they need not be more exact. */
#define SCANS 4

int loop_new(struct load_loop *loop, struct target *target, size_t count, size_t write_max,
             const struct readiness_mechanism *mechanism, size_t descriptors)
{
    *loop = (struct load_loop){.target = target, .timer = -1};
    loop->now = clock_seconds();
    loop->connections = calloc(count > 0 ? count : 1, sizeof *loop->connections);
    loop->waiting = timers_new(count);
    loop->buffers = malloc(sizeof *loop->buffers);
    loop->readiness = readiness_new(mechanism, descriptors);
    if (loop->connections == NULL || loop->waiting == NULL || loop->buffers == NULL ||
        loop->readiness == NULL) {
        int error = errno;
        loop_free(loop);
        errno = error;
        return -1;
    }
    for (size_t i = 0; i < count; i++) {
        loop->connections[i].descriptor = -1;
        loop->connections[i].timer.owner = &loop->connections[i];
    }
    pattern_fill(&loop->buffers->pattern);
    loop->buffers->write_max = write_max < PATTERN_SLICE_MAX ? write_max : PATTERN_SLICE_MAX;
    return 0;
}

void loop_free(struct load_loop *loop)
{
    readiness_free(loop->readiness);
    if (loop->timer != -1)
        close(loop->timer);
    free(loop->buffers);
    timers_free(loop->waiting);
    free(loop->connections);
}

void loop_be_exact(struct load_loop *loop)
{
    loop->timer = platform_timer();
    if (loop->timer != -1 && readiness_watch(loop->readiness, loop->timer, READINESS_NONE,
                                             READINESS_READ, NULL) == -1) {
        close(loop->timer);
        loop->timer = -1;
    }
}

static bool is_busy(const struct connection *connection)
{
    return connection->state != CONNECTION_CLOSED && connection->state != CONNECTION_RESTING;
}

/* Watches a connection for what it wants now. Returns 0, or -1 with errno. */
static int watch(struct load_loop *loop, struct connection *connection, unsigned wanted)
{
    if (wanted == connection->wanted)
        return 0;
    if (readiness_watch(loop->readiness, connection->descriptor, connection->wanted, wanted,
                        connection) == -1)
        return -1;
    connection->wanted = wanted;
    return 0;
}

/* Has a connection wait until a time. Whoever ends that calls timers_stop. */
static void wait_until(struct load_loop *loop, struct connection *connection, double time)
{
    connection->state = CONNECTION_WAITING;
    timers_set(loop->waiting, &connection->timer, time);
}

/* Of those that wait, the connection that goes on first; NULL when none waits. */
static struct connection *first_waiting(const struct load_loop *loop)
{
    const struct timer *first = timers_first(loop->waiting);

    return first != NULL ? first->owner : NULL;
}

/* ---- steps ---- */

void loop_close(struct load_loop *loop, struct connection *connection)
{
    timers_stop(loop->waiting, &connection->timer);
    if (is_busy(connection))
        loop->busy--;
    if (connection->descriptor != -1) {
        readiness_forget(loop->readiness, connection->descriptor);
        loop->live--;
    }
    connection_close(connection);
}

static void fail(struct load_loop *loop, struct connection *connection, enum load_failure why,
                 int error)
{
    loop_close(loop, connection);
    loop->failed(loop->owner, connection, why, error);
}

/* Enters the times of a step that has moved something. `before` is when it began, if the connection
 * was connecting then, else 0. */
static void note_times(struct load_loop *loop, struct connection *connection, uint64_t received,
                       double before)
{
    loop->moment = clock_seconds();
    if (before > 0 && connection->state == CONNECTION_ECHOING)
        connection->times.sending = before;
    if (connection->received > received && connection->times.first <= 0)
        connection->times.first = loop->moment;
    loop->received += connection->received - received;
}

/* Takes a step, and watches for what it then wants. */
static void step(struct load_loop *loop, struct connection *connection, unsigned ready)
{
    enum load_failure why = FAILED_RESET;
    uint64_t received = connection->received;
    double before = connection->state == CONNECTION_CONNECTING ? clock_seconds() : 0;
    enum connection_outcome outcome = connection_step(connection, loop->buffers, ready, &why);

    if (outcome != CONNECTION_FAILED && (connection->received > received ||
                                         outcome == CONNECTION_COMPLETE || before > 0))
        note_times(loop, connection, received, before);
    if (outcome == CONNECTION_COMPLETE) {
        loop->complete(loop->owner, connection);
    } else if (outcome == CONNECTION_FAILED) {
        fail(loop, connection, why, errno);
    } else if (watch(loop, connection, connection_wants(connection)) == -1) {
        fail(loop, connection, FAILED_CONNECT, errno);
    }
}

/* Handles a failure to connect. While no port is free, one connection looks for one, and then none
 * does for a while. */
static void fail_to_connect(struct load_loop *loop, struct connection *connection, int error)
{
    if (target_must_wait(error)) {
        loop->no_connect_before = loop->now + (error == EAGAIN ? NO_ROOM_SECONDS : NO_PORT_SECONDS);
        loop->pauses++;
        if (loop->now - connection->times.started <= loop->timeout) {
            wait_until(loop, connection, loop->no_connect_before);
            return;
        }
    }
    loop->busy--;
    loop->failed(loop->owner, connection, FAILED_CONNECT, error);
}

/* Connects one whose request has begun. */
static void connect_now(struct load_loop *loop, struct connection *connection)
{
    struct connection_times *times = &connection->times;

    if (loop->now < loop->no_connect_before) {
        wait_until(loop, connection, loop->no_connect_before);
        return;
    }
    times->connecting = times->started > loop->now ? times->started : loop->now;
    if (connection_open(connection, loop->target, loop->numbers + loop->opened) == -1) {
        fail_to_connect(loop, connection, errno);
        return;
    }
    loop->opened++;
    loop->live++;
    step(loop, connection, READINESS_WRITE);
}

/* Begins a request of a connection that counts as busy. */
static void begin(struct load_loop *loop, struct connection *connection, double now)
{
    connection->times.started = connection->progressed = now;
    if (connection->descriptor == -1) {
        connect_now(loop, connection);
    } else {
        connection->times.sending = now;
        connection->state = CONNECTION_ECHOING;
        step(loop, connection, READINESS_WRITE);
    }
}

/* Whether the goal needs no answer, and so may be reached before connecting returns. The next
 * request then begins with the next turn: at once, they would nest ever deeper. */
static bool may_be_immediate(const struct connection *connection)
{
    return connection->goal == GOAL_CONNECT || connection->goal == GOAL_SEND;
}

/* Begins a request at its time. */
static void begin_when(struct load_loop *loop, struct connection *connection, double when)
{
    double now = clock_seconds();

    if (!is_busy(connection))
        loop->busy++;
    connection->times = (struct connection_times){.intended = when > 0 ? when : now};
    if (when > now || may_be_immediate(connection))
        wait_until(loop, connection, when > now ? when : now);
    else
        begin(loop, connection, now);
}

void loop_open(struct load_loop *loop, struct connection *connection, enum connection_goal goal,
               uint64_t limit, double when)
{
    connection->goal = goal;
    connection->limit = connection->mark = limit;
    begin_when(loop, connection, when);
}

void loop_open_again(struct load_loop *loop, struct connection *connection,
                     enum connection_goal goal, uint64_t limit, double when)
{
    double pause = clock_seconds() + FAILED_SECONDS;

    loop_open(loop, connection, goal, limit, when > pause ? when : pause);
    if (when > 0) /* without a schedule the pause is ours, and no latency */
        connection->times.intended = when;
}

void loop_request(struct load_loop *loop, struct connection *connection, uint64_t size,
                  double when)
{
    connection->limit += size;
    connection->mark = connection->limit;
    begin_when(loop, connection, when);
}

void loop_flood(struct load_loop *loop, struct connection *connection)
{
    connection->goal = GOAL_NONE;
    connection->limit = UINT64_MAX;
    begin_when(loop, connection, LOAD_NOW);
}

void loop_stream(struct load_loop *loop, struct connection *connection)
{
    connection->mark = connection->sent + 1;
    if (connection->limit != UINT64_MAX) {
        connection->limit = UINT64_MAX;
        begin_when(loop, connection, LOAD_NOW);
    } else {
        connection->times.intended = connection->times.started = clock_seconds();
    }
}

void loop_finish(struct load_loop *loop, struct connection *connection)
{
    connection->limit = connection->mark = connection->sent;
    step(loop, connection, READINESS_NONE);
}

void loop_rest(struct load_loop *loop, struct connection *connection)
{
    loop->busy--;
    connection->state = CONNECTION_RESTING;
    (void)watch(loop, connection, READINESS_READ);
}

void loop_forget_waiting(struct load_loop *loop)
{
    for (struct connection *each; (each = first_waiting(loop)) != NULL;) {
        timers_stop(loop->waiting, &each->timer);
        if (each->descriptor == -1) {
            loop_close(loop, each);
        } else {
            each->limit = each->mark = each->sent;
            loop_rest(loop, each);
        }
    }
}

/* ---- a turn ---- */

/* When the first of those that wait goes on. */
static double wake_time(const struct load_loop *loop, const struct connection *first)
{
    bool connects = first->descriptor == -1;

    return connects && loop->no_connect_before > first->timer.due ? loop->no_connect_before
                                                                  : first->timer.due;
}

/* Wakes those whose time has come; while no port is free, one of them. */
static void wake_waiting(struct load_loop *loop)
{
    struct connection *first;

    while ((first = first_waiting(loop)) != NULL && wake_time(loop, first) <= loop->now) {
        double due = first->timer.due;
        timers_stop(loop->waiting, &first->timer);
        if (first->times.started > 0) { /* it waited for a port */
            connect_now(loop, first);
        } else {
            double now = clock_seconds();
            loop->lag += now - due;
            begin(loop, first, now);
        }
    }
}

/* Whether it should have moved; a nonreading one need not. */
static bool is_overdue(const struct load_loop *loop, const struct connection *connection)
{
    return is_busy(connection) && connection->state != CONNECTION_WAITING &&
           connection->goal != GOAL_NONE && loop->now - connection->progressed > loop->timeout;
}

static void find_timeouts(struct load_loop *loop)
{
    for (size_t i = loop->busy_first; i < loop->busy_end; i++)
        if (is_overdue(loop, &loop->connections[i]))
            fail(loop, &loop->connections[i], FAILED_TIMEOUT, 0);
    loop->next_scan = loop->now + loop->timeout / SCANS;
}

static double turn_end(const struct load_loop *loop, double until)
{
    const struct connection *first = first_waiting(loop);
    double end = loop->now + TURN_SECONDS;

    if (until < end)
        end = until;
    if (first != NULL && wake_time(loop, first) < end)
        end = wake_time(loop, first);
    return loop->next_scan < end ? loop->next_scan : end;
}

/* Waits until `end` at most, by the time that it is now: loop->now may be a while ago, and a
 * microsecond that is left by it would be rounded up to a millisecond of sleep. */
static int await_events(struct load_loop *loop, struct readiness_event *events, double end)
{
    double pause = end - clock_seconds();

    if (loop->timer != -1 && pause > 0)
        platform_timer_set(loop->timer, pause);
    return readiness_wait(loop->readiness, events, EVENTS_MAX, pause > 0 ? pause : 0, NULL);
}

int loop_turn(struct load_loop *loop, double until)
{
    struct readiness_event events[EVENTS_MAX];
    int count = await_events(loop, events, turn_end(loop, until));

    if (count == -1)
        return -1;
    loop->now = clock_seconds();
    wake_waiting(loop); /* before events make connections that did not wait */
    for (int i = 0; i < count; i++) {
        struct connection *connection = events[i].owner;
        if (connection == NULL || connection->descriptor != events[i].descriptor)
            continue; /* the timer, or one that has failed since it woke */
        connection->progressed = loop->now;
        step(loop, connection, events[i].ready);
    }
    if (loop->now >= loop->next_scan)
        find_timeouts(loop);
    return 0;
}
