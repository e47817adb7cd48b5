/*
 * inherited.h: the descriptors that a process was started with, most of them by accident.
 */
#ifndef INHERITED_H
#define INHERITED_H

#include <stddef.h>

/* Opens /dev/null on those of 0, 1 and 2 that are closed, so that none of them becomes a client's
 * socket on which a stray message would appear, and on 0 in any case. Closes all from `lowest_free`
 * on. Returns 0, or -1 with errno where /dev/null cannot be opened: then nothing else may be, for
 * it could become one of 0, 1 and 2. */
int inherited_tidy(int lowest_free);

/* Keeps `count` descriptors beside the standard ones, and closes all others: kept[i] is moved to
 * STDERR_FILENO + 1 + i, wherever it was, and changed to say so. A kept one has no close-on-exec
 * from then on. For a child, whose descriptors then do not depend on what its parent had open, nor
 * in which order. Async-signal-safe. */
void inherited_keep_only(int *kept, size_t count);

/* Closes all descriptors from `lowest` on. */
void inherited_close_from(int lowest);

#endif
