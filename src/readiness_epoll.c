/*
 * readiness_epoll.c: readiness by epoll(7), for Linux.
 *
 * Level-triggered, so a caller that takes only part of what is ready is told again. A
 * wait costs what is ready, however many descriptors are watched.
 *
 * To stop watching makes no system call: it is only noted, because a descriptor is nearly
 * always closed next and the kernel then forgets it by itself. One that is not closed is
 * taken out when it first reports something nobody wants. The kernel forgets a file only
 * with its last descriptor, so what is watched here must not be shared with another
 * process or by dup(2).
 */
#define _GNU_SOURCE /* <sys/epoll.h> is not POSIX */
#include "readiness.h"

#include "clock.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <unistd.h>

/* Most events that one call asks the kernel for; more wait for the next. */
#define BATCH_MAX 256

struct watch {
    void *owner;
    unsigned wanted;
};

struct readiness {
    int epoll;
    size_t limit;
    struct watch *watches; /* by descriptor: an epoll event has room for one word only */
    struct epoll_event batch[BATCH_MAX];
};

struct readiness *readiness_new(size_t limit)
{
    struct readiness *readiness = malloc(sizeof *readiness);

    if (readiness == NULL)
        return NULL;
    readiness->limit = limit;
    readiness->watches = calloc(limit > 0 ? limit : 1, sizeof *readiness->watches);
    readiness->epoll = readiness->watches != NULL ? epoll_create1(EPOLL_CLOEXEC) : -1;
    if (readiness->epoll == -1) {
        int error = errno;
        free(readiness->watches);
        free(readiness);
        errno = error;
        return NULL;
    }
    return readiness;
}

void readiness_free(struct readiness *readiness)
{
    if (readiness == NULL)
        return;
    close(readiness->epoll);
    free(readiness->watches);
    free(readiness);
}

int readiness_watch(struct readiness *readiness, int descriptor, unsigned was, unsigned wanted,
                    void *owner)
{
    struct epoll_event event = {.data.fd = descriptor};

    if (descriptor < 0 || (size_t)descriptor >= readiness->limit) {
        errno = EMFILE;
        return -1;
    }
    readiness->watches[descriptor] = (struct watch){owner, wanted};
    if (wanted == READINESS_NONE)
        return 0;
    event.events = ((wanted & READINESS_READ) != 0 ? (uint32_t)EPOLLIN : 0) |
                   ((wanted & READINESS_WRITE) != 0 ? (uint32_t)EPOLLOUT : 0);
    if (was == READINESS_NONE) {
        if (epoll_ctl(readiness->epoll, EPOLL_CTL_ADD, descriptor, &event) == 0)
            return 0;
        if (errno != EEXIST) /* stopped before, and not closed since: still in the set */
            return -1;
    }
    return epoll_ctl(readiness->epoll, EPOLL_CTL_MOD, descriptor, &event);
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

int readiness_wait(struct readiness *readiness, struct readiness_event *events, size_t limit,
                   double seconds)
{
    int most = limit < BATCH_MAX ? (int)limit : BATCH_MAX;
    int found = epoll_wait(readiness->epoll, readiness->batch, most, clock_milliseconds(seconds));
    int count = 0;

    if (found == -1)
        return errno == EINTR ? 0 : -1;
    for (int i = 0; i < found; i++) {
        int descriptor = readiness->batch[i].data.fd;
        const struct watch *watch = &readiness->watches[descriptor];

        if (watch->wanted == READINESS_NONE)
            epoll_ctl(readiness->epoll, EPOLL_CTL_DEL, descriptor, NULL);
        else
            events[count++] = (struct readiness_event){descriptor, watch->owner,
                                                       ready_of(readiness->batch[i].events)};
    }
    return count;
}
