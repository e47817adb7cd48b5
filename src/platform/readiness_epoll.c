/*
 * readiness_epoll.c: readiness by epoll(7), for Linux.
 *
 * A wait costs what is ready, however many descriptors are watched.
 *
 * The kernel stops watching a file by itself, but only when its last descriptor is closed. A
 * listener that the service manager holds as well would be reported for ever after our close, and
 * by then there is no descriptor left to stop that with. Hence the condition of readiness_forget.
 */
#define _GNU_SOURCE /* <sys/epoll.h> is not POSIX */
#include "platform/readiness.h"

#include "base/clock.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <unistd.h>

/* Most events that one call asks the kernel for; more wait for the next. */
#define BATCH_MAX 256

struct by_epoll {
    int epoll;
    size_t limit;
    void **owners; /* by descriptor, which is what fills the one word of an epoll event */
    struct epoll_event batch[BATCH_MAX];
};

static void *make(size_t limit)
{
    struct by_epoll *readiness = malloc(sizeof *readiness);

    if (readiness == NULL)
        return NULL;
    readiness->limit = limit;
    readiness->owners = calloc(limit > 0 ? limit : 1, sizeof *readiness->owners);
    readiness->epoll = readiness->owners != NULL ? epoll_create1(EPOLL_CLOEXEC) : -1;
    if (readiness->epoll == -1) {
        int error = errno;
        free(readiness->owners);
        free(readiness);
        errno = error;
        return NULL;
    }
    return readiness;
}

static void dispose(void *own)
{
    struct by_epoll *readiness = own;

    close(readiness->epoll);
    free(readiness->owners);
    free(readiness);
}

static int watch(void *own, int descriptor, unsigned was, unsigned wanted, void *owner)
{
    struct by_epoll *readiness = own;
    struct epoll_event event = {.data.fd = descriptor};

    if (descriptor < 0 || (size_t)descriptor >= readiness->limit) {
        errno = EMFILE;
        return -1;
    }
    readiness->owners[descriptor] = owner;
    if (was == wanted)
        return 0;
    event.events = ((wanted & READINESS_READ) != 0 ? (uint32_t)EPOLLIN : 0) |
                   ((wanted & READINESS_WRITE) != 0 ? (uint32_t)EPOLLOUT : 0);
    return epoll_ctl(readiness->epoll,
                     wanted == READINESS_NONE ? EPOLL_CTL_DEL
                     : was == READINESS_NONE  ? EPOLL_CTL_ADD
                                              : EPOLL_CTL_MOD,
                     descriptor, &event);
}

static void forget(void *own, int descriptor)
{
    (void)own;
    (void)descriptor;
}

static unsigned ready_of(uint32_t events)
{
    unsigned ready = READINESS_NONE;

    if ((events & (EPOLLIN | EPOLLERR | EPOLLHUP)) != 0)
        ready |= READINESS_READ;
    if ((events & (EPOLLOUT | EPOLLERR | EPOLLHUP)) != 0)
        ready |= READINESS_WRITE;
    return ready;
}

static int await(void *own, struct readiness_event *events, size_t limit, double seconds,
                 const sigset_t *mask)
{
    struct by_epoll *readiness = own;
    int most = limit < BATCH_MAX ? (int)limit : BATCH_MAX;
    int found = epoll_pwait(readiness->epoll, readiness->batch, most,
                            clock_milliseconds(seconds), mask);

    if (found == -1)
        return errno == EINTR ? 0 : -1;
    for (int i = 0; i < found; i++) {
        int descriptor = readiness->batch[i].data.fd;

        events[i] = (struct readiness_event){descriptor, readiness->owners[descriptor],
                                             ready_of(readiness->batch[i].events)};
    }
    return found;
}

static const struct readiness_mechanism mechanism = {make, dispose, watch, forget, await};
const struct readiness_mechanism *const readiness_best = &mechanism;
