/* load_loop.c: see load_loop.h. */
#include "load_loop.h"

#include "clock.h"
#include "readiness.h"

#include <errno.h>
#include <stdlib.h>

/* Events of one turn: enough that the wait is shared, few enough that none gets old. */
#define EVENTS_MAX 128

/* How long a connection that failed waits before it is opened again. */
#define FAILED_SECONDS 0.02

/* How long nothing connects after a search for a free port: one that finds none walks all of
 * them, about a millisecond, so this leaves it a small share of the time. To find a Unix
 * socket's backlog full is cheap, and it empties fast. */
#define NO_PORT_SECONDS 0.02
#define NO_ROOM_SECONDS 0.001

/* The longest wait. A signal that comes just before a wait is seen after it. */
#define TURN_SECONDS 0.1

/* Timeouts are looked for this often in a timeout, and need not be more exact. */
#define SCANS 4

int loop_new(struct load_loop *loop, struct target *target, size_t count, size_t write_max,
             size_t descriptors)
{
    *loop = (struct load_loop){.target = target};
    loop->now = clock_seconds();
    loop->waiting_end = &loop->waiting;
    loop->connections = calloc(count > 0 ? count : 1, sizeof *loop->connections);
    loop->exchange = malloc(sizeof *loop->exchange);
    loop->readiness = readiness_new(descriptors);
    if (loop->connections == NULL || loop->exchange == NULL || loop->readiness == NULL) {
        int error = errno;
        loop_free(loop);
        errno = error;
        return -1;
    }
    for (size_t i = 0; i < count; i++)
        loop->connections[i].descriptor = -1;
    pattern_fill(&loop->exchange->pattern);
    loop->exchange->write_max = write_max < PATTERN_SLICE_MAX ? write_max : PATTERN_SLICE_MAX;
    return 0;
}

void loop_free(struct load_loop *loop)
{
    readiness_free(loop->readiness);
    free(loop->exchange);
    free(loop->connections);
}

static bool is_busy(const struct connection *connection)
{
    return connection->state != CONNECTION_CLOSED && connection->state != CONNECTION_RESTING;
}

void loop_close(struct load_loop *loop, struct connection *connection)
{
    if (is_busy(connection))
        loop->busy--;
    if (connection->descriptor != -1)
        readiness_forget(loop->readiness, connection->descriptor);
    connection_close(connection);
}

static void fail(struct load_loop *loop, struct connection *connection, enum load_failure why,
                 int error)
{
    loop_close(loop, connection);
    loop->failed(loop->owner, connection, why, error);
}

/* Takes a step and watches for what it then wants. */
static void step(struct load_loop *loop, struct connection *connection, unsigned ready)
{
    enum load_failure why = FAILED_RESET;
    uint64_t received = connection->received;
    enum connection_outcome outcome = connection_step(connection, loop->exchange, ready, &why);
    unsigned wanted;

    loop->received += connection->received - received;
    if (outcome == CONNECTION_FAILED) {
        fail(loop, connection, why, errno);
        return;
    }
    wanted = connection_wants(connection);
    if (wanted != connection->wanted && outcome == CONNECTION_GOES_ON) {
        if (readiness_watch(loop->readiness, connection->descriptor, connection->wanted, wanted,
                            connection) == -1) {
            fail(loop, connection, FAILED_CONNECT, errno);
            return;
        }
        connection->wanted = wanted;
    }
    if (outcome == CONNECTION_COMPLETE)
        loop->complete(loop->owner, connection);
}

/* Puts one at the end of the queue, to be opened not before `due`. */
static void enqueue(struct load_loop *loop, struct connection *connection, double due)
{
    connection->state = CONNECTION_WAITING;
    connection->due = due;
    connection->next = NULL;
    *loop->waiting_end = connection;
    loop->waiting_end = &connection->next;
}

/* Puts one that was first there again, to be opened as soon as the gate is. */
static void return_first(struct load_loop *loop, struct connection *connection)
{
    connection->state = CONNECTION_WAITING;
    connection->due = loop->gate;
    connection->next = loop->waiting;
    loop->waiting = connection;
    if (connection->next == NULL)
        loop->waiting_end = &connection->next;
}

static struct connection *dequeue(struct load_loop *loop)
{
    struct connection *first = loop->waiting;

    loop->waiting = first->next;
    if (loop->waiting == NULL)
        loop->waiting_end = &loop->waiting;
    return first;
}

/* Connects one that counts as busy already. While no port is free only one of all looks for
 * one, and then the gate is shut for a while. */
