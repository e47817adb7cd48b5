/*
 * readiness.h: wait until one of many descriptors can be read or written.
 *
 * One small interface, and one file for each mechanism: readiness_epoll.c on Linux,
 * readiness_kqueue.c on the BSDs, readiness_poll.c and readiness_select.c on every POSIX system.
 * Who waits chooses one. All are level-triggered: what was not read is reported again.
 *
 * Cost of a wait: with epoll and kqueue what is ready, with poll and select all that is watched.
 * Cost of watching: with epoll and kqueue one system call for each change, else none. So poll is
 * the cheaper one for few descriptors that are watched for a moment each.
 */
#ifndef READINESS_H
#define READINESS_H

#include <signal.h>
#include <stdbool.h>
#include <stddef.h>

enum { READINESS_NONE = 0, READINESS_READ = 1, READINESS_WRITE = 2 };

struct readiness_mechanism;
extern const struct readiness_mechanism readiness_poll, readiness_select;
/* The best one of the system: epoll, kqueue, or poll (readiness_null.c). */
extern const struct readiness_mechanism *const readiness_best;

struct readiness; /* what is watched */

struct readiness_event {
    int descriptor;
    void *owner;
    unsigned ready; /* READINESS_READ, READINESS_WRITE or both */
};

/* For descriptors below `limit`: how many may be open, not how many are watched. All memory is
 * allocated here. Returns NULL with errno on failure. */
struct readiness *readiness_new(const struct readiness_mechanism *mechanism, size_t limit);

/* Frees it; NULL is allowed. */
void readiness_free(struct readiness *readiness);

/* Watches `descriptor` for `wanted`, and for nothing else from now on; READINESS_NONE stops
 * watching it. `was` is what was wanted until now: READINESS_NONE for a new descriptor. Returns
 * 0, or -1 with errno, which is EMFILE for a descriptor beyond `limit`, or beyond what select
 * can name. */
int readiness_watch(struct readiness *readiness, int descriptor, unsigned was, unsigned wanted,
                    void *owner);

/* Stops watching a descriptor that is closed next, without a system call where close does it. Not
 * for a file that is open in another process or by dup(2) as well: the kernel would go on reporting
 * it, so stop watching that by readiness_watch. */
void readiness_forget(struct readiness *readiness, int descriptor);

/*
 * Waits for at most `seconds` (negative: without end) and fills `events` with at most `limit`,
 * each descriptor at most once. A `mask` is the signal mask during the wait, as in pselect(2):
 * no signal is lost between a look at what its handler recorded and the wait. Returns how many
 * events, -1 with errno, or 0: the time is over, a signal came, or what was ready is no longer
 * wanted. 0 may come a little early.
 *
 * Where descriptors are ready at once, pending signals may not be delivered (process/signals.h).
 * An error or hang-up is reported as ready to read and to write; by select only as what is wanted.
 */
int readiness_wait(struct readiness *readiness, struct readiness_event *events, size_t limit,
                   double seconds, const sigset_t *mask);

/* What a mechanism does for each of these functions, in the same order; `own` is what `open` has
 * made, NULL with errno on failure. */
struct readiness_mechanism {
    void *(*open)(size_t limit);
    void (*close)(void *own);
    int (*watch)(void *own, int descriptor, unsigned was, unsigned wanted, void *owner);
    void (*forget)(void *own, int descriptor);
    int (*wait)(void *own, struct readiness_event *events, size_t limit, double seconds,
                const sigset_t *mask);
};

#endif
