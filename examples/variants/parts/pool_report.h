/*
 * pool_report.h: what the workers of a pool report to their parent, and what it tells them.
 *
 * A worker reports on the ledger (ledger.h), by one atomic record for each of:
 *
 *   RECORD_ARRIVAL        It has accepted a client: the parent admits it, and registers or refuses
 *                         it (server.h), so counts, caps and lines are those of every other server.
 *   RECORD_EXIT           The client has ended; the worker is idle again.
 *   RECORD_ACCEPT_FAILED  Its accept fails, in a way that persists: one episode for the parent,
 *                         while the worker tries again after a pause of its own.
 *
 * What the parent tells a worker is a signal:
 *
 *   POOL_LEAVE               Close the listeners at once, also while a client is served, and exit
 *                            when there is none. So a surplus worker is let go, and so does a
 *                            drain begin.
 *   POOL_ADMIT, POOL_REFUSE  The admission reply to an arrival. A worker waits for it only where
 *                            the parent alone can know it: with a cap for each source.
 *
 * A report is only as true as the worker. One that was compromised can accept clients without a
 * report, report for another worker, and, as it has the listeners, keep them from all others. That
 * no worker can accept any more, the parent believes its own copies only.
 */
#ifndef POOL_REPORT_H
#define POOL_REPORT_H

#include "server/server.h"

#include <signal.h>
#include <stdbool.h>

/* None of them is sent by a terminal, or by people to a server. A stray POOL_LEAVE costs a worker,
 * which is replaced. Replies are queued signals: a stray one that is pending cannot swallow the
 * parent's (POSIX.1-2008, 2.4.1), for which the worker would wait for ever. */
#define POOL_LEAVE SIGVTALRM
#ifdef SIGRTMIN
#define POOL_ADMIT SIGRTMIN
#define POOL_REFUSE (SIGRTMIN + 1)
#else
#define POOL_ADMIT SIGURG
#define POOL_REFUSE SIGALRM
#endif

/* Whether a worker waits for a reply before it serves this client. */
bool pool_report_needs_reply(const struct options *options, const struct peer *peer);

/* Reads what `workers` have reported, and acts on it. Returns whether there was anything. */
bool pool_report_read(struct ledger *ledger, struct children *workers, struct server *server);

#endif
