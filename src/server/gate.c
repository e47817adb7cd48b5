/* gate.c: see gate.h. */
#include "server/gate.h"

#include "base/clock.h"
#include "process/log.h"

#include <string.h>

/* Soon enough for who waits, and no load. Seconds. */
#define PAUSE_LONGEST 1.0

/* Failures less than this apart belong to one episode. Seconds. */
#define EPISODE_GAP 1.0

void gate_pause(struct gate *gate, int error, const char *what, const char *limits)
{
    gate->failed_last = clock_seconds();
    if (gate->failures++ == 0) {
        gate->failing_since = gate->failed_last;
        gate->pause = GATE_PAUSE_FIRST;
        log_error("%s failed: %s%s%s; clients wait until it works again", what, strerror(error),
                  *limits != '\0' ? "; limits: " : "", limits);
    }
    gate->closed_until = gate->failed_last + gate->pause;
    if ((gate->pause *= 2) > PAUSE_LONGEST)
        gate->pause = PAUSE_LONGEST;
}

/* When the episode is over, if nothing fails until then; 0: none is on. It lasts until nothing
 * has failed for EPISODE_GAP in which something could have: a pause does not count. */
static double episode_ends(const struct gate *gate)
{
    double open_since =
        gate->closed_until > gate->failed_last ? gate->closed_until : gate->failed_last;

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
