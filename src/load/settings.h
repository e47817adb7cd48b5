/*
 * load/settings.h: what a run of the load generator is asked to do, and how several processes
 * share it.
 *
 * Connections and held ones are dealt out one by one, so that no process has more than one more
 * than another. Of a schedule, each process takes every n-th request.
 */
#ifndef LOAD_SETTINGS_H
#define LOAD_SETTINGS_H

#include "load/mode.h"

#include <signal.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* More processes would hardly be of use on any machine, and cost their parent descriptors. */
#define SETTINGS_PROCESSES_MAX 256

struct load_settings {
    const struct load_mode *mode;
    size_t concurrency; /* connections of the workload */
    size_t held;        /* further ones that are only open */
    size_t rounds;      /* how often to measure ... */
    double duration;    /* ... for so many seconds each */
    double warm_up;     /* seconds of work before that */
    double rate;        /* requests to begin a second; 0: as many as there can be */
    double rate_after;  /* the first of them is due so many seconds after a round's start */
    double timeout;     /* seconds without progress after which a connection has failed */
    size_t size;        /* bytes of a message */
    size_t processes;   /* that share all this */
    int channel;        /* of a worker, to its parent (load/channel.h); or -1 */
    uint64_t numbers;   /* connections are numbered from here */
    const volatile sig_atomic_t *interrupted; /* not zero: measure no longer */
};

/* Whether connections need TCP_NODELAY: a small segment may follow another, and Nagle's algorithm
 * (RFC 9293 section 3.7.4) would hold it back until the server's delayed acknowledgement. */
bool settings_want_no_delay(const struct load_settings *settings);

/* The share of process `place`, from 0. None has more connections than the first. */
struct load_settings settings_share(const struct load_settings *settings, size_t place);

/* The most descriptors that one process has open, its sockets and all else, the parent of several
 * processes included. */
size_t settings_descriptors(const struct load_settings *settings);

/* The fewest processes of which none needs more than `limit` descriptors; 0 where even
 * SETTINGS_PROCESSES_MAX are too few. */
size_t settings_fewest_processes(const struct load_settings *settings, size_t limit);

#endif
