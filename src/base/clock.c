/* clock.c: see clock.h. */
#include "base/clock.h"

#include <errno.h>
#include <limits.h>

double clock_seconds(void)
{
    struct timespec now = {0, 0};

    (void)clock_gettime(CLOCK_MONOTONIC, &now); /* which every system here has */
    return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

double clock_earlier(double one, double other)
{
    return one > 0 && (one < other || other <= 0) ? one : other;
}

double clock_earliest(const double *times, size_t count)
{
    double earliest = 0;

    for (size_t i = 0; i < count; i++)
        earliest = clock_earlier(earliest, times[i]);
    return earliest;
}

struct timespec clock_timespec(double seconds)
{
    time_t whole = seconds > 0 ? (time_t)seconds : 0;

    return (struct timespec){whole, seconds > 0 ? (long)((seconds - (double)whole) * 1e9) : 0};
}

struct timeval clock_timeval(double seconds)
{
    struct timespec fine = clock_timespec(seconds);
    struct timeval result = {fine.tv_sec, (suseconds_t)(fine.tv_nsec / 1000)};

    /* SO_RCVTIMEO takes zero for "never": a timeout below its resolution must not become that. */
    if (seconds > 0 && result.tv_sec == 0 && result.tv_usec == 0)
        result.tv_usec = 1;
    return result;
}

int clock_milliseconds(double seconds)
{
    double exact = seconds * 1000;

    if (seconds < 0 || exact >= INT_MAX)
        return seconds < 0 ? -1 : INT_MAX;
    return (int)exact + (exact > (int)exact);
}

void clock_sleep(double seconds)
{
    struct timespec left = clock_timespec(seconds);

    while (nanosleep(&left, &left) == -1 && errno == EINTR)
        ;
}

int clock_poll(struct pollfd *polls, nfds_t count, double seconds)
{
    double deadline = clock_seconds() + seconds, left = seconds;

    for (;;) {
        int ready = poll(polls, count, clock_milliseconds(left));
        if (ready > 0 || (ready == -1 && errno != EINTR))
            return ready;
        if (seconds >= 0 && (left = deadline - clock_seconds()) <= 0)
            return 0;
    }
}
