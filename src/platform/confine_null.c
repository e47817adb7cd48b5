/*
 * platform/confine_null.c: platform_confine_child where only POSIX is known: nothing. A child
 * then can still create processes.
 */
#include "platform/platform.h"

void platform_confine_child(void)
{
}
