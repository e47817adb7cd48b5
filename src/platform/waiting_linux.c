/* waiting_linux.c: waiting.h on Linux. */
#define _GNU_SOURCE
/* In glibc 2.34 to 2.36 the fortified ppoll takes a time of 64 bits for one of 32, which then is 0:
 * each wait would end at once (systemd/systemd#25176). */
#ifndef __LP64__
#undef _FORTIFY_SOURCE
#endif
#include "platform/waiting.h"

#include "base/clock.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/timerfd.h>

int platform_poll(struct pollfd *polls, nfds_t count, double seconds, const sigset_t *mask)
{
    struct timespec limit = clock_timespec(seconds);

    return ppoll(polls, count, seconds < 0 ? NULL : &limit, mask);
}

void platform_signal_when_orphaned(int number)
{
    (void)prctl(PR_SET_PDEATHSIG, number, 0, 0, 0);
}

int platform_timer(void)
{
    return timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC);
}

void platform_timer_set(int timer, double seconds)
{
    struct itimerspec setting = {.it_value = clock_timespec(seconds)};

    timerfd_settime(timer, 0, &setting, NULL);
}

int platform_processors(double *idle, double *all)
{
    enum { IDLE = 3, WAITS, FIELDS = 8 }; /* guests, behind these, are among users */
    char line[256] = "", *at = line + strlen("cpu"), *end = at;
    FILE *file = fopen("/proc/stat", "re");

    if (file != NULL) {
        (void)!fgets(line, sizeof line, file);
        fclose(file);
    }
    *idle = *all = 0;
    for (int i = 0; i < FIELDS; i++, at = end) {
        double ticks = strtod(at, &end);
        if (end == at)
            return -1;
        *all += ticks;
        *idle += i == IDLE || i == WAITS ? ticks : 0;
    }
    return 0;
}
