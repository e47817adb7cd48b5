/* threadpool.c: the main thread accepts, a fixed number of threads serves. See minimal.h. */
#include "minimal.h"

#include <pthread.h>

#define QUEUE_SIZE 1024

static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t changed = PTHREAD_COND_INITIALIZER;
static int queue[QUEUE_SIZE]; /* clients that nobody serves yet */
static size_t first, last;    /* modulo QUEUE_SIZE */

static _Noreturn void *serve(void *argument)
{
    (void)argument;
    for (;;) {
        int client;
        pthread_mutex_lock(&mutex);
        while (first == last)
            pthread_cond_wait(&changed, &mutex);
        client = queue[first++ % QUEUE_SIZE];
        pthread_mutex_unlock(&mutex);
        echo(client);
        close(client);
    }
}

int main(int argc, char **argv)
{
    int listener = open_listener(argc, argv);
    pthread_t thread;

    for (long i = 0; i < pool_size(argc, argv); i++)
        if ((errno = pthread_create(&thread, NULL, serve, NULL)) != 0)
            die("pthread_create");
    for (;;) {
        int client = accept_client(listener);
        pthread_mutex_lock(&mutex);
        if (last - first == QUEUE_SIZE)
            die("too many clients");
        queue[last++ % QUEUE_SIZE] = client;
        pthread_mutex_unlock(&mutex);
        pthread_cond_signal(&changed);
    }
}
