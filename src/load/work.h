/*
 * load/work.h: the workload's side of a run: what a connection does next, and what is counted.
 *
 * load/run.c says which phase it is; these are called for each connection in it, and by the
 * loop when one has reached its goal or has failed. A request is counted once: in the
 * round, late, or failed.
 */
#ifndef LOAD_WORK_H
#define LOAD_WORK_H

#include "load/loop.h"
#include "load/progress.h"
#include "load/result.h"
#include "load/schedule.h"
#include "load/settings.h"

enum load_phase { PHASE_OPEN, PHASE_MEASURE, PHASE_FINISH, PHASE_CLOSE };

struct run {
    const struct load_settings *settings;
    struct load_result *result;
    struct load_tally *tally; /* of the round, or of the warm-up */
    struct load_schedule schedule; /* of the round, if there is one */
    struct load_loop loop;
    struct load_progress progress;
    enum load_phase phase;
    double start;        /* of the measured time, the same for all workers */
    double end;          /* of the measured time */
    double last_success; /* when a kept connection last echoed, while opening and closing */
    uint64_t pauses;     /* those that are in a tally already ... */
    double lag;          /* ... and the lag */
};

/* Sets all of the workload to work. */
void work_begin(struct run *run);

/* Has what has no end of its own come to one, and forgets what only waits for its turn: it is no
 * work of the round, unless a schedule had it there and was not interrupted. */
void work_end(struct run *run, bool interrupted);

/* What a schedule had in the round and is not begun has failed. */
void work_give_up_waiting(struct run *run);

/* Closes what is still under way; a request that it was has failed. */
void work_give_up(struct run *run);

/* Has one kept connection echo, the first time or the last. */
void work_echo_kept(struct run *run, struct connection *connection);

/* Counts a failure, for which the connection is closed or never was opened. */
void work_count_failure(struct run *run, const struct connection *connection,
                        enum load_failure why, int error);

/* What the loop calls; the owner is the run. */
load_complete work_complete;
load_failed work_failed;

#endif
