/*
 * confine.h: what a child gives up before it reads the first byte of its client.
 *
 * A child needs the descriptors that it has, and nothing else; one that accepts its clients
 * itself (pool.h) needs one more. So it lets go of the right to open others, to create processes,
 * to write to files, and to leave a core with a client's data in it: setrlimit (POSIX.1-2008)
 * with RLIMIT_NOFILE, RLIMIT_FSIZE and RLIMIT_CORE, hard and soft, so that only root could
 * raise them again; and platform_confine_child for what POSIX lacks: RLIMIT_NPROC, which does
 * not bind root, or a system's own sandbox. Where neither is known, a child may create processes.
 *
 * What a child still can do: use its client's socket, write to the log, sign off, use the
 * processor, and ask for memory, for as long as it likes: it is the child that keeps its times.
 *
 * poll(2) fails from then on (EINVAL: more descriptors than the limit), so a child waits by
 * the timeouts of its socket.
 *
 * Cost: four system calls a child, no page fault.
 */
#ifndef CONFINE_H
#define CONFINE_H

#include <stdbool.h>

/* Confines this process. `logs` says that it will write to the log, which may be a file;
 * `descriptors`, below which number it may still open any: 0 for none. A failure is left alone:
 * the child serves all the same, with fewer safeguards. */
void confine_child(bool logs, int descriptors);

#endif
