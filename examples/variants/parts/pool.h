/*
 * pool.h: children that accept by themselves, as their parent keeps them.
 *
 * (W. R. Stevens, UNIX Network Programming, chapter 30: preforked servers.) The parent never
 * accepts. It keeps the pool: some idle children, more as they become busy, up to
 * max_connections, which so bounds the clients as well, since a child has one at a time. A
 * child accepts, serves, and accepts again; pool_child.h has its side.
 *
 * A child reports to the parent on the ledger (ledger.h), by one atomic record for each of:
 *
 *   RECORD_ARRIVAL        It has accepted a client: the parent admits it, and registers or refuses
 *                         it (server.h), so counts, caps and lines are those of every other server.
 *   RECORD_EXIT           The client has ended; the child is idle again.
 *   RECORD_ACCEPT_FAILED  Its accept fails, in a way that persists: one episode for the parent,
 *                         while the child tries again after a pause of its own.
 *
 * What the parent asks of a child it says by a signal:
 *
 *   POOL_LEAVE   Close the listeners at once, also in the midst of a client; go when there is
 *                none. So a surplus child is let go, and so does a drain begin.
 *   POOL_ADMIT, POOL_REFUSE
 *                The verdict on a client that has arrived, which a child waits for where
 *                only the parent can know it: with a cap for each source (pool_asks).
 *
 * A drain has to free the addresses before it says so: all who hold the listeners hold the
 * write end of a pipe as well, the lease, and close it with them. So the parent sees end of file
 * when the last listener is closed, whoever had it, and waits for that for up to a second,
 * once in its life.
 *
 * Invariants: members >= live clients; each live client is a member, and no member has two. The
 * parent waits for no child, but in the recall. No child is started before an idle one that
 * has just died was for a while.
 *
 * What the parent hears is only as true as the child: one that was subverted can, beyond what
 * it can in forkecho (ledger.h), take clients and not tell, and, as it has the listeners, keep
 * them from all others. That accept cannot work any more the parent believes its own copies of
 * the listeners only.
 *
 * Cost: a report is constant, and wakes the parent where it sleeps; but where no child waits for a
 * verdict and enough are idle, it sleeps on for a moment, so a busy pool wakes it some hundred
 * times a second, however many clients come (pool_listens_to). A death is linear in
 * the members (waitpid(-1)), but members die seldom. The table is children.h's: 200 bytes each.
 */
#ifndef POOL_H
#define POOL_H

#include "server/server.h"

#include <signal.h>
#include <stdbool.h>
#include <sys/types.h>

/* None of them is sent by a terminal or asked of a server by a person. A stray POOL_LEAVE costs a
 * child, which is replaced. A verdict is believed from the parent only, as far as the system
 * tells whom it is from (pool_child.c), and is queued: with one that is only pending or not
 * (POSIX.1-2008, 2.4.1) a stray one that is pending already would swallow the parent's, and the
 * child wait for ever. */
#define POOL_LEAVE SIGUSR2
#ifdef SIGRTMIN
#define POOL_ADMIT SIGRTMIN
#define POOL_REFUSE (SIGRTMIN + 1)
#else
#define POOL_ADMIT SIGURG
#define POOL_REFUSE SIGALRM
#endif

/* Idle children that there are at least: a client that comes finds one that waits in accept, while
 * the parent, which has heard of others, starts the next. And at most: the surplus is let go. */
#define POOL_SPARE_LEAST 4
#define POOL_SPARE_MOST 16

struct pool {
    struct ledger ledger;
    struct children *members; /* all children of the pool, by pid */
    size_t leaving;           /* how many were told to leave */
    int lease_read, lease_write;
    bool at_limit;     /* the last child could not be started */
    double starts_at;  /* none is started before; 0: at any time */
    double listens_at; /* the ledger is not looked at before; 0: at any time */
    double shrinks_at; /* surplus children are let go; 0: there are none */
    double reaps_at;   /* waitpid has failed, and is tried again; 0: it has not */
};

/* Whether idle children wait in accept itself: there is one listener, and it is nobody's but ours,
 * so that it can be made blocking. */
bool pool_blocks(const struct listeners *listeners);

/* A pool without children, which is the server's own (server.h). The listeners are blocking from
 * now on where pool_blocks. In memory that children do not inherit. NULL with errno. */
struct pool *pool_open(struct server *server);

/* Whether one more child is to be started. */
bool pool_wants(const struct pool *pool, const struct server *server);

/* It was started. */
void pool_add(struct pool *pool, pid_t pid);

/* It could not be started: fork has failed with errno. */
void pool_start_failed(struct pool *pool, struct server *server);

/* A turn's work: heeds what children have reported, reaps those that have died (SIGCHLD), passes
 * a stop on to the idle ones, and lets surplus children go. server_handle_requests comes next. */
void pool_heed(struct pool *pool, struct server *server);

/* Heeds all that is reported, and reaps those that have died. Returns how many. */
size_t pool_reap(struct server *server);

/* When that is due although nothing happens; 0: no such time. */
double pool_due(const struct pool *pool);

/* The descriptor to wait for reports on; -1: they can wait. Where nobody needs them at once they
 * are read some at a time. */
int pool_listens_to(const struct pool *pool);

/* Takes the listeners from all children, before the parent closes its own, once it has heeded
 * what they have reported so far. */
void pool_recall(struct server *server);

size_t pool_members(const struct pool *pool);

/* Once no child is left. */
void pool_close(struct pool *pool);

/* Whether a child has to ask before it serves a client. */
bool pool_asks(const struct options *options, const struct peer *peer);

#endif
