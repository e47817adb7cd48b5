/*
 * readiness_poll.c: readiness by poll(2), for every POSIX system; with a mask by ppoll(2).
 *
 * The watched descriptors are kept without gaps, so a wait costs what poll itself costs for all
 * that are watched. Watching one and stopping that is constant.
 */
#include "platform/readiness.h"

#include "platform/waiting.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>

/* The place of a descriptor that is not watched. */
#define NOWHERE ((size_t)-1)

struct by_poll {
    size_t limit;         /* descriptors below it can be watched */
    size_t count;         /* watched now */
    size_t first;         /* where the next look for ready ones begins */
    struct pollfd *polls; /* [count] */
    void **owners;        /* [count], in the same order */
    size_t *places;       /* [limit], a descriptor's index in both */
};

static void dispose(void *own)
{
    struct by_poll *readiness = own;

    free(readiness->polls);
    free(readiness->owners);
    free(readiness->places);
    free(readiness);
}

static void *make(size_t limit)
{
    struct by_poll *readiness = calloc(1, sizeof *readiness);
    size_t room = limit > 0 ? limit : 1;

    if (readiness == NULL)
        return NULL;
    readiness->limit = limit;
    readiness->polls = calloc(room, sizeof *readiness->polls);
    readiness->owners = calloc(room, sizeof *readiness->owners);
    readiness->places = calloc(room, sizeof *readiness->places);
    if (readiness->polls == NULL || readiness->owners == NULL || readiness->places == NULL) {
        dispose(readiness);
        errno = ENOMEM;
        return NULL;
    }
    for (size_t i = 0; i < limit; i++)
        readiness->places[i] = NOWHERE;
    return readiness;
}

/* The last one in the list takes the place that becomes free. */
static void stop_watching(struct by_poll *readiness, int descriptor)
{
    size_t place = readiness->places[descriptor];

    if (place == NOWHERE)
        return;
    readiness->count--;
    readiness->polls[place] = readiness->polls[readiness->count];
    readiness->owners[place] = readiness->owners[readiness->count];
    readiness->places[readiness->polls[place].fd] = place;
    readiness->places[descriptor] = NOWHERE;
}

static int watch(void *own, int descriptor, unsigned was, unsigned wanted, void *owner)
{
    struct by_poll *readiness = own;
    size_t place;

    (void)was; /* known from `places` */
    if (descriptor < 0 || (size_t)descriptor >= readiness->limit) {
        errno = EMFILE;
        return -1;
    }
    if (wanted == READINESS_NONE) {
        stop_watching(readiness, descriptor);
        return 0;
    }
    place = readiness->places[descriptor];
    if (place == NOWHERE)
        place = readiness->places[descriptor] = readiness->count++;
    readiness->owners[place] = owner;
    readiness->polls[place] = (struct pollfd){.fd = descriptor};
    if ((wanted & READINESS_READ) != 0)
        readiness->polls[place].events |= POLLIN;
    if ((wanted & READINESS_WRITE) != 0)
        readiness->polls[place].events |= POLLOUT;
    return 0;
}

static void forget(void *own, int descriptor)
{
    stop_watching(own, descriptor);
}

static unsigned ready_of(short events)
{
    unsigned ready = READINESS_NONE;

    if ((events & (POLLIN | POLLERR | POLLHUP | POLLNVAL)) != 0)
        ready |= READINESS_READ;
    if ((events & (POLLOUT | POLLERR | POLLHUP | POLLNVAL)) != 0)
        ready |= READINESS_WRITE;
    return ready;
}

static int await(void *own, struct readiness_event *events, size_t limit, double seconds,
                 const sigset_t *mask)
{
    struct by_poll *readiness = own;
    int found = platform_poll(readiness->polls, (nfds_t)readiness->count, seconds, mask);
    size_t count = 0, place = readiness->first;

    if (found == -1)
        return errno == EINTR ? 0 : -1;
    /* Begin behind the one last reported: else the first `limit` could starve all others. */
    for (size_t looked = 0; looked < readiness->count && found > 0 && count < limit; looked++) {
        if (place >= readiness->count)
            place = 0;
        if (readiness->polls[place].revents != 0) {
            events[count++] = (struct readiness_event){readiness->polls[place].fd,
                                                       readiness->owners[place],
                                                       ready_of(readiness->polls[place].revents)};
            found--;
        }
        place++;
    }
    readiness->first = place;
    return (int)count;
}

const struct readiness_mechanism readiness_poll = {make, dispose, watch, forget, await};
