/* inherited.c: see inherited.h. */
#include "process/inherited.h"

#include "platform/platform.h"

#include <fcntl.h>
#include <limits.h>
#include <unistd.h>

int inherited_tidy(int lowest_free)
{
    int descriptor;

    do
        descriptor = open("/dev/null", O_RDWR);
    while (descriptor >= 0 && descriptor <= STDERR_FILENO);
    if (descriptor == -1 || dup2(descriptor, STDIN_FILENO) == -1)
        return -1;
    close(descriptor);
    inherited_close_from(lowest_free);
    return 0;
}

void inherited_close_from(int lowest)
{
    platform_close_range(lowest, INT_MAX);
}
