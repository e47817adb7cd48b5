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
 * does every request that was to begin in a round: what was not begun by its end is
 * waited for, and has failed if it is not begun within the timeout.
 *
 * Where several processes do this together, each waits for the others before the warm-up, before
 * each round and before the closing.
 *
 * What becomes of a connection is in load/work.h; the loop under it is load/loop.h.
 */
#ifndef LOAD_RUN_H
#define LOAD_RUN_H

#include "load/result.h"
#include "load/settings.h"
#include "load/target.h"

/* Runs, in one process; `result` must be all zero. Returns 0, or -1 with errno when it could not
 * begin, or the loop or the line broke. Either way the caller frees the result. */
int load_run(const struct load_settings *settings, struct target *target,
             struct load_result *result);

#endif
