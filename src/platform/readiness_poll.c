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

struct readiness {
    size_t limit;         /* descriptors below it can be watched */
    size_t count;         /* watched now */
    size_t first;         /* where the next look for ready ones begins */
    struct pollfd *polls; /* [count] */
    void **owners;        /* [count], in the same order */
    size_t *places;       /* [limit], a descriptor's index in both */
};

struct readiness *readiness_new(size_t limit)
{
    struct readiness *readiness = calloc(1, sizeof *readiness);
    size_t room = limit > 0 ? limit : 1;

    if (readiness == NULL)
        return NULL;
    readiness->limit = limit;
    readiness->polls = calloc(room, sizeof *readiness->polls);
    readiness->owners = calloc(room, sizeof *readiness->owners);
    readiness->places = calloc(room, sizeof *readiness->places);
    if (readiness->polls == NULL || readiness->owners == NULL || readiness->places == NULL) {
        readiness_free(readiness);
        errno = ENOMEM;
        return NULL;
    }
    for (size_t i = 0; i < limit; i++)
        readiness->places[i] = NOWHERE;
    return readiness;
}

void readiness_free(struct readiness *readiness)
{
    if (readiness == NULL)
        return;
    free(readiness->polls);
    free(readiness->owners);
    free(readiness->places);
    free(readiness);
}

/* The last one in the list takes the place that becomes free. */
static void stop_watching(struct readiness *readiness, int descriptor)
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

int readiness_watch(struct readiness *readiness, int descriptor, unsigned was, unsigned wanted,
                    void *owner)
{
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

void readiness_forget(struct readiness *readiness, int descriptor)
{
    stop_watching(readiness, descriptor);
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

int readiness_wait(struct readiness *readiness, struct readiness_event *events, size_t limit,
                   double seconds, const sigset_t *mask)
{
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
