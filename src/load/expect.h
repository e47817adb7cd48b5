/*
 * load/expect.h: what a figure of the report is expected to be: p99<5ms, failed=0, rate>=10000.
 *
 * Figures have the names and units of the text (load/fields.h), and are compared as they are shown
 * there: whoever reads the report comes to the same judgement.
 */
#ifndef LOAD_EXPECT_H
#define LOAD_EXPECT_H

#include "load/fields.h"

#include <stdbool.h>
#include <stddef.h>

#define EXPECTATION_MAX 64   /* bytes of one, as it is written */
#define EXPECTATIONS_MAX 32  /* in one list */

struct expectation {
    char text[EXPECTATION_MAX];
    char name[EXPECTATION_MAX];
    bool less, equal, more; /* which of them is as expected ... */
    double value;           /* ... than this, in the figure's unit */
};

struct expectations {
    struct expectation list[EXPECTATIONS_MAX];
    size_t count;
};

/* Bytes of what is wrong with one, or how far a figure is from it. */
#define EXPECT_PROBLEM_MAX 512

/* Adds one to a list, from the first `length` bytes of a word, for a run of this mode. Returns 0,
 * or -1 with what is wrong with it, and what would be right, in `problem`. */
int expect_add(struct expectations *list, const char *word, size_t length,
               const struct load_mode *mode, char *problem);

/* Whether one of the list is of the figure of this name. */
bool expect_names(const struct expectations *list, const char *name);

/* Whether the figure of a view is as expected. Writes into `got` (EXPECT_PROBLEM_MAX) what it is,
 * and where it is not as expected, by how much: "7312.4 us, 2312.4 us more". A figure that there is
 * not, as the latency of no request, is not as expected. */
bool expect_holds(const struct expectation *expectation, const struct load_view *view, char *got);

#endif
