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
#include "one_process.h"
#include "serve.h"
#include "watched.h"

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
        int descriptor = watched->session.descriptor;
        if (watched->session.wants == SESSION_READ)
            FD_SET((unsigned)descriptor, &interest->readable);
        if (watched->session.wants == SESSION_WRITE)
            FD_SET((unsigned)descriptor, &interest->writable);
        if (descriptor >= interest->limit)
            interest->limit = descriptor + 1;
        interest->until = clock_earlier(interest->until, watched_due(watched));
    }
}

/* The session is done, or `signal` says that it has to be. */
static void end_session(struct server *server, struct child *child, int signal)
{
    struct watched *watched = child->own;

    one_process_signed_off(server, child, &watched->session);
    watched_close(watched);
    server_ended(server, child, signal);
}

static void step_sessions(struct server *server, const struct interest *interest)
{
    double now = clock_seconds();

    for (struct child *each = children_oldest(server->children), *next; each != NULL; each = next) {
        struct watched *watched = each->own;
        unsigned descriptor = (unsigned)watched->session.descriptor;
        bool ready = FD_ISSET(descriptor, &interest->readable) ||
                     FD_ISSET(descriptor, &interest->writable);
        next = each->younger;
        if (!watched_step(watched, ready, now))
            end_session(server, each, 0);
    }
}

static void begin_session(struct server *server, const struct client *client)
{
    struct watched *watched = watched_open(&server->options->service, client->descriptor,
                                           &client->peer, clock_seconds());

    if (watched == NULL)
        server_hold(server, client, "malloc");
    else
        server_began(server, one_process_number(server), client)->own = watched;
}

static int serve(struct server *server)
{
    struct interest interest;
    struct client client;

    if (one_process_start(server) == -1)
        return -1;
    while (server_running(server)) {
        collect_interest(server, &interest);
        server_wait(server, interest.until, &interest.readable, &interest.writable, interest.limit);
        step_sessions(server, &interest);
        one_process_heed(server, end_session);
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
