/* confine.c: see confine.h. */
#include "process/confine.h"

#include "platform/platform.h"
#include "process/log_sink.h"

#include <fcntl.h>
#include <sys/resource.h>
#include <unistd.h>

int confine_server(int lowest_free)
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

int confine_descriptors(int *kept, size_t count, bool logs)
{
    int log = logs ? log_sink_descriptor() : -1, place = STDERR_FILENO + 1;

    if (log != -1)
        kept[count++] = log;
    for (size_t i = 0; i < count; i++, place++) {
        for (size_t later = i + 1; later < count; later++)
            if (kept[later] == place) { /* it makes room, onto a number that nobody keeps */
                kept[later] = lowest_other(kept, count);
                (void)dup2(place, kept[later]);
            }
        if (kept[i] != place)
            (void)dup2(kept[i], place);
        kept[i] = place;
    }
    platform_close_from(place);
    if (log != -1)
        log_sink_moved(place - 1);
    return place;
}

void confine_child(bool logs, int descriptors)
{
    const struct rlimit none = {0, 0}, few = {(rlim_t)descriptors, (rlim_t)descriptors};

    (void)setrlimit(RLIMIT_CORE, &none);
    if (!logs)
        (void)setrlimit(RLIMIT_FSIZE, &none);
    (void)setrlimit(RLIMIT_NOFILE, &few);
    platform_confine_child(); /* last, for it may forbid setrlimit */
}
