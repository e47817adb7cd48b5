/*
 * serve_epoll.c: one process, one loop over epoll; kqueue on the BSDs. What differs from
 * src/fork/serve_fork.c is what differs in serve_select.c, read that first; and from the loops over
 * select and poll:
 *
 *   cost    The kernel keeps the list of what is watched, and tells what is ready: a turn
 *           costs the clients that have something to say, however many are silent. Each change
 *           of the list is a system call: one a connection, none a message.
 *   close   The kernel drops a socket from the list with its last descriptor only: one that is
 *           shared has to be taken out before the close (readiness.h).
 *   due     So that nothing else is linear in live clients either, the times when sessions
 *           are due are in a heap (timers.h), which the other loops share.
 *
 * The loop is parts/event_loop.c. Its mechanism is the system's best:
 * src/platform/readiness_epoll.c or src/platform/readiness_kqueue.c.
 */
#include "parts/event_loop.h"
#include "parts/single_process.h"
#include "server/serve.h"

static int serve(struct server *server)
{
    return event_loop_serve(server, readiness_best);
}

const struct serve_model serve_model = {
    .program = "epollecho",
    .about = "TCP echo server (RFC 862): all connections in one loop over epoll or kqueue.",
    .no_upgrade = SINGLE_PROCESS_NO_UPGRADE,
    .serve = serve,
    .before_close = event_loop_before_close,
    .stop_child = event_loop_stop_child,
};
