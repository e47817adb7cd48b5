/*
 * confine.h: what a child gives up before it reads the first byte of its client.
 *
 * A child needs the descriptors that it has, and no others; one that accepts its clients
 * itself (parts/pool.h) needs one more. So it gives up the right to open others, to create
 * processes, to write to files, and to leave a core with a client's data in it. For this it has
 * setrlimit (POSIX.1-2008) with RLIMIT_NOFILE, RLIMIT_FSIZE and RLIMIT_CORE, hard and soft, so that
 * only root could raise them again; and for what POSIX lacks platform_confine_child: RLIMIT_NPROC,
 * which does not bind root, or a system's own sandbox. Where a system has neither, a child may
 * create processes.
 *
 * What a child still can do: use its client's socket, write to the log, write its exit record, use
 * the processor and ask for memory, for as long as it likes: the child itself keeps its timeouts.
 * poll(2) fails from then on (EINVAL: more descriptors than the limit), so it waits with the
 * timeouts of its socket.
 *
 * Cost: four system calls a child, no page fault.
 */
#ifndef CONFINE_H
#define CONFINE_H

#include <stdbool.h>

/* Confines this process. `logs`: it will write to the log, which may be a file. It may still open
 * descriptors below the number `descriptors`; 0: none. Failures are ignored: the child serves all
 * the same, with fewer safeguards. */
void confine_child(bool logs, int descriptors);

#endif
