/*
 * load/loop.h: the event loop under a load generator's connections.
 *
 * It opens, watches, times out and closes; what a connection is for is decided by the two
 * functions that are called when it is complete or has failed (load/run.c). Read
 * load/connection.h first.
 *
 * Cost: a turn costs the connections that something happened to. One that rests costs
 * nothing. Timeouts are looked for at most four times a timeout, in the range of
 * connections that is busy. To wait costs the logarithm of how many wait (timers.h).
 * Nothing is allocated after loop_new.
 *
 * `when` is the time at which a request is to begin, as clock_seconds has it; LOAD_NOW is
 * at once. One whose time has passed begins at once as well, and is timed from then.
 */
#ifndef LOAD_LOOP_H
#define LOAD_LOOP_H

#include "load/connection.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct load_loop;

#define LOAD_NOW 0.0

/* What became of a connection; `owner` is the loop's. A complete one has reached its goal, at
 * the loop's `moment`; a failed one is closed already, and `error` is the errno behind it, or
 * 0. Either function may use those below on that connection. */
typedef void load_complete(void *owner, struct connection *connection);
typedef void load_failed(void *owner, struct connection *connection, enum load_failure why,
                         int error);

struct load_loop {
    double now;          /* when the last turn woke */
    double moment;       /* when the last step had moved something */
    double lag;          /* seconds by which those that waited for their time began too late */
    size_t busy;         /* connections that wait, connect or echo */
    size_t live;         /* connections that stand or are under way */
    uint64_t received;   /* bytes that came back, of all connections */
    uint64_t pauses;     /* how often no port was free, or a Unix socket's backlog was full */
    struct connection *connections;
    size_t busy_first, busy_end; /* the range in which timeouts are looked for */
    double timeout;      /* seconds without progress */
    load_complete *complete;
    load_failed *failed;
    void *owner;

    /* Its own: */
    struct target *target;
    struct readiness *readiness;
    struct exchange *exchange;
    struct timers *waiting; /* connections, by the time at which they go on */
    int timer;        /* a platform's timer for exact waits, or -1 */
    double gate;      /* nothing connects before */
    double next_scan; /* for timeouts */
    uint64_t numbers; /* connections are numbered from here, which is the owner's to set ... */
    uint64_t opened;  /* ... and so many of them have been opened */
};

/* `count` closed connections, which write at most `write_max` bytes at once; descriptors stay
 * below `descriptors`. 0, or -1 with errno. */
int loop_new(struct load_loop *loop, struct target *target, size_t count, size_t write_max,
             size_t descriptors);
void loop_free(struct load_loop *loop);

/* Has waits end when they should and not up to a millisecond later, where the system can. */
void loop_be_exact(struct load_loop *loop);

/* Opens a closed connection with a goal that may send `limit` bytes. When it has to wait for a
 * port it is opened as soon as there is one, for at most the timeout. */
void loop_open(struct load_loop *loop, struct connection *connection, enum connection_goal goal,
               uint64_t limit, double when);

/* Lets an open connection send `more` bytes. */
void loop_ask(struct load_loop *loop, struct connection *connection, uint64_t more, double when);

/* Lets an open connection send without end, and read nothing. */
void loop_flood(struct load_loop *loop, struct connection *connection);

/* Lets an open connection send without end, and times the next byte; again, only times. */
void loop_stream(struct load_loop *loop, struct connection *connection);

/* Lets a connection that streams send no more; it is then complete once all has come back. */
void loop_finish(struct load_loop *loop, struct connection *connection);

/* Leaves a complete connection open. */
void loop_rest(struct load_loop *loop, struct connection *connection);

void loop_close(struct load_loop *loop, struct connection *connection);

/* Opens a closed connection like loop_open, after a pause: a server that refuses must not make us
 * spin. At once, LOAD_NOW, is then behind the pause. */
void loop_wait(struct load_loop *loop, struct connection *connection, enum connection_goal goal,
               uint64_t limit, double when);

/* Closes those that wait, and leaves those open that are: nothing of theirs is on its way. */
void loop_forget_waiting(struct load_loop *loop);

/* Waits for something to happen, at most until `until`, and deals with it. 0, or -1 with errno. */
int loop_turn(struct load_loop *loop, double until);

#endif
