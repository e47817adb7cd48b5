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
    double user, nice, system, waits, interrupts, softirqs, stolen; /* guests are among users */
    FILE *file = fopen("/proc/stat", "re");
    int count = 0;

    if (file == NULL)
        return -1;
    count = fscanf(file, "cpu %lf %lf %lf %lf %lf %lf %lf %lf", &user, &nice, &system, idle, &waits,
                   &interrupts, &softirqs, &stolen);
    fclose(file);
    if (count != 8)
        return -1;
    *idle += waits;
    *all = user + nice + system + *idle + interrupts + softirqs + stolen;
    return 0;
}
