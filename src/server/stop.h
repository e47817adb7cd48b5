/*
 * stop.h: how far the stop of a server has come: serving, draining, terminating, killing.
 *
 * A phase is entered because of a signal or a failure (requests.c), or because the one before has
 * taken its time. The last two ask something of the children: a signal that is passed on to each of
 * them, once.
 */
#ifndef STOP_H
#define STOP_H

#include <stdbool.h>

enum server_phase {
    SERVER_SERVING,
    SERVER_DRAINING,    /* listeners closed; children finish for the grace */
    SERVER_TERMINATING, /* children were sent SIGTERM, and have a second */
    SERVER_KILLING      /* children were sent SIGKILL */
};

struct stop {
    enum server_phase phase;
    double phase_ends; /* when the next phase begins: clock.h; 0: it does not by itself */
    int signal;        /* is still to be passed on to all live children; 0: none is */
    bool failed;       /* it stops because it cannot go on */
};

/* Enters a phase at `now`. A drain lasts for `grace` seconds. */
void stop_enter(struct stop *stop, enum server_phase phase, double now, double grace);

/* Enters the next phase where that is due at `now`. */
void stop_advance(struct stop *stop, double now);

#endif
