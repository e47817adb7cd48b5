/*
 * serve.h: the one contract that every server of the family implements.
 *
 * A server is main.c, the library, and exactly one serve_*.c, which defines serve_model: how it
 * serves many clients at once. Read serve_fork.c first; the others stand in examples/variants/.
 */
#ifndef SERVE_H
#define SERVE_H

#include "server/server.h"

#include <stdbool.h>
#include <stddef.h>

struct serve_model {
    const char *program;    /* its name, for messages */
    const char *operands;   /* as --help shows a program in place of the echo; NULL: it runs none */
    const char *about;      /* one sentence for --help */
    bool children_accept;   /* the parent does not, and waits for no listener */
    bool answers_monitors;  /* it serves the listeners of -S, which the others refuse */
    const char *no_upgrade; /* why there is no `upgrade`, as the log says it behind `program` */

    /* Announces the server, and serves until it has been told to stop and the last client has
     * ended: the loop of server.h. Returns 0, or -1 when it could not start (logged). */
    int (*serve)(struct server *server);

    /* What the rest of the server asks of a model. Each may be NULL. */
    int (*fit)(struct options *options); /* lowers -c to what it can; -1: refused (reported) */
    void (*read_records)(struct server *server); /* reads the exit records that wait to be read */
    size_t (*reap_all)(struct server *server);   /* reaps all that have died; returns how many */
    void (*upgrade)(struct server *server);      /* SIGHUP: begins to replace the program */
    void (*before_close)(struct server *server); /* the listeners are closed next */
    /* Passes a stop on to one child, which it may remove at once. NULL: by kill(2), to its id. */
    void (*stop_child)(struct server *server, struct child *child, int signal);
};

extern const struct serve_model serve_model;

#endif
