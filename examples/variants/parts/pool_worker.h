/*
 * pool_worker.h: a worker of a pool (pool.h): how it accepts, reports and is told to leave.
 *
 *     start --> wait in accept --> arrival --> (reply) --> the model serves --> exit record
 *                  ^                                                                 |
 *                  +-----------------------------------------------------------------+
 *
 * With one listener of its own a worker waits in accept itself: Linux wakes one of many that wait
 * there. With several, or one that the service manager shares and whose flags are not ours, it
 * waits in select, which wakes all idle workers for each client: they are few (pool.h).
 *
 * Handlers elsewhere only record (signals.h). The one for POOL_LEAVE closes the listeners and the
 * hold pipe: a busy worker may not look at a record for hours, while somebody waits to bind the
 * address anew; and a signal that comes just before accept makes that fail with EBADF. close(2) is
 * async-signal-safe (POSIX.1-2008, 2.4.3). The numbers are not used again meanwhile: a worker that
 * was told to leave opens nothing more.
 *
 * A worker whose parent has ended is told by the system (platform.h), finishes its client, and
 * leaves. Where the system cannot tell (platform/null.c), it learns that from its report about the
 * next client, which it still serves; one that waits for a reply then waits for SIGKILL.
 *
 * It gives up less (confine.h) than a child of forkecho: it has to keep the listeners and the right
 * to one more descriptor. And what one of its clients has done to it can harm the next.
 *
 * Cost: a client takes two writes to the ledger, and with a cap for each source five calls more
 * and the parent's reply. A full ledger makes a worker wait: the parent, which waits for no worker,
 * will read it.
 */
#ifndef POOL_WORKER_H
#define POOL_WORKER_H

#include "parts/pool.h"

#include <stdbool.h>

/* What a worker starts with, in memory that it inherits. */
struct pool_worker {
    const struct options *options;
    struct listeners listeners; /* copies: the descriptors are its own to close */
    bool blocks;                /* it waits in accept (pool_blocks) */
    pid_t parent, own;
    int ledger, hold; /* the write ends */
    unsigned retries; /* for failure_action (server/gate.h) */
};

/* In the parent: fills it in. */
void pool_worker_prepare(struct pool_worker *worker, const struct pool *pool,
                         const struct server *server);

/* In the worker, first: closes what is the parent's, handles POOL_LEAVE from now on, and confines
 * the process. `worker` stays as long as that. */
void pool_worker_start(struct pool_worker *worker);

/* Waits for the next client, accepts and reports it, and closes it again where it may not come
 * in. False when the worker is to leave. */
bool pool_worker_accept(struct pool_worker *worker, struct client *client);

/* The client has ended. */
void pool_worker_report_exit(const struct pool_worker *worker, const struct session *session);

#endif
