/*
 * worker.h: a thread that serves one client after the other, as it is given them.
 *
 * The thread that accepts gives; the worker takes, serves, signs off on the ledger (ledger.h)
 * and waits for the next. Between them is room for one client under a mutex, and a condition
 * that somebody is there (POSIX.1-2008, pthread_cond_wait: the look and the sleep are one, so
 * no wakeup is lost). Each worker has its own, so one is woken for a client and never a crowd,
 * and whoever gives chooses who serves.
 *
 * Invariants: what is given is taken exactly once. A worker is given a client only when it is
 * idle, from its start or its last sign-off on. The session is the thread's own; nothing is
 * shared but the client, under the mutex, so a worker that has signed off may be given the
 * next before it waits.
 *
 * Cost: giving is constant, and a system call for each of the two threads. A worker keeps its
 * stack and a buffer until it is ended.
 */
#ifndef WORKER_H
#define WORKER_H

#include "server/server.h"

#include <stdint.h>

struct worker {
    struct client client; /* the one that it was given last; its descriptor is the giver's */
    struct worker *next;  /* the giver's own, for a list */
};

/* Starts one, which is idle, for sessions of `service`, and signs off on `ledger`, a write end.
 * NULL with errno. */
struct worker *worker_start(const struct service *service, int ledger);

/* Gives an idle worker a client: it serves and signs off as `number`. */
void worker_give(struct worker *worker, int64_t number, const struct client *client);

/* Ends an idle worker, waits for its end, and frees it. */
void worker_end(struct worker *worker);

#endif
