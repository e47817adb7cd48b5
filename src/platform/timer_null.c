/* platform/timer_null.c: no alarm: waits end to the millisecond. */
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
