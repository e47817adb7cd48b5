/* inherited.h: the descriptors that a process was started with, most of them by accident. */
#ifndef INHERITED_H
#define INHERITED_H

#include <stddef.h>

/* Opens /dev/null on 0, and on 1 and 2 where they are closed, so that none becomes a client's
 * socket on which a stray message would appear. Closes all from `lowest_free` on. Returns 0, or -1
 * with errno where /dev/null cannot be opened: then nothing else may be. */
int inherited_tidy(int lowest_free);

/* For a child, whose descriptors then do not depend on what its parent had open, nor in which
 * order: keeps `count` beside the standard ones, and closes all others. kept[i] is moved to 3 + i,
 * and says so then; one that moves stays open at exec. Async-signal-safe; needs no number more. */
void inherited_keep_only(int *kept, size_t count);

#endif
