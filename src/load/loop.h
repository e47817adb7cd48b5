/*
 * load/loop.h: the event loop under a load generator's connections.
 *
 * It opens, watches, times out and closes connections. What one is for is decided by two functions
 * of its owner, which it calls when a connection is complete or has failed (load/work.h). Read
 * load/connection.h first.
 *
 * Cost: a turn costs the connections to which something happens, and one that rests costs nothing.
 * By epoll, to enter a connection took 4 % of its processor time where it is for one message: for
 * few of these poll is the cheaper mechanism, although a turn then looks at all of them.
 * Timeouts are looked for at most four times in a timeout, among the connections that are busy.
 * To wait costs the logarithm of how many wait (timers.h). Nothing is allocated after loop_new.
 *
 * `when` is the time at which a request is to begin, as clock_seconds has it; LOAD_NOW is at once.
 * A request whose time has passed begins at once as well, and is timed from then.
 */
#ifndef LOAD_LOOP_H
#define LOAD_LOOP_H

#include "load/connection.h"
#include "platform/readiness.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define LOAD_NOW 0.0

/* What became of a connection; `owner` is the loop's. A complete one has reached its goal, at the
 * loop's `moment`. A failed one is closed already; `error` is the errno behind that, or 0. Either
 * function may call those below for that connection. */
typedef void load_complete(void *owner, struct connection *connection);
typedef void load_failed(void *owner, struct connection *connection, enum load_failure why,
                         int error);

struct load_loop {
    double now;          /* when the last turn woke */
    double moment;       /* when the last step had moved something */
    double lag;          /* seconds by which requests that waited for their time began too late */
    size_t busy;         /* connections that wait, connect or echo */
    size_t live;         /* connections that are open or connect */
    uint64_t received;   /* bytes that came back, of all connections */
    uint64_t pauses;     /* how often no port was free, or a Unix socket's backlog was full */
    struct connection *connections;

    /* The owner's to set: */
    size_t busy_first, busy_end; /* the range of connections in which timeouts are looked for */
    double timeout;      /* seconds without progress */
    uint64_t numbers;    /* connections are numbered from here, as they are opened */
    load_complete *complete;
    load_failed *failed;
    void *owner;

    /* Its own: */
    uint64_t opened;            /* how many connections have been opened */
    struct target *target;
    struct readiness *readiness;
    struct load_buffers *buffers;
    struct timers *waiting;     /* connections, by the time at which they go on */
    int timer;                  /* a platform's timer for exact waits, or -1 */
    double no_connect_before;
    double next_scan;           /* for timeouts */
};

/* Makes `count` closed connections, which write at most `write_max` bytes at once; their
 * descriptors stay below `descriptors`. Returns 0, or -1 with errno. */
int loop_new(struct load_loop *loop, struct target *target, size_t count, size_t write_max,
             const struct readiness_mechanism *mechanism, size_t descriptors);
void loop_free(struct load_loop *loop);

/* Has waits end when they should, and not up to a millisecond later, where the system can. */
void loop_be_exact(struct load_loop *loop);

/* Opens a closed connection with a goal, which may send `limit` bytes. Where no port is free, it
 * waits for one, for at most the timeout. */
void loop_open(struct load_loop *loop, struct connection *connection, enum connection_goal goal,
               uint64_t limit, double when);

/* The same after a pause, for one that has failed: a server that refuses must not make us spin.
 * LOAD_NOW is then behind the pause. */
void loop_open_again(struct load_loop *loop, struct connection *connection,
                     enum connection_goal goal, uint64_t limit, double when);

/* Lets an open connection send a message of `size` bytes. */
void loop_request(struct load_loop *loop, struct connection *connection, uint64_t size,
                  double when);

/* Lets an open connection send without end, and read nothing. */
void loop_flood(struct load_loop *loop, struct connection *connection);

/* Lets an open connection send without end, if it does not yet, and times its next byte. */
void loop_stream(struct load_loop *loop, struct connection *connection);

/* Stops a stream: the connection is complete once all that it sent has come back. */
void loop_finish(struct load_loop *loop, struct connection *connection);

/* Leaves a complete connection open. */
void loop_rest(struct load_loop *loop, struct connection *connection);

void loop_close(struct load_loop *loop, struct connection *connection);

/* Ends all waits. A connection that waits to be opened is closed; an open one, of which nothing is
 * on its way, rests. */
void loop_forget_waiting(struct load_loop *loop);

/* Waits for something to happen, at most until `until`, and handles it. Returns 0, or -1 with
 * errno. */
int loop_turn(struct load_loop *loop, double until);

#endif
