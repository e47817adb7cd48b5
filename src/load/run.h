/*
 * load/run.h: one run of the load generator: open, warm up, measured rounds, close.
 *
 *   open     the connections that stay open connect and echo once, at most 64 at the same time, so
 *            that no backlog overflows and each is known to be served
 *   measure  the workload runs, for the duration of a round, with figures for each interval of it
 *   finish   nothing new begins; what is on its way comes back, and counts for the round
 *   close    the connections that were held echo once more, and then all are closed
 *
 * The warm-up and each round are measured and finished, over the same connections. Of the warm-up
 * only its failures are reported. A failure of the opening counts in the first round, one of the
 * closing in the last.
 *
 * Each connection ends as served or as failed for one reason, never both. With a rate, so does each
 * request that was to begin in a round: the finish begins what has not begun, and what it cannot
 * begin within the timeout has failed.
 *
 * Several processes that do this together (load/processes.h) wait for each other before the
 * warm-up, before each round and before the closing. load/work.h says what becomes of a
 * connection; the loop under it is load/loop.h.
 */
#ifndef LOAD_RUN_H
#define LOAD_RUN_H

#include "load/result.h"
#include "load/settings.h"
#include "load/target.h"

/* Runs, in one process; `result` must be all zero. Returns 0, or -1 with errno when it could not
 * begin, or when the loop or the channel failed. Either way the caller frees the result. */
int load_run(const struct load_settings *settings, struct target *target,
             struct load_result *result);

#endif
