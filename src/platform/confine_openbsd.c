/*
 * platform/confine_openbsd.c: platform_confine_child on OpenBSD.
 *
 * "inet" and "unix" are for the timeouts of the client's socket, which a lifetime sets anew
 * before each read; new sockets are out of reach all the same, for a child may have no new
 * descriptor (confine.h).
 */
#include "platform/platform.h"

#include <unistd.h>

void platform_confine_child(void)
{
    (void)pledge("stdio inet unix", "");
}
