/* failures.c: see failures.h. */
#include "server/failures.h"

#include <errno.h>
#include <stddef.h>

/* Accepts in a row that may fail with FAILURE_RETRY before that counts as persistent. */
#define RETRIES_MAX 32

static const int retried[] = {
    /* Nothing to do after all. Where fork says EAGAIN, at a limit, its caller always pauses. */
    EINTR, EAGAIN, EWOULDBLOCK,
    /* The connection is gone. */
    ECONNABORTED, EPROTO, ECONNRESET,
    /* Errors of the new connection's network, which Linux reports here, and of a firewall. */
    ENETDOWN, ENOPROTOOPT, EOPNOTSUPP, EHOSTUNREACH, ENETUNREACH, ETIMEDOUT, EPERM,
#ifdef EHOSTDOWN
    EHOSTDOWN,
#endif
#ifdef ENONET
    ENONET,
#endif
};

/* Our own listener is not one. All that is in neither list is cured by somebody else: a descriptor
 * freed (EMFILE, ENFILE), memory given back (ENOBUFS, ENOMEM). */
static const int stopped_for[] = {EBADF, EINVAL, ENOTSOCK, EFAULT};

static bool is_among(int error, const int *errors, size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (errors[i] == error)
            return true;
    return false;
}

enum failure_action failure_action(int error)
{
    if (is_among(error, retried, sizeof retried / sizeof retried[0]))
        return FAILURE_RETRY;
    return is_among(error, stopped_for, sizeof stopped_for / sizeof stopped_for[0]) ? FAILURE_STOP
                                                                                    : FAILURE_PAUSE;
}

bool failure_persists(int error, unsigned *retries)
{
    if (failure_action(error) == FAILURE_RETRY) {
        if (error == EAGAIN || error == EWOULDBLOCK || error == EINTR || ++*retries < RETRIES_MAX)
            return false;
    }
    *retries = 0;
    return true;
}
