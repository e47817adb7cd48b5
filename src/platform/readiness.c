/* readiness.c: see readiness.h. */
#include "platform/readiness.h"

#include <errno.h>
#include <stdlib.h>

struct readiness {
    const struct readiness_mechanism *by;
    void *own; /* the mechanism's */
};

struct readiness *readiness_new(const struct readiness_mechanism *mechanism, size_t limit)
{
    struct readiness *readiness = malloc(sizeof *readiness);

    if (readiness == NULL)
        return NULL;
    *readiness = (struct readiness){mechanism, mechanism->open(limit)};
    if (readiness->own == NULL) {
        int error = errno;
        free(readiness);
        errno = error;
        return NULL;
    }
    return readiness;
}

void readiness_free(struct readiness *readiness)
{
    if (readiness != NULL)
        readiness->by->close(readiness->own);
    free(readiness);
}

int readiness_watch(struct readiness *readiness, int descriptor, unsigned was, unsigned wanted,
                    void *owner)
{
    return readiness->by->watch(readiness->own, descriptor, was, wanted, owner);
}

void readiness_forget(struct readiness *readiness, int descriptor)
{
    readiness->by->forget(readiness->own, descriptor);
}

int readiness_wait(struct readiness *readiness, struct readiness_event *events, size_t limit,
                   double seconds, const sigset_t *mask)
{
    return readiness->by->wait(readiness->own, events, limit, seconds, mask);
}
