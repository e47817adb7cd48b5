/* load/progress.c: see load/progress.h. */
#include "load/progress.h"

#include <inttypes.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

/* Seconds from one line to the next. */
#define INTERVAL 0.2

/* To the start of the line, and erase it (ECMA-48, EL). */
#define ERASE "\r\033[K"

/* A narrower terminal would have a line wrapped, and only its last part erased. */
#define COLUMNS 79

void progress_begin(struct load_progress *progress, bool is_reported, double now)
{
    *progress = (struct load_progress){.last = now};
    progress->is_wanted = is_reported || isatty(STDERR_FILENO) == 1;
}

bool progress_is_due(struct load_progress *progress, double now)
{
    if (!progress->is_wanted || now - progress->last < INTERVAL)
        return false;
    progress->seconds = now - progress->last;
    progress->last = now;
    return true;
}

double progress_rate(struct load_progress *progress, double done)
{
    bool is_new_phase = done < progress->done;
    double more = is_new_phase ? done : done - progress->done;

    progress->done = done;
    return more / progress->seconds;
}

void standing_add(struct load_standing *sum, const struct load_standing *other)
{
    sum->rate += other->rate;
    sum->live += other->live;
    sum->failures += other->failures;
}

/* Whether the line can be written now, without waiting and without a stop by SIGTTOU. */
static bool can_write(void)
{
    struct pollfd terminal = {.fd = STDERR_FILENO, .events = POLLOUT};

    return tcgetpgrp(STDERR_FILENO) == getpgrp() && poll(&terminal, 1, 0) == 1 &&
           (terminal.revents & POLLOUT) != 0;
}

void progress_show(struct load_progress *progress, const struct load_standing *standing)
{
    char text[2 * COLUMNS], line[sizeof ERASE + COLUMNS];
    char left[32] = "";

    if (standing->left >= 0)
        snprintf(left, sizeof left, ", %.1f s left", standing->left);
    snprintf(text, sizeof text, "%s: %.1f %s, %zu live, %" PRIu64 " failed%s", standing->what,
             standing->rate, standing->rated, standing->live, standing->failures, left);
    snprintf(line, sizeof line, ERASE "%.*s", COLUMNS, text);
    if (can_write() && write(STDERR_FILENO, line, strlen(line)) > 0)
        progress->is_shown = true;
}

void progress_end(struct load_progress *progress)
{
    if (progress->is_shown && can_write() && write(STDERR_FILENO, ERASE, sizeof ERASE - 1) > 0)
        progress->is_shown = false;
}
