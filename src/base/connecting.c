/* connecting.c: see connecting.h. */
#include "base/connecting.h"

#include "base/clock.h"

#include <errno.h>
#include <sys/socket.h>
#include <unistd.h>

int connecting_error(int descriptor)
{
    int error = 0;
    socklen_t length = sizeof error;

    if (getsockopt(descriptor, SOL_SOCKET, SO_ERROR, &error, &length) == -1)
        return errno;
    return error;
}

int connecting_wait(int descriptor, double seconds)
{
    struct pollfd wait = {.fd = descriptor, .events = POLLOUT};
    int ready = clock_poll(&wait, 1, seconds);

    if (ready == -1)
        return -1;
    errno = ready == 0 ? ETIMEDOUT : connecting_error(descriptor);
    return errno == 0 ? 0 : -1;
}

int connecting_failed(int descriptor)
{
    int error = errno;

    close(descriptor);
    errno = error;
    return -1;
}
