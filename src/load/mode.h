/*
 * load/mode.h: the workloads of the load generator, as one table.
 *
 * They differ in three things: when a connection has done its work (its goal), whether it is
 * kept for the next request, and whether there are requests at all. All else is the same
 * for all of them, so a new one is a row, or a goal more in load/connection.c.
 */
#ifndef LOAD_MODE_H
#define LOAD_MODE_H

#include "load/connection.h"

#include <stdbool.h>
#include <stdint.h>

enum load_kind {
    LOAD_REQUESTS, /* request after request, which may have a schedule */
    LOAD_STREAM, /* bytes without end */
    LOAD_HOLD    /* opened, and left alone until the end */
};

struct load_mode {
    const char *name;
    enum load_kind kind;
    enum connection_goal goal; /* of a request */
    bool keeps;            /* connections are opened before the measuring, and stay */
    const char *counted;   /* what `count` counts */
    const char *rated;     /* what `rate` is measured in ... */
    double unit;           /* ... and how many of `counted` that is */
    size_t default_size;   /* bytes of a message, or of a write of load_is_endless */
};

/* The mode that has this name, or had it in the release before; NULL when there is none. */
const struct load_mode *load_mode(const char *name);

/* Whether it sends without end: its size is that of a write, PATTERN_SLICE_MAX at most. */
bool load_is_endless(const struct load_mode *mode);

/* The goal with which a kept connection is opened: one that never reads cannot echo. */
enum connection_goal load_opening(const struct load_mode *mode);

#endif
