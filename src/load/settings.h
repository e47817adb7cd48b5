/*
 * load/settings.h: what a run of the load generator is asked to do, and how several processes
 * share it.
 *
 * Connections and held ones are dealt out one by one, so that no process has more than one more
 * than another. Of a schedule, each process takes every n-th request.
 *
 * A round may go up or down a ramp: the rate, or the number of connections that work, then changes
 * evenly from its start to its end. One that stays the same is a ramp between two equal ends.
 */
#ifndef LOAD_SETTINGS_H
#define LOAD_SETTINGS_H

#include "load/mode.h"

#include <signal.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* As many rows of figures, of rounds or of intervals, are kept at most: 290 KiB each. */
#define SETTINGS_ROWS_MAX 1000

/* More processes would hardly be of use on any machine, and cost their parent descriptors. */
#define SETTINGS_PROCESSES_MAX 256

struct load_ramp {
    double from, to; /* at the start and at the end of a round */
};

struct load_settings {
    const struct load_mode *mode;
    size_t concurrency; /* connections of the workload */
    size_t held;        /* further ones that are only open */
    size_t rounds;      /* how often to measure ... */
    double duration;    /* ... for so many seconds each ... */
    double interval;    /* ... of which each so many have figures of their own; 0: only all */
    double warm_up;     /* seconds of work before that */
    struct load_ramp rate;    /* requests to begin a second; 0: as many as there can be */
    struct load_ramp working; /* how many of the connections work; the larger end is all */
    double timeout;     /* seconds without progress after which a connection has failed */
    size_t size;        /* bytes of a message */
    size_t processes;   /* that share all this ... */
    size_t place, parts; /* ... and which part of what is one by one this one has, from 0 */
    int channel;        /* of a worker, to its parent (load/channel.h); or -1 */
    uint64_t numbers;   /* connections are numbered from here */
    const volatile sig_atomic_t *interrupted; /* not zero: measure no longer */
};

/* Whether connections need TCP_NODELAY: a small segment may follow another, and Nagle's algorithm
 * (RFC 9293 section 3.7.4) would hold it back until the server's delayed acknowledgement. */
bool settings_want_no_delay(const struct load_settings *settings);

/* How many rows of figures there are: the rounds, or the intervals of the only one, of which the
 * last may be shorter. Above SETTINGS_ROWS_MAX, how many is not said. */
size_t settings_rows(const struct load_settings *settings);

/* Whether it changes, and where it is after this share of a round. */
bool ramp_changes(const struct load_ramp *ramp);
double ramp_at(const struct load_ramp *ramp, double share);

/* The share of process `place`, from 0. None has more connections than the first. */
struct load_settings settings_share(const struct load_settings *settings, size_t place);

/* The most descriptors that one process has open, its sockets and all else, the parent of several
 * processes included. */
size_t settings_descriptors(const struct load_settings *settings);

/* The fewest processes of which none needs more than `limit` descriptors; 0 where even
 * SETTINGS_PROCESSES_MAX are too few. */
size_t settings_fewest_processes(const struct load_settings *settings, size_t limit);

#endif
