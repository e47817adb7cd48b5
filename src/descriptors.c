/* descriptors.c: see descriptors.h. */
#include "descriptors.h"

#include "platform.h"

#include <fcntl.h>
#include <limits.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

int descriptors_tidy(int lowest_free)
{
    int descriptor;

    do
        descriptor = open("/dev/null", O_RDWR);
    while (descriptor >= 0 && descriptor <= STDERR_FILENO);
    if (descriptor == -1 || dup2(descriptor, STDIN_FILENO) == -1)
        return -1;
    close(descriptor);
    descriptors_close_from(lowest_free);
    return 0;
}

void descriptors_close_from(int lowest)
{
    platform_close_range(lowest, INT_MAX);
}

long descriptors_limit(void)
{
    struct rlimit limit;

    if (getrlimit(RLIMIT_NOFILE, &limit) == -1)
        return _POSIX_OPEN_MAX;
    return limit.rlim_cur < LONG_MAX ? (long)limit.rlim_cur : LONG_MAX;
}

long descriptors_raise_limit(void)
{
    struct rlimit limit;

    if (getrlimit(RLIMIT_NOFILE, &limit) == 0) {
        limit.rlim_cur = limit.rlim_max;
        (void)setrlimit(RLIMIT_NOFILE, &limit);
    }
    return descriptors_limit();
}

int descriptors_option(int descriptor, int level, int option)
{
    int value = -1;
    socklen_t size = sizeof value;

    return getsockopt(descriptor, level, option, &value, &size) == 0 ? value : -1;
}
