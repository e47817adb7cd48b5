/*
 * load/tally.h: what was counted and timed in one stretch of work.
 *
 * Each round has a tally, and the tallies of rounds add up. Those of several processes that
 * measured one round together join: what was counted adds up, the time is the same. Rates do not
 * add up: tally_spread has their median. A tally that is all zero is empty. It is large (five
 * histograms of 58 KiB), but only what is touched takes memory.
 */
#ifndef LOAD_TALLY_H
#define LOAD_TALLY_H

#include "load/connection.h"
#include "load/histogram.h"

#include <stddef.h>
#include <stdint.h>

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

#endif
