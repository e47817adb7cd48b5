/*
 * confine_openbsd.c: platform_confine_child on OpenBSD.
 *
 * "inet" and "unix" allow the child to set the timeouts of its client's socket, as it does before
 * each read where there is a lifetime (-T). New sockets it cannot have all the same: it may open no
 * descriptor (process/confine.h).
 */
#include "platform/platform.h"

#include <unistd.h>

void platform_confine_child(void)
{
    (void)pledge("stdio inet unix", "");
}
