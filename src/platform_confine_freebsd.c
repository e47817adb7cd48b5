/*
 * platform_confine_freebsd.c: platform_confine_child on FreeBSD: in capability mode a process
 * reaches nothing but what its descriptors lead to (capsicum(4)).
 */
#include "platform.h"

#include <sys/capsicum.h>

void platform_confine_child(void)
{
    (void)cap_enter();
}
