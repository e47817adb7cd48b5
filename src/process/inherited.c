/* inherited.c: see inherited.h. */
#include "process/inherited.h"

#include "platform/platform.h"

#include <fcntl.h>
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
    platform_close_from(lowest_free);
    return 0;
}

void inherited_keep_only(int *kept, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        int place = STDERR_FILENO + 1 + (int)i;
        for (size_t later = i + 1; later < count; later++)
            if (kept[later] == place)
                kept[later] = dup(place);
        if (kept[i] != place)
            (void)dup2(kept[i], place); /* which needs no new number: nothing can be lacking */
        kept[i] = place;
    }
    platform_close_from(STDERR_FILENO + 1 + (int)count);
}
