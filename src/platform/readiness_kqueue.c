/*
 * readiness_kqueue.c: readiness by kqueue(2), for the BSDs and macOS.
 *
 * A wait costs what is ready, however many descriptors are watched. The kernel stops watching a
 * descriptor when it is closed, also where its file is open elsewhere.
 *
 * kevent has no signal mask. But a kqueue is a descriptor itself, readable while it has events. So
 * with a mask the wait is a pselect for that one, and kevent then only fetches what is there: two
 * system calls in place of one.
 */
#include "platform/readiness.h"

#include "base/clock.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/types.h>

#include <sys/event.h>
#include <sys/select.h>
#include <sys/time.h>
#include <unistd.h>

/* Most events that one call asks the kernel for; more wait for the next. */
#define BATCH_MAX 256

struct watch {
    void *owner;
    size_t event; /* of this wait: events[event - 1]; 0: none yet */
};

struct by_kqueue {
    int queue;
    size_t limit;
    struct watch *watches; /* by descriptor: an event of the kernel is for reading or writing */
    struct kevent batch[BATCH_MAX];
};

static void *make(size_t limit)
{
    struct by_kqueue *readiness = malloc(sizeof *readiness);
    int error;

    if (readiness == NULL)
        return NULL;
    readiness->limit = limit;
    readiness->watches = calloc(limit > 0 ? limit : 1, sizeof *readiness->watches);
    readiness->queue = readiness->watches != NULL ? kqueue() : -1;
    if (readiness->queue >= (int)FD_SETSIZE) {
        close(readiness->queue);
        readiness->queue = -1;
        errno = EMFILE;
    }
    if (readiness->queue != -1)
        return readiness;
    error = errno;
    free(readiness->watches);
    free(readiness);
    errno = error;
    return NULL;
}

static void dispose(void *own)
{
    struct by_kqueue *readiness = own;

    close(readiness->queue);
    free(readiness->watches);
    free(readiness);
}

static int watch(void *own, int descriptor, unsigned was, unsigned wanted, void *owner)
{
    struct by_kqueue *readiness = own;
    static const struct {
        unsigned what;
        short filter;
    } filters[] = {{READINESS_READ, EVFILT_READ}, {READINESS_WRITE, EVFILT_WRITE}};
    struct kevent changes[2];
    int count = 0;

    if (descriptor < 0 || (size_t)descriptor >= readiness->limit) {
        errno = EMFILE;
        return -1;
    }
    readiness->watches[descriptor].owner = owner;
    for (size_t i = 0; i < sizeof filters / sizeof filters[0]; i++)
        if (((was ^ wanted) & filters[i].what) != 0) {
            EV_SET(&changes[count], (uintptr_t)descriptor, filters[i].filter,
                   (wanted & filters[i].what) != 0 ? EV_ADD : EV_DELETE, 0, 0, 0);
            count++;
        }
    return count == 0 ? 0 : kevent(readiness->queue, changes, count, NULL, 0, NULL);
}

static void forget(void *own, int descriptor)
{
    (void)own;
    (void)descriptor;
}

/* Returns how many events `batch` has then, 0 also for a signal, or -1 with errno. */
static int fetch(struct by_kqueue *readiness, int most, double seconds, const sigset_t *mask)
{
    struct timespec limit = clock_timespec(seconds);
    const struct timespec zero = {0, 0};
    const struct timespec *timeout = seconds < 0 ? NULL : &limit;
    int found = 1;

    if (mask != NULL) {
        fd_set readable;
        FD_ZERO(&readable);
        FD_SET(readiness->queue, &readable);
        found = pselect(readiness->queue + 1, &readable, NULL, NULL, timeout, mask);
        timeout = &zero;
    }
    if (found > 0)
        found = kevent(readiness->queue, NULL, 0, readiness->batch, most, timeout);
    return found == -1 && errno == EINTR ? 0 : found;
}

static unsigned ready_of(const struct kevent *event)
{
    if ((event->flags & (EV_EOF | EV_ERROR)) != 0)
        return READINESS_READ | READINESS_WRITE;
    return event->filter == EVFILT_READ ? READINESS_READ : READINESS_WRITE;
}

static int await(void *own, struct readiness_event *events, size_t limit, double seconds,
                 const sigset_t *mask)
{
    struct by_kqueue *readiness = own;
    int most = limit < BATCH_MAX ? (int)limit : BATCH_MAX;
    int found = fetch(readiness, most, seconds, mask);
    size_t count = 0;

    for (int i = 0; i < found; i++) {
        int descriptor = (int)readiness->batch[i].ident;
        struct watch *watch = &readiness->watches[descriptor];
        if (watch->event == 0) {
            events[count] = (struct readiness_event){descriptor, watch->owner, READINESS_NONE};
            watch->event = ++count;
        }
        events[watch->event - 1].ready |= ready_of(&readiness->batch[i]);
    }
    for (size_t i = 0; i < count; i++)
        readiness->watches[events[i].descriptor].event = 0;
    return found == -1 ? -1 : (int)count;
}

static const struct readiness_mechanism mechanism = {make, dispose, watch, forget, await};
const struct readiness_mechanism *const readiness_best = &mechanism;
