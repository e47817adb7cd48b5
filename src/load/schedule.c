/* load/schedule.c: see load/schedule.h. */
#include "load/schedule.h"

/* What rounding can add to the number of requests that a time has room for. */
#define ROUNDING 1e-6

/* By multiplication, so that no error adds up. */
static double time_of(const struct load_schedule *schedule, uint64_t number)
{
    return schedule->start + (double)number / schedule->rate;
}

void schedule_begin(struct load_schedule *schedule, double start, double seconds, double rate)
{
    double room = seconds * rate - ROUNDING;

    *schedule = (struct load_schedule){.start = start, .rate = rate};
    schedule->total = room > 0 ? (uint64_t)room : 0;
    if ((double)schedule->total < room)
        schedule->total++;
}

uint64_t schedule_left(const struct load_schedule *schedule)
{
    return schedule->total - schedule->taken;
}

double schedule_take(struct load_schedule *schedule)
{
    return time_of(schedule, schedule->taken++);
}

void schedule_cut(struct load_schedule *schedule)
{
    schedule->total = schedule->taken;
}
