/* thread.c: a thread for each client. See minimal.h. */
#include "minimal.h"

#include <pthread.h>

static void *serve(void *argument)
{
    int client = (int)(intptr_t)argument;

    echo(client);
    close(client);
    return NULL;
}

int main(int argc, char **argv)
{
    int listener = open_listener(argc, argv);
    pthread_attr_t detached;
    pthread_t thread;

    pthread_attr_init(&detached);
    pthread_attr_setdetachstate(&detached, PTHREAD_CREATE_DETACHED);
    for (;;) {
        int client = accept_client(listener);
        if ((errno = pthread_create(&thread, &detached, serve, (void *)(intptr_t)client)) != 0)
            die("pthread_create");
    }
}
