/*
 * serve.h: the one contract that every server of the family implements.
 *
 * A server is main.c, the library, and exactly one serve_*.c, which defines serve_model. So
 * options, sockets, sessions, caps, signals and log lines are the same in all of them, and
 * only the concurrency model differs. Read serve_fork.c first; the others stand in
 * examples/variants/ and say what they do differently.
 */
#ifndef SERVE_H
#define SERVE_H

#include "server/server.h"

#include <stddef.h>

struct serve_model {
    const char *program; /* its name, for messages */
    const char *about;   /* one sentence for --help */
    size_t capacity;     /* the most clients it can serve at once */
    const char *limit;   /* what bounds it, for messages; NULL where nothing of its own does */

    /* Sets up what the model needs, announces the server, and serves until it has been told
     * to stop and the last client has ended: the loop of server.h. Returns 0, or -1 when it
     * could not start or go on (said). */
    int (*serve)(struct server *server);
};

extern const struct serve_model serve_model;

#endif
