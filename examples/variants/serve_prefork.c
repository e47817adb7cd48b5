/*
 * serve_prefork.c: a pool of child processes, each of which accepts. What differs from
 * src/fork/serve_fork.c, and why:
 *
 *   start   A child is there before its client: it waits in accept, serves, and accepts again.
 *           So a client costs no fork, and one that ends none of what exit costs. The parent
 *           never accepts: it keeps the pool (pool.h), a few idle children at least and up to
 *           -c, and so bounds the clients.
 *   tell    What a child of forkecho is told by its birth and tells by its death, these report
 *           on the ledger: whom they have accepted, and how that ended. It is the parent that
 *           admits, counts and logs, so it hears of each client twice.
 *   cap     -A and -X a child looks up itself. How many a source has (-C) only the parent
 *           knows: with -C, and only then, a child waits for its word.
 *   wait    With one listener idle children wait in accept, and one wakes. With several they wait
 *           in select, and all wake for each client (pool_child.h).
 *   end     A child signs off and lives on; it is reaped when it was let go, or has crashed.
 *   stop    All children hold the listeners. They are told to close them at once, and the
 *           drain is announced when the last copy is closed.
 *
 * What it cannot keep: clients that find all children busy wait in the backlog, but nobody sees
 * them there, so `deferred` stays 0. Where the parent is stopped, children go on for as long
 * as they need no verdict. A client accepted by a child that is killed before it has said so
 * has no line. And a child is not its client's alone: it may not open, fork or write files
 * either, but it keeps the listeners, and what one client has done to it meets the next.
 */
#include "parts/pool_child.h"
#include "platform/platform.h"
#include "process/log.h"
#include "process/title.h"
#include "server/serve.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

static struct pool *pool;
static struct pool_child self; /* what a child starts with: memory that it inherits */
static char *buffer;

/* The whole life of a child. */
static _Noreturn void live(void)
{
    char from[ADDRESS_TEXT_MAX];
    struct session session;
    struct client client;

    pool_child_start(&self);
    while (pool_child_accept(&self, &client)) {
        title_set(peer_text(&client.peer, from));
        session_open(&session, &self.options->service, client.descriptor, &client.peer, buffer);
        session_run(&session);
        pool_child_report_exit(&self, &session); /* before the client can know, and come again */
        close(client.descriptor);
    }
    _exit(0);
}

static void begin_child(struct server *server)
{
    pid_t pid = platform_fork();

    if (pid == 0)
        live();
    if (pid == -1)
        pool_start_failed(pool, server);
    else
        pool_add(pool, pid);
}

/* One turn of the loop, after a wait. */
static void turn(struct server *server)
{
    pool_heed(pool, server);
    server_handle_requests(server);
    while (pool_wants(pool, server))
        begin_child(server);
}

static int serve(struct server *server)
{
    pool = pool_open(server);
    buffer = session_only_buffer(&server->options->service);
    if (pool == NULL || buffer == NULL) {
        log_error("cannot set up the pool: %s", strerror(errno));
        return -1;
    }
    pool_child_prepare(&self, pool, server);
    if (server_announce(server) == -1)
        return -1;
    turn(server);
    while (server_running(server) || pool_members(pool) > 0) {
        server_wait_beside(server, pool_due(pool), pool_listens_to(pool));
        turn(server);
    }
    pool_close(pool);
    return 0;
}

const struct serve_model serve_model = {
    .program = "preforkecho",
    .about = "TCP echo server (RFC 862): a pool of child processes, each accepting.",
    .capacity = (size_t)-1,
    .children_accept = true,
    .no_upgrade = "has children that would go on with the old program",
    .serve = serve,
    .reap_all = pool_reap,
    .before_close = pool_recall,
};
