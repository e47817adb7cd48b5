/*
 * pool_child.h: a child of a pool (pool.h): how it accepts, reports and is told to leave.
 *
 *     start --> wait in accept --> arrived --> (verdict) --> the model serves --> signed off
 *                  ^                                                                  |
 *                  +------------------------------------------------------------------+
 *
 * With one listener of its own a child waits in accept itself, which Linux lets one of many wake
 * from. With several, or one that the service manager shares, whose flags are not ours to
 * change, it waits in select, which wakes all idle children for each client, of whom
 * one finds it: idle children are few (pool.c), and a client so costs a call more, and that.
 *
 * Handlers elsewhere only record (signals.h). The one for POOL_LEAVE closes the listeners and
 * the lease: a child that is busy may not come to look at a record for hours, while somebody
 * waits to bind the address anew; and where the signal comes just before accept, that fails with
 * EBADF where a record would be looked at only after the next client. close(2) is
 * async-signal-safe (POSIX.1-2008, 2.4.3). The numbers are not used again while anybody looks
 * at them, as whoever was told to leave opens nothing more.
 *
 * A child whose parent has ended is told by the system (platform.h), finishes its client, and
 * leaves. Where the system cannot tell (platform.h, the null backend), it learns that from the
 * next client, which it still serves; one that waits for a verdict then waits for SIGTERM.
 *
 * What it gives up (confine.h) is less than a child of forkecho does: it has to keep the listeners
 * and the right to one more descriptor. It serves many clients, one after the other: what the
 * one has done to it, the next one meets.
 *
 * Cost: a client takes two writes to the ledger, and with a cap for each source five calls more
 * and the parent's answer. A full ledger (a stopped parent) makes a child wait until there is
 * room; the parent waits for no child, so that ends.
 */
#ifndef POOL_CHILD_H
#define POOL_CHILD_H

#include "parts/pool.h"

#include <stdbool.h>

/* What a child starts with, in memory that it inherits. */
struct pool_child {
    const struct options *options;
    struct listeners listeners; /* copies: the descriptors are its own to close */
    bool blocks; /* it waits in accept (pool_blocks) */
    pid_t parent, own;
    int ledger, lease; /* the write ends; the ledger's is above all that the parent opened */
    unsigned retries;  /* accepts in a row that failed and are to be tried again (failures.h) */
};

/* In the parent: fills it in. */
void pool_child_prepare(struct pool_child *child, const struct pool *pool,
                        const struct server *server);

/* In the child, first: closes what is the parent's, heeds POOL_LEAVE, and confines itself. `child`
 * stays as long as the process. */
void pool_child_start(struct pool_child *child);

/* Waits for the next client, accepts it, reports it, and closes it again where it may not come
 * in. False when the child is to leave. */
bool pool_child_accept(struct pool_child *child, struct client *client);

/* The client has ended. */
void pool_child_report_exit(const struct pool_child *child, const struct session *session);

#endif
