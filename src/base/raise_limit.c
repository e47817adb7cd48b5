/* raise_limit.c: see raise_limit.h. */
#include "base/raise_limit.h"

#include <limits.h>
#include <sys/resource.h>
#include <unistd.h>

long raise_limit(void)
{
    struct rlimit limit;

    if (getrlimit(RLIMIT_NOFILE, &limit) == 0) {
        limit.rlim_cur = limit.rlim_max;
        (void)setrlimit(RLIMIT_NOFILE, &limit);
    }
    long most = sysconf(_SC_OPEN_MAX);
    return most == -1 ? LONG_MAX : most;
}
