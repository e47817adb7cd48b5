/*
 * load/result.h: what a run of the load generator found: its rounds, and what comes before and
 * after them.
 *
 * The results of several processes that ran in step (load/processes.h) join to one: what was
 * counted adds up, and what took time took as long as it took the slowest of them. Of processor
 * time it is that of the busiest: it says whether one of them was the bottleneck.
 */
#ifndef LOAD_RESULT_H
#define LOAD_RESULT_H

#include "load/mode.h"
#include "load/tally.h"

#include <stddef.h>
#include <stdint.h>

struct load_result {
    struct load_tally *rounds;
    size_t round_count;        /* fewer than were asked if it was interrupted, at least one */
    struct load_tally sum;     /* of the rounds; its rate is their median */
    struct load_spread spread; /* of their rates */
    double opening;        /* seconds to open what the workload keeps open */

    size_t held;           /* further connections that were opened */
    size_t held_failed;    /* that could not be */
    size_t held_lost;      /* that were opened, and failed later */
    double held_opening;   /* seconds to open them */

    uint64_t failures;     /* of the workload, its warm-up and the held ones */
    enum load_failure first_failure; /* the first of them ... */
    int first_error;       /* ... the errno behind it, or 0 ... */
    double first_moment;   /* ... and when it was found (clock.h) */
};

/* Makes room in an all-zero result for this many rounds. Returns 0, or -1 with errno. */
int result_new(struct load_result *result, size_t rounds);
void result_free(struct load_result *result);

/* Sets what follows from the rounds: their rates, their sum and its spread. */
void result_sum_up(struct load_result *result, const struct load_mode *mode);

/* Joins `part`, of another process, to `whole`, but for its rounds and their sum. */
void result_join(struct load_result *whole, const struct load_result *part);

/* Joins one round of another process, number `number` from 0. They come one by one, as there may be
 * many. */
void result_join_round(struct load_result *whole, size_t number, const struct load_tally *round);

#endif
