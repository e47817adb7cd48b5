/* confine_linux.c: platform_confine_child on Linux. */
#define _DEFAULT_SOURCE /* RLIMIT_NPROC */
#include "platform/platform.h"

#include <sys/resource.h>

/* Not a filter of system calls (seccomp): it would have to know those of every libc. */
void platform_confine_child(void)
{
    const struct rlimit none = {0, 0};

    (void)setrlimit(RLIMIT_NPROC, &none);
}
