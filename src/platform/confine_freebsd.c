/*
 * confine_freebsd.c: platform_confine_child on FreeBSD. In capability mode a process reaches
 * nothing but what its descriptors lead to (capsicum(4)); what that still allows is fork(2), which
 * RLIMIT_NPROC forbids.
 */
#include "platform/platform.h"

#include <sys/capsicum.h>
#include <sys/resource.h>

void platform_confine_child(void)
{
    const struct rlimit none = {0, 0};

    (void)setrlimit(RLIMIT_NPROC, &none);
    (void)cap_enter();
}
