/*
 * timers.h: which of many is due first: a binary heap of times.
 *
 * A timer is part of what it belongs to, and knows its own place in the heap, so that one
 * from the middle can be moved or taken out. It makes no system call and looks at no clock.
 *
 * Who is often put off, as an idle limit is with each byte, need not move each time: it stays
 * at the early time, is looked at then, and only then set to the later one. So a message
 * costs nothing here, and an idle session one move an idle limit.
 *
 * Cost: the first is constant; set and stop are logarithmic in the timers that are set.
 */
#ifndef TIMERS_H
#define TIMERS_H

#include <stddef.h>

/* Zeroed, it is not set. */
struct timer {
    double due;   /* seconds, by the caller's clock; 0: it is not set */
    size_t place; /* the heap's */
    void *owner;  /* the caller's */
};

struct timers;

/* Room for `capacity` timers at once. NULL with errno on failure. */
struct timers *timers_new(size_t capacity);
void timers_free(struct timers *timers);

/* Sets it to `due`, above 0, or moves it there. There must be room. */
void timers_set(struct timers *timers, struct timer *timer, double due);

/* Takes it out, if it is set. */
void timers_stop(struct timers *timers, struct timer *timer);

/* The one that is due first; NULL where none is set. */
struct timer *timers_first(const struct timers *timers);

#endif
