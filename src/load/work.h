/*
 * load/work.h: what a connection does next in a run, and what is counted.
 *
 * load/run.c says which phase it is and calls these for the connections in it; the loop calls them
 * when a connection has reached its goal or has failed. A request is counted once: as done in the
 * round, as late, or as failed.
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
    struct load_tally *tally;      /* of the round, or of the warm-up */
    struct load_schedule schedule; /* of the round, if there is one */
    struct load_loop loop;
    struct load_progress progress;
    enum load_phase phase;
    double start;        /* when measuring starts for all processes */
    double end;          /* when it ends */
    double ramp_seconds; /* in which a ramp goes from its start to its end */
    double last_success; /* when a connection last echoed, while opening and closing */
};

/* Begins the work of all connections. */
void work_begin(struct run *run);

/* Ends what would not end by itself, and forgets what waits to begin. What a schedule had in the
 * round is still begun, unless `interrupted`. */
void work_end(struct run *run, bool interrupted);

/* Counts as failed what a schedule had in the round and has not begun. */
void work_give_up_waiting(struct run *run);

/* Closes what is still under way, and counts it as failed. */
void work_give_up(struct run *run);

/* Has one connection that stays open echo, the first time or the last. */
void work_echo_kept(struct run *run, struct connection *connection);

/* Counts a failure of a connection that is closed, or was never opened. */
void work_count_failure(struct run *run, const struct connection *connection,
                        enum load_failure why, int error);

/* What the loop calls; the owner is the run. */
load_complete work_complete;
load_failed work_failed;

#endif
