/* stop.c: see stop.h. */
#include "server/stop.h"

#include <signal.h>

/* Between SIGTERM and SIGKILL to children that outlived the grace. Seconds. */
#define TERMINATION_TIME 1.0

void stop_enter(struct stop *stop, enum server_phase phase, double now, double grace)
{
    stop->phase = phase;
    switch (phase) {
    case SERVER_SERVING:
        break;
    case SERVER_DRAINING:
        stop->phase_ends = now + grace;
        break;
    case SERVER_TERMINATING:
        stop->phase_ends = now + TERMINATION_TIME;
        stop->signal = SIGTERM;
        break;
    case SERVER_KILLING:
        stop->phase_ends = 0;
        stop->signal = SIGKILL;
        break;
    }
}

void stop_advance(struct stop *stop, double now)
{
    if (stop->phase_ends > 0 && now >= stop->phase_ends)
        stop_enter(stop, stop->phase + 1, now, 0);
}
