/* load/settings.c: see load/settings.h. */
#include "load/settings.h"

#include "base/pattern.h"

/* Descriptors that are not connections: the three standard ones, the readiness mechanism's,
 * and a few that whoever started us left open. */
#define OTHER_DESCRIPTORS 16

/* What surely goes in one segment (RFC 9293 section 3.7.1). */
#define SEGMENT 536

/* An interval of fewer seconds has only come in by rounding. */
#define ROUNDING 1e-6

bool settings_want_no_delay(const struct load_settings *settings)
{
    bool follows = settings->mode->kind == LOAD_REQUESTS && settings->mode->keeps;

    return follows || (settings->mode->kind != LOAD_STREAM && settings->size > SEGMENT);
}

size_t settings_rows(const struct load_settings *settings)
{
    size_t rows = 0;

    if (settings->interval <= 0)
        return settings->rounds;
    do
        rows++;
    while ((double)rows * settings->interval < settings->duration - ROUNDING &&
           rows <= SETTINGS_ROWS_MAX);
    return rows;
}

bool ramp_changes(const struct load_ramp *ramp)
{
    return ramp->from < ramp->to || ramp->from > ramp->to;
}

double ramp_at(const struct load_ramp *ramp, double share)
{
    return ramp->from + (ramp->to - ramp->from) * share;
}

static size_t dealt(size_t all, size_t processes, size_t place)
{
    return all / processes + (place < all % processes);
}

struct load_settings settings_share(const struct load_settings *settings, size_t place)
{
    struct load_settings share = *settings;
    size_t processes = settings->processes;
    size_t working = processes < settings->concurrency ? processes : settings->concurrency;

    share.concurrency = dealt(settings->concurrency, processes, place);
    /* Counted from the last process: one with a connection more has none more to hold. */
    share.held = dealt(settings->held, processes, processes - 1 - place);
    share.numbers = place * (PATTERN_PERIOD / processes);
    share.place = place;
    share.parts = working;
    if (place >= working) /* it only holds */
        share.rate = (struct load_ramp){0};
    return share;
}

size_t settings_descriptors(const struct load_settings *settings)
{
    size_t most = settings->processes > 1 ? settings->processes : 0; /* the parent's */

    for (size_t place = 0; place < settings->processes; place++) {
        struct load_settings share = settings_share(settings, place);
        if (share.concurrency + share.held > most)
            most = share.concurrency + share.held;
    }
    return most + OTHER_DESCRIPTORS;
}

size_t settings_fewest_processes(const struct load_settings *settings, size_t limit)
{
    struct load_settings tried = *settings;

    for (tried.processes = 1; tried.processes <= SETTINGS_PROCESSES_MAX; tried.processes++)
        if (settings_descriptors(&tried) <= limit)
            return tried.processes;
    return 0;
}
