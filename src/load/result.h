/*
 * load/result.h: what a run of the load generator found: a tally of each round, or of each interval
 * of the only one, and what comes before and after the rounds.
 *
 * Tallies of several rounds add up. The results of several processes that ran in step
 * (load/processes.h) join to one, round by round: what was counted adds up, and what took time took
 * as long as it took the slowest of them. Of processor time it is that of the busiest: it says
 * whether one of them was the bottleneck. Rates do not add up: tally_spread has their median.
 *
 * A tally that is all zero is empty. It is large (five histograms of 58 KiB), but only what is
 * touched takes memory.
 */
#ifndef LOAD_RESULT_H
#define LOAD_RESULT_H

#include "base/histogram.h"
#include "load/settings.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* ---- a tally: what was counted and timed in one stretch of work ---- */

struct load_tally {
    double seconds;   /* measured */
    double processor; /* seconds of a processor that this process used in them */
    double lag;       /* seconds by which requests began too late though a connection was free */
    double rate;      /* in the mode's `rated` */
    double busy;      /* the share of a processor that it used, in percent */
    uint64_t count;   /* done in the measured time */
    uint64_t late;    /* begun in it and done after it */
    uint64_t pauses;  /* how often no local port was free, or a Unix socket's backlog full */
    uint64_t failures; /* the sum of those below */
    uint64_t failed[FAILURES];
    struct histogram latency; /* of a request: from when it was to begin until it is done */
    struct histogram connect; /* from the start of connecting until it is connected */
    struct histogram first;   /* from sending to the first byte back */
    struct histogram message; /* from sending to the last byte back */
    struct histogram service; /* of a scheduled request, from when it really began */
};

void tally_failure(struct load_tally *tally, enum load_failure why);

/* Sets the rate, and the share that follows from seconds and processor time. */
void tally_rate(struct load_tally *tally, double rate);

/* Whether its figures are rather those of this client than of the server: a process of it used
 * nearly all of a processor; on a schedule, requests began so late though a connection was free, by
 * tally_lag seconds on average, that it is most of the latency. */
bool tally_is_busy(const struct load_tally *tally);
bool tally_is_late(const struct load_tally *tally);
double tally_lag(const struct load_tally *tally);

/* Adds `other`, of another time, to `sum`; not its rate and share. */
void tally_add(struct load_tally *sum, const struct load_tally *other);

/* Joins `part`, of another process in the same time, to `whole`. The processor time becomes that of
 * the busiest. */
void tally_join(struct load_tally *whole, const struct load_tally *part);

/* Of the rates of several tallies. */
struct load_spread {
    double median, lowest, highest;
};

/* Of `count` tallies, at least one. */
struct load_spread tally_spread(const struct load_tally *tallies, size_t count);

/* ---- a result ---- */

struct load_result {
    struct load_tally *rounds; /* or intervals */
    size_t round_count;        /* fewer than were asked if it was interrupted, at least one */
    struct load_tally sum;     /* of all; its rate is the median of the rounds */
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
void result_sum_up(struct load_result *result, const struct load_settings *settings);

/* Joins `part`, of another process, to `whole`, but for its rounds and their sum. */
void result_join(struct load_result *whole, const struct load_result *part);

/* Joins one round of another process, number `number` from 0. They come one by one, as there may be
 * many. */
void result_join_round(struct load_result *whole, size_t number, const struct load_tally *round);

#endif
