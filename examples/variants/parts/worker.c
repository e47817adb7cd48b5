/* worker.c: see worker.h. */
#include "parts/worker.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>

#define STACK_SIZE (128 * 1024) /* a session needs a few KiB; 10,000 threads share the rest */

enum task { TASK_NONE, TASK_SERVE, TASK_LEAVE };

/* A worker with what only this file has to see. */
struct thread {
    struct worker worker;
    pthread_t id;
    const struct service *service;
    int ledger;
    pthread_mutex_t mutex; /* of the two below it, and of the client */
    pthread_cond_t tasked;
    enum task task;
    int64_t number;
    char buffer[];
};

/* Waits for a task, and takes it. */
static enum task take(struct thread *thread, int64_t *number, struct client *client)
{
    enum task task;

    pthread_mutex_lock(&thread->mutex);
    while (thread->task == TASK_NONE)
        pthread_cond_wait(&thread->tasked, &thread->mutex);
    task = thread->task;
    thread->task = TASK_NONE;
    *number = thread->number;
    *client = thread->worker.client;
    pthread_mutex_unlock(&thread->mutex);
    return task;
}

static void *live(void *argument)
{
    struct thread *thread = argument;
    struct session session;
    struct client client;
    int64_t number;

    while (take(thread, &number, &client) == TASK_SERVE) {
        session_open(&session, thread->service, client.descriptor, &client.peer, thread->buffer);
        session_run(&session);
        while (ledger_write_exit(thread->ledger, number, &session) == -1)
            continue; /* the main thread gives nothing to one that is busy */
    }
    return NULL;
}

/* pthread_create with a small stack. Returns 0, or an error number. */
static int start(struct thread *thread)
{
    pthread_attr_t small;
    int error = pthread_attr_init(&small);

    if (error != 0)
        return error;
    pthread_attr_setstacksize(&small, STACK_SIZE);
    error = pthread_create(&thread->id, &small, live, thread);
    pthread_attr_destroy(&small);
    return error;
}

struct worker *worker_start(const struct service *service, int ledger)
{
    struct thread *thread = malloc(sizeof *thread + session_buffer_size(service));
    int error;

    if (thread == NULL)
        return NULL;
    *thread = (struct thread){.service = service, .ledger = ledger};
    pthread_mutex_init(&thread->mutex, NULL);
    pthread_cond_init(&thread->tasked, NULL);
    error = start(thread);
    if (error == 0)
        return &thread->worker;
    free(thread);
    errno = error;
    return NULL;
}

static void give(struct thread *thread, enum task task)
{
    thread->task = task;
    /* Woken once the mutex is free, or it would wake only to wait for that. */
    pthread_mutex_unlock(&thread->mutex);
    pthread_cond_signal(&thread->tasked);
}

void worker_give(struct worker *worker, int64_t number, const struct client *client)
{
    struct thread *thread = (struct thread *)worker; /* its first member */

    pthread_mutex_lock(&thread->mutex);
    thread->number = number;
    worker->client = *client;
    give(thread, TASK_SERVE);
}

void worker_end(struct worker *worker)
{
    struct thread *thread = (struct thread *)worker;

    pthread_mutex_lock(&thread->mutex);
    give(thread, TASK_LEAVE);
    pthread_join(thread->id, NULL);
    pthread_cond_destroy(&thread->tasked);
    pthread_mutex_destroy(&thread->mutex);
    free(thread);
}
