/*
 * pool_thread.h: a thread that serves one client after the other, as it is given them.
 *
 * The main thread accepts a client and gives it to the thread, which serves it, writes its exit
 * record to the ledger (ledger.h) and waits for the next. Between the two is room for one client
 * under a mutex, and a condition that it is there (POSIX.1-2008, pthread_cond_wait: the look and
 * the sleep are one, so no wakeup is lost). Each thread has its own: the main thread chooses who
 * serves.
 *
 * Invariants: a client that was given is served exactly once. A thread is given one only while it
 * is idle: from its start, or from its last exit record on, even before it waits.
 *
 * Cost: giving is constant, and a system call for each of the two threads. A thread keeps its
 * stack and a buffer until it is ended.
 */
#ifndef POOL_THREAD_H
#define POOL_THREAD_H

#include "server/server.h"

#include <pthread.h>
#include <stdint.h>

enum pool_thread_task { TASK_NONE, TASK_SERVE, TASK_EXIT };

struct pool_thread {
    struct pool_thread *next; /* the main thread's, for a list */
    struct client client;     /* that it was given last; the main thread closes the descriptor */

    /* Its own. */
    int64_t number; /* of the client */
    enum pool_thread_task task;
    pthread_mutex_t mutex; /* of task, number and client */
    pthread_cond_t tasked;
    pthread_t id;
    const struct service *service;
    int ledger; /* the write end */
    char buffer[];
};

/* Starts one, which is idle, for sessions of `service`. NULL with errno. */
struct pool_thread *pool_thread_start(const struct service *service, int ledger);

/* Gives an idle thread a client: `number` is the id in its exit record. */
void pool_thread_give(struct pool_thread *thread, int64_t number, const struct client *client);

/* Ends an idle thread, waits for its end, and frees it. */
void pool_thread_end(struct pool_thread *thread);

#endif
