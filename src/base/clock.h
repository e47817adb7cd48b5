/*
 * clock.h: the one clock of the program.
 *
 * Times are seconds on CLOCK_MONOTONIC: a change of the wall clock moves no timeout (POSIX.1-2008,
 * clock_getres). A double keeps nanoseconds for more than a hundred days of uptime.
 */
#ifndef CLOCK_H
#define CLOCK_H

#include <poll.h>
#include <stddef.h>
#include <sys/time.h>
#include <time.h>

double clock_seconds(void); /* now */

/* The earlier of two times, and the earliest of `count`; 0 stands for none. */
double clock_earlier(double one, double other);
double clock_earliest(const double *times, size_t count);

/* `seconds` as the structures that system calls take; 0 and less give zero. */
struct timespec clock_timespec(double seconds);
struct timeval clock_timeval(double seconds);

/* `seconds` as poll(2) and epoll(7) take them. Rounded up, or a caller would spin through the last
 * millisecond; -1, without end, for less than 0; INT_MAX for what exceeds it. */
int clock_milliseconds(double seconds);

/* Sleep, or poll(2), also through signals: for `seconds`, or at most so long (below 0: without
 * end). clock_poll returns what poll does. */
void clock_sleep(double seconds);
int clock_poll(struct pollfd *polls, nfds_t count, double seconds);

#endif
