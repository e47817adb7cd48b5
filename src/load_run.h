/*
 * load_run.h: one run of the load generator: open, measure, finish, close.
 *
 *   open     what is kept open connects and echoes once, at most 64 at the same time, so
 *            that no backlog overflows and the server is known to serve each
 *   measure  the workload, for the duration
 *   finish   nothing new begins; what is on its way comes back
 *   close    what was held echoes once more, and then all is closed at once
 *
 * Every connection ends as served or as failed for one reason, never both. The loop under
 * it is load_loop.h.
 */
#ifndef LOAD_RUN_H
#define LOAD_RUN_H

#include "histogram.h"
#include "load_connection.h"

#include <signal.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum load_workload { LOAD_CONNECT, LOAD_PING, LOAD_STREAM, LOAD_HOLD };

/* A workload as it is called and reported. */
struct load_mode {
    enum load_workload workload;
    const char *name;
    const char *counted;   /* what `count` counts */
    const char *rated;     /* what `rate` is measured in ... */
    double unit;           /* ... and how many of `counted` that is */
    uint64_t default_size; /* bytes of a message */
};

/* The mode of that name; NULL when there is none. */
const struct load_mode *load_mode(const char *name);

struct load_settings {
    const struct load_mode *mode;
    size_t concurrency; /* connections of the workload */
    size_t held;        /* further ones that are only open */
    double duration;    /* seconds to measure */
    double timeout;     /* seconds without progress after which a connection has failed */
    uint64_t size;      /* bytes of a message */
    const volatile sig_atomic_t *interrupted; /* not zero: measure no longer */
};

struct load_result {
    double seconds;        /* measured */
    double opening;        /* seconds to open what the workload keeps open */
    double rate;           /* in the mode's `rated` */
    uint64_t count;        /* echoed in the measured time */
    uint64_t late;         /* begun in it and echoed behind it */
    uint64_t pauses;       /* how often no local port was free, or a Unix socket's backlog full */
    uint64_t failed[FAILURES];
    struct histogram latency;

    size_t held;           /* further connections that were opened */
    size_t held_failed;    /* that could not be */
    size_t held_lost;      /* that were opened but cut or wrong later */
    double held_opening;   /* seconds to open them */

    uint64_t failures;     /* all, of the workload and of the held ones */
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
 * loop broke. */
int load_run(const struct load_settings *settings, struct target *target,
             struct load_result *result);

#endif
