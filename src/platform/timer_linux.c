/* timer_linux.c: a timer that a wait for descriptors can watch: timerfd_create(2). */
#include "platform/platform.h"

#include "base/clock.h"

#include <sys/timerfd.h>

int platform_timer(void)
{
    return timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC);
}

void platform_timer_set(int timer, double seconds)
{
    struct itimerspec setting = {.it_value = clock_timespec(seconds)};

    timerfd_settime(timer, 0, &setting, NULL);
}
