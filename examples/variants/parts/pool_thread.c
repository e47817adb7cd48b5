/* pool_thread.c: see pool_thread.h. */
#include "parts/pool_thread.h"

#include <errno.h>
#include <stdlib.h>

#define STACK_SIZE (128 * 1024) /* a session needs a few KiB; 10,000 threads share the rest */

static enum pool_thread_task await_task(struct pool_thread *thread, int64_t *number,
                                        struct client *client)
{
    enum pool_thread_task task;

    pthread_mutex_lock(&thread->mutex);
    while (thread->task == TASK_NONE)
        pthread_cond_wait(&thread->tasked, &thread->mutex);
    task = thread->task;
    thread->task = TASK_NONE;
    *number = thread->number;
    *client = thread->client;
    pthread_mutex_unlock(&thread->mutex);
    return task;
}

static void *run_thread(void *argument)
{
    struct pool_thread *thread = argument;
    struct session session;
    struct client client;
    struct record record;
    int64_t number;

    while (await_task(thread, &number, &client) == TASK_SERVE) {
        session_open(&session, thread->service, client.descriptor, &client.peer, thread->buffer);
        session_run(&session);
        record = ledger_exit_record(number, &session);
        while (ledger_write(thread->ledger, &record) == -1)
            continue; /* the main thread gives nothing to one that is busy */
    }
    return NULL;
}

struct pool_thread *pool_thread_start(const struct service *service, int ledger)
{
    struct pool_thread *thread = malloc(sizeof *thread + session_buffer_size(service));
    pthread_attr_t small_stack;
    int error;

    if (thread == NULL)
        return NULL;
    *thread = (struct pool_thread){.service = service, .ledger = ledger};
    pthread_mutex_init(&thread->mutex, NULL);
    pthread_cond_init(&thread->tasked, NULL);
    pthread_attr_init(&small_stack);
    pthread_attr_setstacksize(&small_stack, STACK_SIZE);
    error = pthread_create(&thread->id, &small_stack, run_thread, thread);
    pthread_attr_destroy(&small_stack);
    if (error == 0)
        return thread;
    free(thread);
    errno = error;
    return NULL;
}

/* With the mutex held. */
static void set_task(struct pool_thread *thread, enum pool_thread_task task)
{
    thread->task = task;
    /* Woken once the mutex is free, or it would wake only to wait for that. */
    pthread_mutex_unlock(&thread->mutex);
    pthread_cond_signal(&thread->tasked);
}

void pool_thread_give(struct pool_thread *thread, int64_t number, const struct client *client)
{
    pthread_mutex_lock(&thread->mutex);
    thread->number = number;
    thread->client = *client;
    set_task(thread, TASK_SERVE);
}

void pool_thread_end(struct pool_thread *thread)
{
    pthread_mutex_lock(&thread->mutex);
    set_task(thread, TASK_EXIT);
    pthread_join(thread->id, NULL);
    pthread_cond_destroy(&thread->tasked);
    pthread_mutex_destroy(&thread->mutex);
    free(thread);
}
