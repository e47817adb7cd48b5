/*
 * nonblocking.h: a nonblocking session: one of many that one thread serves at the same time.
 *
 * A blocking server lets the kernel time its reads and writes. One that waits for all its sessions
 * at once has to know when each is due: when its pause is over, when it has been idle for too long,
 * or when its lifetime is over. In a pause (-w) its descriptor is not watched: that the client has
 * gone is found when the pause is over.
 *
 * Cost: one allocation a session, with its buffer, which is often that of a session that has ended;
 * one system call, to make the descriptor non-blocking.
 */
#ifndef NONBLOCKING_H
#define NONBLOCKING_H

#include "base/timers.h"
#include "echo/session.h"
#include "server/children.h"
#include "server/listener.h"

#include <stdbool.h>

struct nonblocking {
    struct session session;
    double opened, moved; /* when it began, and when a byte last moved: clock.h */

    /* The event loop's. */
    struct child *child;
    unsigned wanted;    /* what the descriptor is watched for: readiness.h */
    struct timer timer; /* when it is looked at although it is not ready */

    char buffer[];
};

/* Opens the session of a client that was just accepted. The descriptor becomes non-blocking, and
 * the session's. NULL with errno. */
struct nonblocking *nonblocking_open(const struct service *service, const struct client *client,
                                     double now);

/* Takes a step where the descriptor is `ready` for what the session wants, or its pause is
 * over: a write, or a read and at once the write of what it has read. Ends it where a limit is
 * reached. Returns false when it is done. */
bool nonblocking_step(struct nonblocking *nonblocking, bool ready, double now);

/* When it is due although its descriptor is not ready; 0: never. */
double nonblocking_due(const struct nonblocking *nonblocking);

/* Ends the connection and closes the descriptor. */
void nonblocking_close(struct nonblocking *nonblocking);

/* Frees the memory alone. */
void nonblocking_free(struct nonblocking *nonblocking);

#endif
