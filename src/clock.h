/*
 * clock.h: the one clock of the program.
 *
 * Times inside a server are seconds on CLOCK_MONOTONIC, as a double: a change of the
 * wall clock moves no timeout (POSIX.1-2008, clock_getres). A double keeps nanoseconds
 * for more than a hundred days of uptime and microseconds for ever.
 */
#ifndef CLOCK_H
#define CLOCK_H

#include <stddef.h>
#include <sys/time.h>
#include <time.h>

/* Seconds since an arbitrary start that does not change. */
double clock_seconds(void);

/* `seconds` as the structures that system calls take; 0 and less give zero. */
struct timespec clock_timespec(double seconds);
struct timeval clock_timeval(double seconds);

/* The earliest of `count` times; what is not above 0 is none. 0 when all are none. */
double clock_earliest(const double *times, size_t count);

/* Sleeps for `seconds`, also through signals. */
void clock_sleep(double seconds);

#endif
