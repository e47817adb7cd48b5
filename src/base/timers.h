/*
 * timers.h: which of many is due first: a binary heap of times.
 *
 * A timer is part of what it belongs to, and knows its own place in the heap, so that one
 * in the middle can be moved or removed. This module makes no system call and looks at no clock.
 *
 * A timer that is put off often, as an idle limit is with each byte, need not be moved each time:
 * leave it at the early time, look at it then, and only then set it to the later one. So a message
 * costs nothing here, and an idle session one move for each idle limit.
 *
 * Cost: the first is constant; set and stop are logarithmic in the timers that are set.
 */
#ifndef TIMERS_H
#define TIMERS_H

#include <stddef.h>

/* Zeroed, it is not set. */
struct timer {
    double due;   /* seconds, by the caller's clock; 0: it is not set */
    size_t place; /* in the heap; of this module alone */
    void *owner;  /* what it belongs to; the caller sets it */
};

struct timers;

/* Room for `capacity` timers at once. NULL with errno on failure. */
struct timers *timers_new(size_t capacity);
void timers_free(struct timers *timers);

/* Sets it to `due`, above 0, or moves it there. There must be room. */
void timers_set(struct timers *timers, struct timer *timer, double due);

/* Removes it, if it is set. */
void timers_stop(struct timers *timers, struct timer *timer);

/* The one that is due first; NULL where none is set. */
struct timer *timers_first(const struct timers *timers);

#endif
