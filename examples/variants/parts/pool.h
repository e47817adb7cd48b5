/*
 * pool.h: workers, which are children that accept by themselves, as their parent keeps them.
 *
 * (W. R. Stevens, UNIX Network Programming, chapter 30: preforked servers.) The parent never
 * accepts. It keeps the pool: some idle workers, more as they become busy, up to max_connections,
 * which so bounds the clients as well, since a worker has one at a time. A worker accepts, serves,
 * and accepts again (pool_worker.h), and reports what it does (pool_report.h).
 *
 * A drain has to free the addresses before it is announced. All who hold the listeners hold the
 * write end of a pipe as well, the hold pipe, and close it with them. So the parent sees end of
 * file when the last listener is closed, whoever had it. It waits for that for up to a second, once
 * in its life.
 *
 * Invariants: workers >= live clients; each live client is a worker's, and no worker has two. The
 * parent waits for no worker, except in the recall. When an idle worker has died, no other is
 * started for a while.
 *
 * Cost: a report is constant, and wakes a parent that sleeps. Where no worker waits for a reply and
 * enough are idle, the parent sleeps on for a moment: so a busy pool wakes it some hundred times a
 * second, however many clients come (pool_listens_to). A death is linear in the workers
 * (waitpid(-1)), but workers die seldom. The table is children.h's: 200 bytes each.
 */
#ifndef POOL_H
#define POOL_H

#include "server/server.h"

#include <stdbool.h>
#include <sys/types.h>

/* Idle workers that there are at least: a client that comes finds one that waits in accept, while
 * the parent, which has heard of others, starts the next. And at most: the surplus is let go. */
#define POOL_SPARE_LEAST 4
#define POOL_SPARE_MOST 16

struct pool {
    struct ledger ledger;
    struct children *workers; /* by pid, idle or busy; a busy one is a child of the server's too */
    size_t exiting;           /* how many were told to leave */
    int hold_read, hold_write;
    bool at_limit;     /* the last worker could not be started */
    double starts_at;  /* none is started before; 0: at any time */
    double listens_at; /* the ledger is not looked at before; 0: at any time */
    double shrinks_at; /* surplus workers are let go; 0: there are none */
    double reaps_at;   /* waitpid has failed, and is tried again; 0: it has not */
};

/* Whether idle workers wait in accept itself: there is one listener, and it is nobody's but ours,
 * so that it can be made blocking. */
bool pool_blocks(const struct listeners *listeners);

/* A pool without workers, which becomes the model's state. The listeners are blocking from now on
 * where pool_blocks. In private memory, which children do not inherit. NULL with errno. */
struct pool *pool_open(struct server *server);

/* Whether one more worker is to be started. */
bool pool_wants(const struct pool *pool, const struct server *server);

/* It was started. */
void pool_add(struct pool *pool, pid_t pid);

/* It could not be started: fork has failed with errno. */
void pool_start_failed(struct pool *pool, struct server *server);

/* A turn's work, before server_handle_requests: reads reports, reaps the workers that have died
 * (SIGCHLD), passes a stop on to the idle ones, and lets surplus workers go. */
void pool_handle(struct pool *pool, struct server *server);

/* Reads all reports, and reaps the workers that have died. Returns how many. */
size_t pool_reap(struct server *server);

/* When there is work although nothing happens: clock.h; 0: no such time. */
double pool_due(const struct pool *pool);

/* The descriptor to wait for reports on; -1: they can wait until pool_due. */
int pool_listens_to(const struct pool *pool);

/* Takes the listeners from all workers, before the parent closes its own. */
void pool_recall(struct server *server);

size_t pool_workers(const struct pool *pool);

#endif
