/* failures.c: see failures.h. */
#include "server/failures.h"

#include <errno.h>
#include <stddef.h>

/* Accepts in a row that may fail with FAILURE_RETRY before that counts as persistent. */
#define RETRIES_MAX 32

static const struct {
    int error;
    enum failure_action action;
} table[] = {
    /* Nothing to do after all, or the connection is gone. */
    {EINTR, FAILURE_RETRY},
    {EAGAIN, FAILURE_RETRY}, /* for fork, where it means a limit, the caller always pauses */
    {EWOULDBLOCK, FAILURE_RETRY},
    {ECONNABORTED, FAILURE_RETRY},
    {EPROTO, FAILURE_RETRY},
    {ECONNRESET, FAILURE_RETRY},
    /* Errors of the new connection's network, which Linux reports here. */
    {ENETDOWN, FAILURE_RETRY},
    {ENOPROTOOPT, FAILURE_RETRY},
    {EOPNOTSUPP, FAILURE_RETRY},
    {EHOSTUNREACH, FAILURE_RETRY},
    {ENETUNREACH, FAILURE_RETRY},
    {ETIMEDOUT, FAILURE_RETRY},
#ifdef EHOSTDOWN
    {EHOSTDOWN, FAILURE_RETRY},
#endif
#ifdef ENONET
    {ENONET, FAILURE_RETRY},
#endif
    {EPERM, FAILURE_RETRY}, /* a firewall's word */
    /* Cured by somebody else: a descriptor freed, a process ended, memory given back. */
    {EMFILE, FAILURE_PAUSE},
    {ENFILE, FAILURE_PAUSE},
    {ENOBUFS, FAILURE_PAUSE},
    {ENOMEM, FAILURE_PAUSE},
    /* Our own listener is not one. */
    {EBADF, FAILURE_STOP},
    {EINVAL, FAILURE_STOP},
    {ENOTSOCK, FAILURE_STOP},
    {EFAULT, FAILURE_STOP},
};

enum failure_action failure_action(int error)
{
    for (size_t i = 0; i < sizeof table / sizeof table[0]; i++)
        if (table[i].error == error)
            return table[i].action;
    return FAILURE_PAUSE;
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
