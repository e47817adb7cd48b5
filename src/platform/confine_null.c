/*
 * confine_null.c: platform_confine_child where only POSIX is known: it does nothing, and a child
 * can still create processes.
 */
#include "platform/platform.h"

void platform_confine_child(void)
{
}
