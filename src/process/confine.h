/*
 * confine.h: what a server does without that it was started with, and what a child gives up before
 * it reads the first byte of its client.
 *
 * For a child that is all descriptors that it does not need; the right to open others, to write to
 * files, and to leave a core with a client's data in it, by setrlimit (POSIX.1-2008), hard and
 * soft, so that only root could raise them again; and to create processes, by
 * platform_confine_child.
 *
 * It can still use its client's socket, the log, its exit record, processor and memory, for as long
 * as it likes. poll(2) fails from then on (EINVAL: more descriptors than the limit), so it waits
 * with the timeouts of its socket. Cost: four system calls a child, no page fault.
 */
#ifndef CONFINE_H
#define CONFINE_H

#include <stdbool.h>
#include <stddef.h>

/* Opens /dev/null on 0, and on 1 and 2 where they are closed, so that none becomes a client's
 * socket on which a stray message would appear. Closes all from `lowest_free` on. Returns 0, or -1
 * with errno where /dev/null cannot be opened: then nothing else may be. */
int confine_server(int lowest_free);

/* For a child, whose descriptors then do not depend on what its parent had open, nor in which
 * order: keeps `count` beside the standard ones, and closes all others. kept[i] is moved to 3 + i,
 * and says so then; one that moves stays open at exec. `logs`: the log's is kept as well, if it has
 * one, and `kept` has room for it. Returns the lowest number that is free then. Async-signal-safe;
 * needs no number more. */
int confine_descriptors(int *kept, size_t count, bool logs);

/* `logs`: it will write to the log, which may be a file. It may still open descriptors below the
 * number `descriptors`, as one that accepts clients itself does (parts/pool.h). Failures are
 * ignored: the child serves all the same, with fewer safeguards. */
void confine_child(bool logs, int descriptors);

#endif