static void connect_now(struct load_loop *loop, struct connection *connection)
{
    int error;

    if (loop->now < loop->gate) {
        enqueue(loop, connection, loop->gate);
        return;
    }
    if (connection_open(connection, loop->target, loop->opened) == 0) {
        loop->opened++;
        step(loop, connection, READINESS_WRITE);
        return;
    }
    error = errno;
    if (target_must_wait(error)) {
        loop->gate = loop->now + (error == EAGAIN ? NO_ROOM_SECONDS : NO_PORT_SECONDS);
        loop->pauses++;
        if (loop->now - connection->started <= loop->timeout) {
            return_first(loop, connection);
            return;
        }
    }
    loop->busy--;
    loop->failed(loop->owner, connection, FAILED_CONNECT, error);
}

static void prepare(struct load_loop *loop, struct connection *connection, uint64_t limit)
{
    loop->busy++;
    connection->limit = connection->mark = limit;
    connection->started = clock_seconds();
    connection->progressed = connection->started;
}

void loop_open(struct load_loop *loop, struct connection *connection, uint64_t limit)
{
    prepare(loop, connection, limit);
    connect_now(loop, connection);
}

void loop_wait(struct load_loop *loop, struct connection *connection, uint64_t limit)
{
    prepare(loop, connection, limit);
    connection->started = loop->now + FAILED_SECONDS; /* the pause is not the server's */
    enqueue(loop, connection, connection->started);
}

/* Moves limit and mark of an open connection; the caller sends. */
static void extend(struct load_loop *loop, struct connection *connection, uint64_t limit,
                   uint64_t mark)
{
    if (!is_busy(connection))
        loop->busy++;
    connection->state = CONNECTION_ECHOING;
    connection->limit = limit;
    connection->mark = mark;
    connection->started = clock_seconds();
    connection->progressed = connection->started;
}

void loop_ask(struct load_loop *loop, struct connection *connection, uint64_t more)
{
    extend(loop, connection, connection->limit + more, connection->limit + more);
    step(loop, connection, READINESS_WRITE);
}

void loop_stream(struct load_loop *loop, struct connection *connection)
{
    bool streams = connection->limit == UINT64_MAX;

    extend(loop, connection, UINT64_MAX, connection->sent + 1);
    if (!streams)
        step(loop, connection, READINESS_WRITE);
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
    if (connection->wanted != READINESS_READ &&
        readiness_watch(loop->readiness, connection->descriptor, connection->wanted,
                        READINESS_READ, connection) == 0)
        connection->wanted = READINESS_READ;
}

void loop_forget_waiting(struct load_loop *loop)
{
    while (loop->waiting != NULL)
        loop_close(loop, dequeue(loop));
}

static double next_wake(const struct load_loop *loop)
{
    return loop->waiting->due > loop->gate ? loop->waiting->due : loop->gate;
}

/* Ends when one has shut the gate again. */
static void wake_waiting(struct load_loop *loop)
{
    while (loop->waiting != NULL && next_wake(loop) <= loop->now)
        connect_now(loop, dequeue(loop));
}

static void find_timeouts(struct load_loop *loop)
{
    for (size_t i = loop->busy_first; i < loop->busy_end; i++) {
        struct connection *connection = &loop->connections[i];
        if (is_busy(connection) && connection->state != CONNECTION_WAITING &&
            loop->now - connection->progressed > loop->timeout)
            fail(loop, connection, FAILED_TIMEOUT, 0);
    }
    loop->next_scan = loop->now + loop->timeout / SCANS;
}

static double turn_end(const struct load_loop *loop, double until)
{
    double end = loop->now + TURN_SECONDS;

    if (until < end)
        end = until;
    if (loop->waiting != NULL && next_wake(loop) < end)
        end = next_wake(loop);
    return loop->next_scan < end ? loop->next_scan : end;
}

int loop_turn(struct load_loop *loop, double until)
{
    struct readiness_event events[EVENTS_MAX];
    double pause = turn_end(loop, until) - loop->now;
    int count = readiness_wait(loop->readiness, events, EVENTS_MAX, pause > 0 ? pause : 0, NULL);

    if (count == -1)
        return -1;
    loop->now = clock_seconds();
    wake_waiting(loop); /* before events make connections that did not wait */
    for (int i = 0; i < count; i++) {
        struct connection *connection = events[i].owner;
        connection->progressed = loop->now;
        step(loop, connection, events[i].ready);
    }
    if (loop->now >= loop->next_scan)
        find_timeouts(loop);
    return 0;
}
