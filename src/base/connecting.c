/* connecting.c: see connecting.h. */
#include "base/connecting.h"

#include <errno.h>
#include <sys/socket.h>

int connecting_error(int descriptor)
{
    int error = 0;
    socklen_t length = sizeof error;

    if (getsockopt(descriptor, SOL_SOCKET, SO_ERROR, &error, &length) == -1)
        return errno;
    return error;
}

int connecting_result(int descriptor, int ready)
{
    int error;

    if (ready == -1)
        return -1;
    error = ready == 0 ? ETIMEDOUT : connecting_error(descriptor);
    errno = error;
    return error == 0 ? 0 : -1;
}
