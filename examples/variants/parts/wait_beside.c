/* wait_beside.c: see wait_beside.h. */
#include "parts/wait_beside.h"

#include "base/descriptors.h"

void wait_beside(struct server *server, double until, int descriptor)
{
    fd_set readable;

    FD_ZERO(&readable);
    if (descriptor != -1)
        FD_SET(DESCRIPTORS_BIT(descriptor), &readable);
    server_wait_for(server, until, &readable, NULL, descriptor + 1);
}
