/*
 * load_loop.h: the event loop under a load generator's connections.
 *
 * It opens, watches, times out and closes; what a connection is for is decided by the two
 * functions that are called when it is complete or has failed (load_run.c). Read
 * load_connection.h first.
 *
 * Cost: a turn costs the connections that something happened to. One that rests costs
 * nothing. Timeouts are looked for at most four times a timeout, in the range of
 * connections that is busy; the queue of those that wait is only looked at from its front.
 * Nothing is allocated after loop_new.
 */
#ifndef LOAD_LOOP_H
#define LOAD_LOOP_H

#include "load_connection.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct load_loop;

/* What became of a connection; `owner` is the loop's. A complete one has its bytes back up
 * to its mark; a failed one is closed already, and `error` is the errno behind it, or 0.
 * Either function may use those below on that connection. */
typedef void load_complete(void *owner, struct connection *connection);
typedef void load_failed(void *owner, struct connection *connection, enum load_failure why,
                         int error);

struct load_loop {
    double now;          /* when the last turn woke */
    size_t busy;         /* connections that wait, connect or echo */
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
    struct connection *waiting, **waiting_end; /* first come, first served */
    double gate;      /* nothing connects before */
    double next_scan; /* for timeouts */
    uint64_t opened; /* numbers the connections */
};

/* `count` closed connections, which write at most `write_max` bytes at once; descriptors stay
 * below `descriptors`. 0, or -1 with errno. */
int loop_new(struct load_loop *loop, struct target *target, size_t count, size_t write_max,
             size_t descriptors);
void loop_free(struct load_loop *loop);

/* Opens a closed connection that may send `limit` bytes, timed from now. When it has to wait
 * for a port it is opened as soon as there is one, for at most the timeout. */
void loop_open(struct load_loop *loop, struct connection *connection, uint64_t limit);

/* Lets an open connection send `more` bytes, timed from now. */
void loop_ask(struct load_loop *loop, struct connection *connection, uint64_t more);

/* Lets an open connection send without end, and times the next byte; again, only times. */
void loop_stream(struct load_loop *loop, struct connection *connection);

/* Lets a connection that streams send no more; it is then complete once all has come back. */
void loop_finish(struct load_loop *loop, struct connection *connection);

/* Leaves a complete connection open. */
void loop_rest(struct load_loop *loop, struct connection *connection);

void loop_close(struct load_loop *loop, struct connection *connection);

/* Opens a closed connection after a pause: a server that refuses must not make us spin. */
void loop_wait(struct load_loop *loop, struct connection *connection, uint64_t limit);

/* Closes those that wait: nothing of theirs is on its way. */
void loop_forget_waiting(struct load_loop *loop);

/* Waits for something to happen, at most until `until`, and deals with it. 0, or -1 with errno. */
int loop_turn(struct load_loop *loop, double until);

#endif
