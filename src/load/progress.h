/*
 * load/progress.h: how far a run is, on a terminal.
 *
 * One line on standard error, rewritten five times a second and erased at the end. There is
 * none where standard error is no terminal, and none from the background, where it would
 * write across what others do there. A terminal that takes nothing just now (Ctrl-S) is left
 * alone: a line is not worth a stall. One of several processes (load/team.h) tells the one that
 * leads them instead, which shows the sum. It costs five short system calls each time, and a look
 * at the time of the last one in each turn of the loop.
 */
#ifndef LOAD_PROGRESS_H
#define LOAD_PROGRESS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct load_progress {
    int line;      /* to the process that leads (load/line.h), or -1 */
    bool is_wanted;
    bool is_shown; /* there is a line to erase */
    double last;   /* when it was last written ... */
    double done;   /* ... and how much was done when it was asked for the rate */
};

/* Where a run stands. */
struct load_standing {
    char what[32];     /* "round 2 of 5" */
    double rate;       /* of what `rated` says, since it was told last */
    const char *rated; /* "messages/s", a constant of the program: down a line it is still good */
    size_t live;       /* connections */
    uint64_t failures;
    double left;       /* seconds; below 0: not known */
};

void progress_begin(struct load_progress *progress, int line, double now);

/* Whether it is time to show it anew. */
bool progress_is_due(const struct load_progress *progress, double now);

/* The rate since it was shown last; `done` is the work so far, from 0 again with each phase. */
double progress_rate(struct load_progress *progress, double now, double done);

/* Adds what another process does in the same run; which phase it is in says `sum` alone. */
void standing_add(struct load_standing *sum, const struct load_standing *other);

/* Returns 0, or -1 with errno when there is a line and it is broken. */
int progress_show(struct load_progress *progress, double now, const struct load_standing *standing);

/* Erases the line. */
void progress_end(struct load_progress *progress);

#endif
