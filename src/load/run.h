/*
 * load/run.h: one run of the load generator: open, warm up, measured rounds, close.
 *
 *   open     what is kept open connects and echoes once, at most 64 at the same time, so
 *            that no backlog overflows and the server is known to serve each
 *   measure  the workload, for the duration: a round
 *   finish   nothing new begins; what is on its way comes back, and still is of the round
 *   close    what was held echoes once more, and then all is closed at once
 *
 * Measure and finish are once for the warm-up, which nothing of is reported but that it
 * failed, and then once a round, over the same connections. What fails in the opening is of
 * the first round, what fails in the closing of the last.
 *
 * Every connection ends as served or as failed for one reason, never both. With a rate, so
 * does every piece of work that was to begin in a round: what was not begun by its end is
 * waited for, and has failed if it is not begun within the timeout.
 *
 * Where several processes do this together, each waits for the others before the warm-up, before
 * each round and before the closing.
 *
 * What becomes of a connection is in load/work.h; the loop under it is load/loop.h.
 */
#ifndef LOAD_RUN_H
#define LOAD_RUN_H

#include "load/mode.h"
#include "load/result.h"
#include "load/target.h"

#include <signal.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct load_settings {
    const struct load_mode *mode;
    size_t concurrency; /* connections of the workload */
    size_t held;        /* further ones that are only open */
    size_t rounds;      /* how often to measure ... */
    double duration;    /* ... for so many seconds each */
    double warm_up;     /* seconds of work before that */
    double rate;        /* pieces of work a second that are asked; 0: as many as there can be */
    double rate_after;  /* the first of them is due so many seconds after a round's start */
    double timeout;     /* seconds without progress after which a connection has failed */
    uint64_t size;      /* bytes of a message */
    size_t processes;   /* that share all this (load/team.h) */
    int line;           /* to the process that leads them (load/line.h), or -1 */
    uint64_t numbers;   /* connections are numbered from here */
    const volatile sig_atomic_t *interrupted; /* not zero: measure no longer */
};

/* Whether a small segment may follow another, so that Nagle's algorithm (RFC 9293 section
 * 3.7.4) would hold it back until the server's delayed acknowledgement: of the next message,
 * or of one that takes several segments. */
bool load_is_immediate(const struct load_settings *settings);

/* The most descriptors that a run has open, its sockets and all else. */
size_t load_descriptors(const struct load_settings *settings);

/* Runs, in one process; `result` must be all zero. Returns 0, or -1 with errno when it could not
 * begin, or the loop or the line broke. Either way the caller frees the result. */
int load_run(const struct load_settings *settings, struct target *target,
             struct load_result *result);

#endif
