/*
 * load/progress.h: how far a run is, on a terminal.
 *
 * One line on standard error, rewritten five times a second and erased at the end. There is none
 * where standard error is no terminal, and none from the background, where it would overwrite
 * what others write there. While the terminal takes nothing (Ctrl-S) the line is left out, for
 * progress is not worth a stall. A worker of several processes (load/processes.h) writes none: it
 * reports its standing to its parent as often, and the parent shows the sum.
 *
 * Cost: five short system calls each time, and a comparison of times in each turn of the loop.
 */
#ifndef LOAD_PROGRESS_H
#define LOAD_PROGRESS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct load_progress {
    bool is_wanted;
    bool is_shown;  /* there is a line to erase */
    double last;    /* when it was last due ... */
    double seconds; /* ... and how long after the time before */
    double done;    /* how much was done when the rate was last asked for */
};

/* Where a run stands. */
struct load_standing {
    char what[32];     /* "round 2 of 5" */
    double rate;       /* in `rated`, since the last time */
    const char *rated; /* "messages/s", a constant: the same in a parent and its workers */
    size_t live;       /* connections */
    uint64_t failures;
    double left;       /* seconds; below 0: not known */
};

/* `is_reported`: it is wanted for a parent, whatever standard error is. */
void progress_begin(struct load_progress *progress, bool is_reported, double now);

/* Whether it is time to show it again; the time until the next begins then. */
bool progress_is_due(struct load_progress *progress, double now);

/* Of progress that is due: the rate since the last time. `done` is the work so far, which each
 * phase counts from 0. */
double progress_rate(struct load_progress *progress, double done);

/* Adds what another process does in the same run; `what` and `left` stay those of `sum`. */
void standing_add(struct load_standing *sum, const struct load_standing *other);

/* Writes the line. */
void progress_show(struct load_progress *progress, const struct load_standing *standing);

/* Erases the line. */
void progress_end(struct load_progress *progress);

#endif
