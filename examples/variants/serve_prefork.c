/*
 * serve_prefork.c: a pool of child processes, each of which accepts. What differs from
 * src/fork/serve_fork.c, and why:
 *
 *   start   A child, called a worker, is there before its client: it waits in accept, serves, and
 *           accepts again. So a client costs no fork, and one that ends none of what exit costs.
 *           The parent never accepts: it keeps the pool (pool.h), a few idle workers at least and
 *           up to -c, and so bounds the clients.
 *   report  A worker reports twice on the ledger (pool_report.h): whom it has accepted, and how
 *           that ended. It is the parent that admits, counts and logs.
 *   cap     -A and -X a worker looks up itself. How many a source has (-C) only the parent
 *           knows: with -C, and only then, a worker waits for its reply.
 *   wait    With one listener idle workers wait in accept, and one wakes. With several they wait
 *           in select, and all wake for each client (pool_worker.h).
 *   end     A worker lives on after an exit record; it is reaped when it was told to leave, or has
 *           crashed.
 *   stop    All workers hold the listeners. They are told to close them at once, and the
 *           drain is announced when the last copy is closed.
 *
 * What it cannot keep: clients that find all workers busy wait in the backlog, but nobody sees
 * them there, so `deferred` stays 0. Where the parent is stopped, workers go on for as long
 * as they need no reply. A client whose worker is killed before its report has no line. And a
 * worker is not its client's alone: it keeps the listeners, and what one client has done to it
 * can harm the next.
 */
#include "parts/pool_worker.h"
#include "parts/wait_beside.h"
#include "platform/platform.h"
#include "process/log.h"
#include "process/title.h"
#include "server/serve.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

static struct pool *pool;
static struct pool_worker self; /* what a worker starts with: memory that it inherits */
static char *buffer;

/* The whole life of a worker. */
static _Noreturn void run_worker(void)
{
    char from[ADDRESS_TEXT_MAX];
    struct session session;
    struct client client;

    pool_worker_start(&self);
    while (pool_worker_accept(&self, &client)) {
        title_set(peer_text(&client.peer, from));
        session_open(&session, &self.options->service, client.descriptor, &client.peer, buffer);
        session_run(&session);
        pool_worker_report_exit(&self, &session); /* before the client can know, and come again */
        close(client.descriptor);
    }
    _exit(0);
}

static void start_worker(struct server *server)
{
    pid_t pid = platform_fork();

    if (pid == 0)
        run_worker();
    if (pid == -1)
        pool_start_failed(pool, server);
    else
        pool_add(pool, pid);
}

/* One turn of the loop, after a wait. */
static void turn(struct server *server)
{
    pool_handle(pool, server);
    server_handle_requests(server);
    while (pool_wants(pool, server))
        start_worker(server);
}

static int serve(struct server *server)
{
    static char own_buffer[MESSAGE_SIZE_MAX];

    pool = pool_open(server);
    buffer = session_only_buffer(&server->options->service, own_buffer);
    if (pool == NULL || buffer == NULL) {
        log_error("cannot set up the pool: %s", strerror(errno));
        return -1;
    }
    pool_worker_prepare(&self, pool, server);
    if (server_announce(server) == -1)
        return -1;
    turn(server);
    while (server_running(server) || pool_workers(pool) > 0) {
        wait_beside(server, pool_due(pool), pool_listens_to(pool));
        turn(server);
    }
    return 0;
}

const struct serve_model serve_model = {
    .program = "preforkecho",
    .about = "TCP echo server (RFC 862): a pool of child processes, each accepting.",
    .children_accept = true,
    .no_upgrade = "has children that would go on with the old program",
    .serve = serve,
    .reap_all = pool_reap,
    .before_close = pool_recall,
};
