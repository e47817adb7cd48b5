/*
 * load/mode.h: the workloads of the load generator, as one table.
 *
 * They differ in three things: when a request is complete (its goal), whether a connection is kept
 * for the next request, and whether there are requests at all. All else is the same for all of
 * them, so a new mode is a row here, and perhaps a new goal in load/connection.c.
 */
#ifndef LOAD_MODE_H
#define LOAD_MODE_H

#include "load/connection.h"

#include <stdbool.h>
#include <stdint.h>

enum load_kind {
    LOAD_REQUESTS, /* request after request, perhaps on a schedule */
    LOAD_STREAM,   /* bytes without end */
    LOAD_HOLD      /* connections that are opened, and stay until the end */
};

struct load_mode {
    const char *name;
    enum load_kind kind;
    enum connection_goal goal; /* of a request */
    bool keeps;            /* connections are opened before the measuring, and stay open */
    const char *counted;   /* what `count` counts */
    const char *rated;     /* what `rate` is measured in ... */
    double unit;           /* ... and how many of `counted` that is */
    size_t default_size;   /* bytes of a message; of a write where load_is_endless */
};

/* The mode that has this name, or had it in the release before; NULL when there is none. */
const struct load_mode *load_mode(const char *name);

/* Whether it sends without end. Its size is then that of a write, at most PATTERN_SLICE_MAX. */
bool load_is_endless(const struct load_mode *mode);

/* The goal with which connections that are kept are opened: an echo, for those that read. */
enum connection_goal load_opening(const struct load_mode *mode);

#endif
