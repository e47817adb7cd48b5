/*
 * gate.h: failures that keep new clients out for a while, and which these are.
 *
 * What fails and may pass (there is no descriptor for accept, no process for fork) closes the gate
 * until a child ends, which may free what was missing, or until a pause is over. A client that was
 * accepted already when starting its child failed is held, and is the first to be started then.
 * What lacks memory waits for the pause alone, as Linux frees that some time after a child has
 * ended; and so do clients while our control group has hardly any left, before one is killed.
 *
 * Failures that follow closely on each other are one episode, logged at its start and its end: a
 * server at a limit, where each child that ends lets one more begin, has one and not thousands.
 */
#ifndef GATE_H
#define GATE_H

#include "server/listener.h"

#include <stdbool.h>

#define GATE_PAUSE_FIRST 0.05 /* seconds; each further one is twice as long, up to a second */

struct gate {
    bool holding;           /* there is a client that was accepted and could not be started yet: */
    struct client held;
    bool killed;            /* a child was, not by us: memory may have run out */
    unsigned long long room; /* for so many clients there was memory; 0: ask again */
    bool for_memory;        /* it is closed for want of it, which comes free a while after an end */
    double closed_until;    /* a failure is waited out until then: clock.h; 0: none is */
    double pause;           /* how long the next one is waited out */
    double failing_since, failed_last; /* the first and the last failure of this episode ... */
    unsigned long failures; /* ... and how many there were; 0: no episode is on */
    unsigned retries;       /* for failure_action */
};

/* `what` has failed with `error`, an errno: closes the gate for a pause. Logs the first failure of
 * an episode, with `limits` that may be the reason, or "". */
void gate_pause(struct gate *gate, int error, const char *what, const char *limits);
void gate_end_episode(struct gate *gate, double now); /* where it is over at `now`; logs that */

/* When there is something to do although nothing happens: clock.h; 0: no such time. */
double gate_wakes(const struct gate *gate, double now);

/* What to do about an errno of accept. One that concerns a connection alone is FAILURE_RETRY, until
 * there were many in a row, which `*retries` counts: the caller sets it to 0 on success. */
enum failure_action {
    FAILURE_RETRY, /* it concerned one connection, or nothing: go on */
    FAILURE_PAUSE, /* somebody else can cure it, or it is unknown: close the gate */
    FAILURE_STOP   /* it cannot pass, and is a defect of our own: stop the server */
};
enum failure_action failure_action(int error, unsigned *retries);

#endif
