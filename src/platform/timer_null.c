/* timer_null.c: no timer: waits are exact to a millisecond. */
#include "platform/platform.h"

int platform_timer(void)
{
    return -1;
}

void platform_timer_set(int timer, double seconds)
{
    (void)timer;
    (void)seconds;
}
