/*
 * load_run.h: one run of the load generator: open, warm up, measured rounds, close.
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
 * What becomes of a connection is in load_work.h; the loop under it is load_loop.h.
 */
#ifndef LOAD_RUN_H
#define LOAD_RUN_H

#include "load_mode.h"
#include "load_tally.h"
#include "load_target.h"

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
    double timeout;     /* seconds without progress after which a connection has failed */
    uint64_t size;      /* bytes of a message */
    const volatile sig_atomic_t *interrupted; /* not zero: measure no longer */
};

struct load_result {
    struct load_tally *rounds;
    size_t round_count;        /* fewer than were asked when it was interrupted, but one */
    struct load_tally sum;     /* of the rounds; its rate is their median */
    struct load_spread spread; /* of their rates */
    double opening;        /* seconds to open what the workload keeps open */

    size_t held;           /* further connections that were opened */
    size_t held_failed;    /* that could not be */
    size_t held_lost;      /* that were opened but cut or wrong later */
    double held_opening;   /* seconds to open them */

    uint64_t failures;     /* all, of the workload, its warm-up and the held ones */
    enum load_failure first_failure; /* the first of them, and the errno behind it or 0 */
    int first_error;
};

/* Whether a small segment may follow another, so that Nagle's algorithm (RFC 9293 section
 * 3.7.4) would hold it back until the server's delayed acknowledgement: of the next message,
 * or of one that takes several segments. */
bool load_is_immediate(const struct load_settings *settings);

/* The most descriptors that a run has open, its sockets and all else. */
size_t load_descriptors(const struct load_settings *settings);

/* Runs; `result` must be all zero. Returns 0, or -1 with errno when it could not begin or the
 * loop broke. Either way the caller frees the result. */
int load_run(const struct load_settings *settings, struct target *target,
             struct load_result *result);
void load_result_free(struct load_result *result);

#endif
