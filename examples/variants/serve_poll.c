/*
 * serve_poll.c: one process, one loop over poll. What differs from src/fork/serve_fork.c is what
 * differs in serve_select.c, read that first; and from serve_select.c, why poll was added:
 *
 *   limit   The descriptors are a list, not a set of bits with a fixed size: as many clients
 *           as descriptors.
 *   cost    A wait passes the watched ones, however high their numbers are; still all of
 *           them, idle or not, into the kernel and back: a turn is linear in live clients.
 *   wait    poll cannot let signals in while it waits, ppoll can (POSIX.1-2024). Where a
 *           system lacks it, a stop may be heard a tenth of a second late (platform.h).
 *
 * The loop is parts/event_loop.c; poll is called in src/platform/readiness_poll.c.
 */
#include "parts/event_loop.h"
#include "parts/single_process.h"
#include "server/serve.h"

static int serve(struct server *server)
{
    return event_loop_serve(server, &readiness_poll);
}

const struct serve_model serve_model = {
    .program = "pollecho",
    .about = "TCP echo server (RFC 862): all connections in one loop over poll.",
    .no_upgrade = SINGLE_PROCESS_NO_UPGRADE,
    .serve = serve,
    .before_close = event_loop_before_close,
    .stop_child = event_loop_stop_child,
};
