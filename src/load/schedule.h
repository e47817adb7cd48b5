/*
 * load/schedule.h: when each request is to begin, whatever the server does meanwhile.
 *
 * A closed loop asks again only when it was answered: while the server stalls nothing is asked, and
 * the stall is one slow answer among thousands of fast ones (Gil Tene's "coordinated omission").
 * On a schedule, requests are due at a rate from the start of a round: the same all the time, or
 * one that grows evenly, or falls. One that finds no connection free begins as soon as there is
 * one, and is timed from when it was to begin. None is left out.
 *
 * A connection that is free takes the next request at once and waits for its time (load/loop.h). So
 * a schedule need only know how many have been taken.
 */
#ifndef LOAD_SCHEDULE_H
#define LOAD_SCHEDULE_H

#include <stdint.h>

/* All zero is a schedule without any work. */
struct load_schedule {
    double start;         /* as clock_seconds has it */
    double rate;          /* requests a second, at the start ... */
    double growth;        /* ... and how many more after each second */
    uint64_t total;       /* they are numbered from 0 */
    uint64_t next, parts; /* the next that is ours, and how far apart ours are */
};

/* Schedules all requests from `start`, when the first is due, to less than `seconds` later. The
 * rate has to stay above 0 in that time. */
void schedule_begin(struct load_schedule *schedule, double start, double seconds, double rate,
                    double growth);

/* Leaves all to others but those of part `place`, from 0, of so many. */
void schedule_share(struct load_schedule *schedule, uint64_t place, uint64_t parts);

/* How many of ours have not been taken. */
uint64_t schedule_left(const struct load_schedule *schedule);

/* Takes the next; there must be one. Returns its time, which may have passed. */
double schedule_take(struct load_schedule *schedule);

/* Forgets those that have not been taken. */
void schedule_cut(struct load_schedule *schedule);

#endif
