/*
 * confine.h: what a child gives up before it reads the first byte of its client.
 *
 * That is the right to open descriptors, to write to files, and to leave a core with a client's
 * data in it, by setrlimit (POSIX.1-2008), hard and soft, so that only root could raise them again;
 * and to create processes, by platform_confine_child.
 *
 * It can still use its client's socket, the log, its exit record, processor and memory, for as long
 * as it likes. poll(2) fails from then on (EINVAL: more descriptors than the limit), so it waits
 * with the timeouts of its socket. Cost: four system calls a child, no page fault.
 */
#ifndef CONFINE_H
#define CONFINE_H

#include <stdbool.h>

/* `logs`: it will write to the log, which may be a file. It may still open descriptors below the
 * number `descriptors`, as one that accepts clients itself does (parts/pool.h). Failures are
 * ignored: the child serves all the same, with fewer safeguards. */
void confine_child(bool logs, int descriptors);

#endif
