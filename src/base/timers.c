/* timers.c: see timers.h. */
#include "base/timers.h"

#include <stdlib.h>

struct timers {
    size_t count;
    struct timer *heap[]; /* none is due before the one at half its place */
};

struct timers *timers_new(size_t capacity)
{
    struct timers *timers = malloc(sizeof *timers + (capacity + 1) * sizeof timers->heap[0]);

    if (timers != NULL)
        timers->count = 0;
    return timers;
}

void timers_free(struct timers *timers)
{
    free(timers);
}

/* Places are counted from 1, so that half a place is the parent's. */
static void put(struct timers *timers, struct timer *timer, size_t place)
{
    timers->heap[place] = timer;
    timer->place = place;
}

/* Finds the place of one that was put at `place`, where it may be too early or too late. */
static void sift(struct timers *timers, struct timer *timer, size_t place)
{
    for (; place > 1 && timers->heap[place / 2]->due > timer->due; place /= 2)
        put(timers, timers->heap[place / 2], place);
    for (size_t next; (next = 2 * place) <= timers->count; place = next) {
        if (next < timers->count && timers->heap[next + 1]->due < timers->heap[next]->due)
            next++;
        if (timers->heap[next]->due >= timer->due)
            break;
        put(timers, timers->heap[next], place);
    }
    put(timers, timer, place);
}

void timers_set(struct timers *timers, struct timer *timer, double due)
{
    size_t place = timer->due > 0 ? timer->place : ++timers->count;

    timer->due = due;
    sift(timers, timer, place);
}

void timers_stop(struct timers *timers, struct timer *timer)
{
    size_t place = timer->place;
    struct timer *last;

    if (timer->due <= 0)
        return;
    timer->due = 0;
    last = timers->heap[timers->count--];
    if (last != timer)
        sift(timers, last, place);
}

struct timer *timers_first(const struct timers *timers)
{
    return timers->count > 0 ? timers->heap[1] : NULL;
}
