/*
 * serve_iter.c: one client at a time, in one process: the baseline of all the others. What
 * differs from src/fork/serve_fork.c, and why:
 *
 *   start   Nothing is started: what a connection costs here, every other server pays as well,
 *           and its own price comes on top. Stevens measured his servers so (Unix Network
 *           Programming, "Client/Server Design Alternatives").
 *   wait    The next client is accepted when the one before has finished; until then the
 *           others are deferred, in the kernel's backlog. A silent client holds all of them
 *           up, for as long as the idle limit lets him (-t), and there is no more room than
 *           the backlog has (-b): this is what concurrency is for.
 *   signal  A blocking read would sleep through a signal that came just before it. So a read
 *           follows a wait in which signals are let in, like that for the next client.
 *   stop    Ending the session is a call. One crash ends the server.
 *   log     `pid=` is the client's number, as there is no process of its own.
 */
#include "base/clock.h"
#include "base/descriptors.h"
#include "parts/capacity.h"
#include "parts/single_process.h"
#include "parts/nonblocking.h"
#include "server/serve.h"

/* The session is done, or `signal` says that it has to be. */
static void end_session(struct server *server, struct child *child, int signal)
{
    struct nonblocking *nonblocking = child->own;

    nonblocking_close(nonblocking);
    server_session_ended(server, child, &nonblocking->session, signal);
    nonblocking_free(nonblocking);
}

/* Waits until the client can go on, is due, or a signal has come. Returns whether it can. */
static bool wait_for_client(struct server *server, const struct nonblocking *nonblocking)
{
    int descriptor = nonblocking->session.descriptor;
    fd_set readable, writable;

    FD_ZERO(&readable);
    FD_ZERO(&writable);
    if (nonblocking->session.wants == SESSION_READ)
        FD_SET(DESCRIPTORS_BIT(descriptor), &readable);
    if (nonblocking->session.wants == SESSION_WRITE)
        FD_SET(DESCRIPTORS_BIT(descriptor), &writable);
    server_wait_for(server, nonblocking_due(nonblocking), &readable, &writable, descriptor + 1);
    return FD_ISSET(DESCRIPTORS_BIT(descriptor), &readable) ||
           FD_ISSET(DESCRIPTORS_BIT(descriptor), &writable);
}

/* Serves a client to its end. Its first bytes are often there already: no wait before them. */
static void serve_client(struct server *server, const struct client *client)
{
    struct nonblocking *nonblocking =
        nonblocking_open(&server->options->service, client, clock_seconds());
    struct child *child;
    bool ready = true;

    if (nonblocking == NULL) {
        server_hold(server, client, "malloc");
        return;
    }
    child = server_began(server, single_process_number(server), client);
    child->own = nonblocking;
    while (server->children->live > 0) { /* a stop may end it, too */
        if (nonblocking_step(nonblocking, ready, clock_seconds())) {
            ready = wait_for_client(server, nonblocking);
            server_handle_requests(server);
        } else {
            end_session(server, child, 0);
        }
    }
}

static int serve(struct server *server)
{
    struct client client;

    if (single_process_start(server) == -1)
        return -1;
    while (server_running(server)) {
        server_wait(server, 0);
        server_handle_requests(server);
        while (server_accept(server, &client))
            serve_client(server, &client);
    }
    return 0;
}

static int fit(struct options *options)
{
    return capacity_fit(options, 1, "it serves one after the other");
}

const struct serve_model serve_model = {
    .program = "iterecho",
    .about = "TCP echo server (RFC 862): one connection at a time.",
    .fit = fit,
    .no_upgrade = SINGLE_PROCESS_NO_UPGRADE,
    .serve = serve,
    .stop_child = end_session,
};
