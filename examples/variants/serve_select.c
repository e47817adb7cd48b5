/*
 * serve_select.c: one process, one loop over select. What differs from src/serve_fork.c:
 *
 *   start   A client costs an allocation, not a process: no fork, nothing to reap, no ledger.
 *   serve   Descriptors are non-blocking, and a session takes one step when its own is ready;
 *           so one client's long step keeps all others waiting.
 *   cost    Each wait passes and scans every descriptor: a turn is linear in live clients,
 *           idle or not, while forkecho pays nothing for an idle client's silence.
 *   limit   A descriptor must be below FD_SETSIZE (POSIX.1-2008, select): that bounds the
 *           clients, and is refused at the start rather than overrun.
 *   stop    Ending a session is a call. One crash ends all of them.
 *   log     `pid=` is the client's number, as there is no process of its own.
 */
#include "clock.h"
#include "descriptors.h"
#include "log.h"
#include "serve.h"
#include "signals.h"
#include "watched.h"

#include <unistd.h>

/* Kept for standard descriptors, listeners and what libc opens for a moment. */
#define RESERVED (LISTENERS_MAX + 16)

struct interest {
    fd_set readable, writable;
    int limit;    /* above the highest descriptor */
    double until; /* when the first session is due; 0: none is */
};

static void collect_interest(const struct server *server, struct interest *interest)
{
    FD_ZERO(&interest->readable);
    FD_ZERO(&interest->writable);
    interest->limit = 0;
    interest->until = 0;
    for (struct child *each = children_oldest(server->children); each != NULL; each = each->younger) {
        const struct watched *watched = each->own;
        unsigned descriptor = (unsigned)watched->session.descriptor;
        double due = watched_due(watched);
        if (watched->session.wants == SESSION_READ)
            FD_SET(descriptor, &interest->readable);
        if (watched->session.wants == SESSION_WRITE)
            FD_SET(descriptor, &interest->writable);
        if ((int)descriptor >= interest->limit)
            interest->limit = (int)descriptor + 1;
        if (due > 0 && (interest->until <= 0 || due < interest->until))
            interest->until = due;
    }
}

/* The session is done, or `signal` says that it has to be. */
static void end_session(struct server *server, struct child *child, int signal)
{
    struct watched *watched = child->own;
    struct record record = ledger_record(child->id, &watched->session);

    server_signed_off(server, &record);
    watched_close(watched);
    server_ended(server, child, signal);
}

static void step_sessions(struct server *server, const struct interest *interest)
{
    double now = clock_seconds();

    for (struct child *each = children_oldest(server->children), *next; each != NULL; each = next) {
        struct watched *watched = each->own;
        unsigned descriptor = (unsigned)watched->session.descriptor;
        next = each->younger;
        if (!watched_step(watched, FD_ISSET(descriptor, &interest->readable) ||
                                       FD_ISSET(descriptor, &interest->writable), now))
            end_session(server, each, 0);
    }
}

static void begin_session(struct server *server, const struct client *client)
{
    static int64_t number;
    struct watched *watched = watched_open(&server->options->service, client->descriptor,
                                           &client->peer, clock_seconds());

    if (watched == NULL)
        server_hold(server, client, "malloc");
    else
        server_began(server, ++number, client)->own = watched;
}

static int serve(struct server *server)
{
    struct interest interest;
    struct client client;

    descriptors_raise_limit();
    signals_without_children();
    if (server_announce(server) == -1)
        return -1;
    while (server_running(server)) {
        collect_interest(server, &interest);
        server_wait(server, interest.until, &interest.readable, &interest.writable, interest.limit);
        step_sessions(server, &interest);
        if (signals_take(SIGUSR1))
            server_status(server, 0);
        server_pass_order(server, end_session);
        while (server_accept(server, &client))
            begin_session(server, &client);
    }
    return 0;
}

const struct serve_model serve_model = {
    .program = "selectecho",
    .about = "TCP echo server (RFC 862): all connections in one loop over select.",
    .capacity = FD_SETSIZE - RESERVED,
    .limit = "FD_SETSIZE",
    .serve = serve,
};
