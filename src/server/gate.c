/* gate.c: see gate.h. */
#include "server/gate.h"

#include "base/clock.h"
#include "base/descriptors.h"
#include "process/log.h"

#include <errno.h>
#include <string.h>

#define PAUSE_LONGEST 1.0 /* soon enough for who waits, and no load; seconds */
#define EPISODE_GAP 1.0   /* failures less than this apart belong to one episode; seconds */
#define RETRIES_MAX 32    /* accepts in a row that may fail for one connection each */

void gate_pause(struct gate *gate, int error, const char *what, const char *limits)
{
    gate->failed_last = clock_seconds();
    gate->for_memory = error == ENOMEM;
    if (gate->failures++ == 0) {
        gate->failing_since = gate->failed_last;
        gate->pause = GATE_PAUSE_FIRST;
        log_error("%s failed: %s%s%s; clients wait until it works again", what, strerror(error),
                  *limits != '\0' ? "; limits: " : "", limits);
    }
    gate->closed_until = gate->failed_last + gate->pause;
    gate->pause = gate->pause * 2 < PAUSE_LONGEST ? gate->pause * 2 : PAUSE_LONGEST;
}

/* When the episode is over, if nothing fails until then; 0: none is on. It lasts until nothing
 * has failed for EPISODE_GAP in which something could have: a pause does not count. */
static double episode_ends(const struct gate *gate)
{
    bool paused = gate->closed_until > gate->failed_last;
    double open_since = paused ? gate->closed_until : gate->failed_last;

    return gate->failures > 0 && !gate->holding ? open_since + EPISODE_GAP : 0;
}

void gate_end_episode(struct gate *gate, double now)
{
    double end = episode_ends(gate);

    if (end <= 0 || now < end)
        return;
    log_event(LOG_NORMAL, "resume failures=%lu secs=%.3f", gate->failures,
              gate->failed_last - gate->failing_since);
    gate->failures = 0;
}

double gate_wakes(const struct gate *gate, double now)
{
    if (now < gate->closed_until)
        return clock_earlier(gate->closed_until, episode_ends(gate));
    /* A held client makes no descriptor ready. Its pause is over: it is not to be slept over. */
    return gate->holding ? now : episode_ends(gate);
}

/* POSIX.1-2008, accept, and what Linux passes to it (accept(2), "Error handling"). */
enum failure_action failure_action(int error, unsigned *retries)
{
    if (error == EINTR || error == EAGAIN || error == EWOULDBLOCK)
        return FAILURE_RETRY; /* there is nothing to do after all */
    if (error == EBADF || error == EINVAL || error == ENOTSOCK || error == EFAULT)
        return FAILURE_STOP; /* our own listener is not one */
    /* The new connection is gone; or a firewall forbids it. */
    if ((descriptors_lost_peer(error) || error == EPERM) && ++*retries < RETRIES_MAX)
        return FAILURE_RETRY;
    *retries = 0;
    return FAILURE_PAUSE; /* others may free a descriptor (EMFILE, ENFILE), or memory (ENOMEM) */
}
