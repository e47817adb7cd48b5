/* minimal_events.h: the echo of minimal servers that wait for many clients (minimal.h). */
#ifndef MINIMAL_EVENTS_H
#define MINIMAL_EVENTS_H

#include "minimal.h"

#include <fcntl.h>
#include <stdbool.h>
#include <sys/select.h>

/* What a client is still owed; nothing is read before it has got all of it. */
struct client {
    size_t at, end;
    char buffer[BUFFER_SIZE];
};

static struct client *clients[FD_SETSIZE]; /* by descriptor; allocated once, used again */

static inline int begin_client(int listener)
{
    int descriptor = accept_client(listener);

    if (descriptor >= FD_SETSIZE)
        die("too many clients");
    if (clients[descriptor] == NULL && (clients[descriptor] = malloc(sizeof **clients)) == NULL)
        die("malloc");
    clients[descriptor]->at = clients[descriptor]->end = 0;
    fcntl(descriptor, F_SETFL, O_NONBLOCK);
    return descriptor;
}

static inline bool owes(int descriptor)
{
    return clients[descriptor]->at < clients[descriptor]->end;
}

/* It is ready. Returns whether the client goes on. */
static inline bool serve_client(int descriptor)
{
    struct client *client = clients[descriptor];
    ssize_t size;

    if (!owes(descriptor)) {
        size = read(descriptor, client->buffer, sizeof client->buffer);
        if (size <= 0)
            return size == -1 && errno == EAGAIN;
        client->at = 0;
        client->end = (size_t)size;
    }
    size = write(descriptor, client->buffer + client->at, client->end - client->at);
    if (size == -1)
        return errno == EAGAIN;
    client->at += (size_t)size;
    return true;
}

#endif
