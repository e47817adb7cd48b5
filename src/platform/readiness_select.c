/*
 * readiness_select.c: readiness by select(2), for every POSIX system; with a mask by pselect(2).
 *
 * A wait copies, passes and scans the sets up to the highest watched descriptor, however few are
 * ready. A descriptor at or above FD_SETSIZE has no place in a set, and FD_SET would write beyond
 * its end (POSIX.1-2008, select): such a one cannot be watched.
 */
#include "platform/readiness.h"

#include "base/clock.h"
#include "base/descriptors.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/select.h>

struct by_select {
    int limit; /* descriptors below it can be watched */
    int above; /* above the highest that is watched */
    int first; /* where the next look for ready ones begins */
    fd_set readable, writable;
    void **owners; /* [limit] */
};

static void *make(size_t limit)
{
    struct by_select *readiness = calloc(1, sizeof *readiness);

    if (readiness == NULL)
        return NULL;
    readiness->limit = limit < FD_SETSIZE ? (int)limit : (int)FD_SETSIZE;
    readiness->owners = calloc(limit > 0 ? (size_t)readiness->limit : 1, sizeof(void *));
    if (readiness->owners == NULL) {
        free(readiness);
        return NULL;
    }
    FD_ZERO(&readiness->readable);
    FD_ZERO(&readiness->writable);
    return readiness;
}

static void dispose(void *own)
{
    struct by_select *readiness = own;

    free(readiness->owners);
    free(readiness);
}

static void put(fd_set *set, int descriptor, bool in)
{
    if (in)
        FD_SET(DESCRIPTORS_BIT(descriptor), set);
    else
        FD_CLR(DESCRIPTORS_BIT(descriptor), set);
}

static bool is_watched(const struct by_select *readiness, int descriptor)
{
    return FD_ISSET(DESCRIPTORS_BIT(descriptor), &readiness->readable) ||
           FD_ISSET(DESCRIPTORS_BIT(descriptor), &readiness->writable);
}

static int watch(void *own, int descriptor, unsigned was, unsigned wanted, void *owner)
{
    struct by_select *readiness = own;
    (void)was; /* known from the sets */
    if (descriptor < 0 || descriptor >= readiness->limit) {
        errno = EMFILE;
        return -1;
    }
    readiness->owners[descriptor] = owner;
    put(&readiness->readable, descriptor, (wanted & READINESS_READ) != 0);
    put(&readiness->writable, descriptor, (wanted & READINESS_WRITE) != 0);
    if (descriptor >= readiness->above)
        readiness->above = descriptor + 1;
    while (readiness->above > 0 && !is_watched(readiness, readiness->above - 1))
        readiness->above--;
    return 0;
}

static void forget(void *own, int descriptor)
{
    (void)watch(own, descriptor, READINESS_NONE, READINESS_NONE, NULL);
}

static int await(void *own, struct readiness_event *events, size_t limit, double seconds,
                 const sigset_t *mask)
{
    struct by_select *readiness = own;
    fd_set readable = readiness->readable, writable = readiness->writable;
    struct timespec timeout = clock_timespec(seconds);
    int found = pselect(readiness->above, &readable, &writable, NULL,
                        seconds < 0 ? NULL : &timeout, mask);
    int descriptor = readiness->first;
    size_t count = 0;

    if (found == -1)
        return errno == EINTR ? 0 : -1;
    /* Begin behind the one last reported: else the first `limit` could starve all others. `found`
     * counts a descriptor in both sets twice; at 0 there are no more. */
    for (int looked = 0; looked < readiness->above && found > 0 && count < limit; looked++) {
        unsigned ready = READINESS_NONE;
        if (descriptor >= readiness->above)
            descriptor = 0;
        if (FD_ISSET(DESCRIPTORS_BIT(descriptor), &readable))
            ready |= READINESS_READ;
        if (FD_ISSET(DESCRIPTORS_BIT(descriptor), &writable))
            ready |= READINESS_WRITE;
        found -= (ready & READINESS_READ) != 0;
        found -= (ready & READINESS_WRITE) != 0;
        if (ready != READINESS_NONE)
            events[count++] = (struct readiness_event){descriptor, readiness->owners[descriptor],
                                                       ready};
        descriptor++;
    }
    readiness->first = descriptor;
    return (int)count;
}

const struct readiness_mechanism readiness_select = {make, dispose, watch, forget, await};
