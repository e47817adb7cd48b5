/*
 * serve_select.c: one process, one loop over select. What differs from src/fork/serve_fork.c:
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
 *
 * The loop is the same over select, poll and epoll: parts/event_loop.c. Where select is called is
 * src/platform/readiness_select.c.
 */
#include "parts/capacity.h"
#include "parts/event_loop.h"
#include "parts/single_process.h"
#include "server/serve.h"

#include <sys/select.h>

static int fit(struct options *options)
{
    return capacity_fit(options, FD_SETSIZE - EVENT_LOOP_RESERVED, "FD_SETSIZE");
}

static int serve(struct server *server)
{
    return event_loop_serve(server, &readiness_select);
}

const struct serve_model serve_model = {
    .program = "selectecho",
    .about = "TCP echo server (RFC 862): all connections in one loop over select.",
    .fit = fit,
    .no_upgrade = SINGLE_PROCESS_NO_UPGRADE,
    .serve = serve,
    .before_close = event_loop_before_close,
    .stop_child = event_loop_stop_child,
};
