/*
 * readiness.h: wait until one of many descriptors can be read or written.
 *
 * One small interface, a file a mechanism: readiness_epoll.c on Linux, readiness_poll.c
 * elsewhere. A wait costs the mechanism's own price: in epoll the descriptors that are
 * ready, in poll all that are watched. Both are level-triggered: what was not taken is
 * told again.
 */
#ifndef READINESS_H
#define READINESS_H

#include <stdbool.h>
#include <stddef.h>

enum { READINESS_NONE = 0, READINESS_READ = 1, READINESS_WRITE = 2 };

struct readiness; /* what is watched */

struct readiness_event {
    int descriptor;
    void *owner;
    unsigned ready; /* READINESS_READ, READINESS_WRITE or both; an error or hang-up is both */
};

/* Room for descriptors below `limit`: how many may be open, not how many are watched. The
 * memory is taken here once. NULL with errno on failure. */
struct readiness *readiness_new(size_t limit);
void readiness_free(struct readiness *readiness);

/* Watches `descriptor` for `wanted`, and for nothing else from now on; READINESS_NONE stops
 * watching it, which must come before it is closed (before a close it makes no system call).
 * `was` is what was wanted until now: READINESS_NONE for a new descriptor. A watched file
 * must not be shared with another process or by dup(2). Returns 0, or -1 with errno, which
 * is EMFILE for a descriptor beyond `limit`. */
int readiness_watch(struct readiness *readiness, int descriptor, unsigned was, unsigned wanted,
                    void *owner);

/* Waits for at most `seconds` (negative: without end) and fills `events` with at most
 * `limit`, each descriptor at most once. Returns how many, -1 with errno, or 0: the time is
 * over, a signal came, or what had been ready is not wanted any more. */
int readiness_wait(struct readiness *readiness, struct readiness_event *events, size_t limit,
                   double seconds);

#endif
