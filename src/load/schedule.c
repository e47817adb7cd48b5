/* load/schedule.c: see load/schedule.h. */
#include "load/schedule.h"

#include <math.h>

/* What rounding can add to the number of requests that a time has room for. */
#define ROUNDING 1e-6

/* Where rate * t + growth * t * t / 2 is the number: the solution that holds without growth too. By
 * the number, so that no error adds up. */
static double time_of(const struct load_schedule *schedule, uint64_t number)
{
    double rate = schedule->rate, count = (double)number;

    return schedule->start +
           2 * count / (rate + sqrt(rate * rate + 2 * schedule->growth * count));
}

void schedule_begin(struct load_schedule *schedule, double start, double seconds, double rate,
                    double growth)
{
    double room = seconds * (rate + growth * seconds / 2) - ROUNDING;

    *schedule =
        (struct load_schedule){.start = start, .rate = rate, .growth = growth, .parts = 1};
    schedule->total = room > 0 ? (uint64_t)room : 0;
    if ((double)schedule->total < room)
        schedule->total++;
}

void schedule_share(struct load_schedule *schedule, uint64_t place, uint64_t parts)
{
    schedule->next = place;
    schedule->parts = parts;
}

uint64_t schedule_left(const struct load_schedule *schedule)
{
    return schedule->next < schedule->total
               ? (schedule->total - schedule->next - 1) / schedule->parts + 1
               : 0;
}

double schedule_take(struct load_schedule *schedule)
{
    uint64_t number = schedule->next;

    schedule->next += schedule->parts;
    return time_of(schedule, number);
}

void schedule_cut(struct load_schedule *schedule)
{
    schedule->total = schedule->next;
}
