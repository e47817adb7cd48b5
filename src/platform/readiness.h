/*
 * readiness.h: wait until one of many descriptors can be read or written.
 *
 * One small interface, a file a mechanism: readiness_epoll.c on Linux, readiness_kqueue.c on
 * the BSDs, readiness_poll.c and readiness_select.c on every POSIX system. The library has
 * the best that the system has; a program that is linked with the object of another one in
 * front of the library has that. All are level-triggered: what was not taken is told again.
 *
 * Cost of a wait: in epoll and kqueue what is ready, in poll and select all that is watched.
 * Cost of watching: in epoll and kqueue one system call a change, in the others none.
 */
#ifndef READINESS_H
#define READINESS_H

#include <signal.h>
#include <stdbool.h>
#include <stddef.h>

enum { READINESS_NONE = 0, READINESS_READ = 1, READINESS_WRITE = 2 };

struct readiness; /* what is watched */

struct readiness_event {
    int descriptor;
    void *owner;
    unsigned ready; /* READINESS_READ, READINESS_WRITE or both */
};

/* Room for descriptors below `limit`: how many may be open, not how many are watched. The
 * memory is taken here once. NULL with errno on failure. */
struct readiness *readiness_new(size_t limit);
void readiness_free(struct readiness *readiness);

/* Watches `descriptor` for `wanted`, and for nothing else from now on; READINESS_NONE stops
 * watching it. `was` is what was wanted until now: READINESS_NONE for a new descriptor. Returns
 * 0, or -1 with errno, which is EMFILE for a descriptor beyond `limit`, or beyond what select
 * can name. */
int readiness_watch(struct readiness *readiness, int descriptor, unsigned was, unsigned wanted,
                    void *owner);

/* Stops watching a descriptor that is closed next: no system call where the kernel forgets it
 * with that. So its file must not be shared with another process or by dup(2), or the kernel
 * goes on to tell of it: what is shared is stopped by readiness_watch. */
void readiness_forget(struct readiness *readiness, int descriptor);

/*
 * Waits for at most `seconds` (negative: without end) and fills `events` with at most `limit`,
 * each descriptor at most once. With a `mask` the signals are let in that it leaves open, as
 * by pselect(2): none is lost between a look at what they recorded and the wait. Returns how
 * many, -1 with errno, or 0: the time is over, a signal came, or what had been ready is not
 * wanted any more; it may come a little early.
 *
 * Where descriptors are ready at once, signals may not have been let in (signals.h). An error
 * or hang-up is told as both, ready to read and to write; select can only tell what is wanted.
 */
int readiness_wait(struct readiness *readiness, struct readiness_event *events, size_t limit,
                   double seconds, const sigset_t *mask);

#endif
