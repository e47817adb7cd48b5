/* platform_timer_null.c: no alarm: waits end to the millisecond. */
#include "platform.h"

int platform_timer(void)
{
    return -1;
}

void platform_timer_set(int timer, double seconds)
{
    (void)timer;
    (void)seconds;
}
