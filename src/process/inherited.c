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

/* The lowest number behind the standard ones that is not among those kept. */
static int lowest_other(const int *kept, size_t count)
{
    int number = STDERR_FILENO + 1;

    for (size_t i = 0; i < count; i++)
        if (kept[i] == number) {
            number++;
            i = (size_t)-1; /* look at all of them again */
        }
    return number;
}

void inherited_keep_only(int *kept, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        int place = STDERR_FILENO + 1 + (int)i;
        for (size_t later = i + 1; later < count; later++)
            if (kept[later] == place) { /* it makes room, onto a number that nobody keeps */
                kept[later] = lowest_other(kept, count);
                (void)dup2(place, kept[later]);
            }
        if (kept[i] != place)
            (void)dup2(kept[i], place);
        kept[i] = place;
    }
    platform_close_from(STDERR_FILENO + 1 + (int)count);
}
