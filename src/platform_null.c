/*
 * platform_null.c: platform.h on a system of which only POSIX.1-2008 is known.
 *
 * What is lost: fork copies the page tables of the parent's tables into every child, and
 * a child inherits, though never reads, the records of other clients.
 */
#include "platform.h"

#include <stdlib.h>
#include <unistd.h>

/* POSIX.1-2008 cannot ask for the highest open descriptor, and OPEN_MAX may be a thousand
 * million. Whoever starts a server hands it few, low ones. */
#define DESCRIPTORS_SCANNED 4096

pid_t platform_fork(void)
{
    return fork();
}

void *platform_private_memory(size_t size)
{
    return calloc(1, size);
}

void platform_keep_from_children(void)
{
}

void platform_close_range(int lowest, int highest)
{
    if (highest > DESCRIPTORS_SCANNED)
        highest = DESCRIPTORS_SCANNED;
    for (int descriptor = lowest; descriptor <= highest; descriptor++)
        close(descriptor);
}

void platform_process_limits(char *text, size_t size)
{
    if (size > 0)
        text[0] = '\0';
}
