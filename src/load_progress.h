/*
 * load_progress.h: how far a run is, on a terminal.
 *
 * One line on standard error, rewritten five times a second and erased at the end. There is
 * none where standard error is no terminal, and none from the background, where it would
 * write across what others do there. A terminal that takes nothing just now (Ctrl-S) is left
 * alone: a line is not worth a stall. It costs five short system calls each time, and a look
 * at the time of the last one in each turn of the loop.
 */
#ifndef LOAD_PROGRESS_H
#define LOAD_PROGRESS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct load_progress {
    bool is_terminal;
    bool is_shown; /* there is a line to erase */
    double last;   /* when it was last written ... */
    double done;   /* ... and how much was done then */
};

/* Where a run stands. */
struct load_standing {
    const char *what;  /* "round 2 of 5" */
    double done;       /* work so far, whatever `rated` counts; from 0 again when `what` changes */
    const char *rated; /* "messages/s" */
    size_t live;       /* connections */
    uint64_t failures;
    double left;       /* seconds; below 0: not known */
};

void progress_begin(struct load_progress *progress, double now);

/* Whether it is time to write the line anew. */
bool progress_is_due(const struct load_progress *progress, double now);

void progress_show(struct load_progress *progress, double now, const struct load_standing *standing);

/* Erases the line. */
void progress_end(struct load_progress *progress);

#endif
