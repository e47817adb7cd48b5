/* confine.c: see confine.h. */
#include "process/confine.h"

#include "platform/platform.h"

#include <sys/resource.h>

void confine_child(bool logs, int descriptors)
{
    const struct rlimit none = {0, 0}, few = {(rlim_t)descriptors, (rlim_t)descriptors};

    (void)setrlimit(RLIMIT_CORE, &none);
    if (!logs)
        (void)setrlimit(RLIMIT_FSIZE, &none);
    (void)setrlimit(RLIMIT_NOFILE, &few);
    platform_confine_child(); /* last, for it may forbid setrlimit */
}
