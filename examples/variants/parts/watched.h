/*
 * watched.h: a session in an event-driven server, with the times that such a server keeps.
 *
 * A blocking server lets the kernel time its reads and writes; one that waits for all
 * sessions at once must know itself when each is due: at the end of its pause, when it has
 * been idle for too long, or when its lifetime is over. In a pause (-w) its descriptor is not
 * watched: that the client has gone is found when the pause is over.
 *
 * Cost: one allocation a session, with its buffer, which is often one that has ended before; one
 * system call, to make the descriptor non-blocking.
 */
#ifndef WATCHED_H
#define WATCHED_H

#include "base/timers.h"
#include "echo/session.h"

#include <stdbool.h>

struct child;

struct watched {
    struct session session;
    double opened, moved; /* when it began, and when a byte last moved: clock.h */

    /* The loop's. */
    struct child *child;
    unsigned wanted;    /* what the descriptor is watched for: readiness.h */
    struct timer timer; /* when it is looked at although it is not ready */

    char buffer[];
};

/* Opens a session on `descriptor`, a socket just accepted, which becomes non-blocking and its own.
 * NULL with errno. */
struct watched *watched_open(const struct service *service, int descriptor,
                             const struct peer *peer, double now);

/* Takes a step where the descriptor is `ready` for what the session wants, or its pause is
 * over: a write, or a read and at once the write of what it has read. Ends it where a limit is
 * reached. Returns false when it is done. */
bool watched_step(struct watched *watched, bool ready, double now);

/* When it is due although its descriptor is not ready; 0: never. */
double watched_due(const struct watched *watched);

/* Closes the descriptor and frees it. */
void watched_close(struct watched *watched);

/* Frees it alone: what becomes of the descriptor is the caller's business. */
void watched_free(struct watched *watched);

#endif
