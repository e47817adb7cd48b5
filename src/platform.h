/*
 * platform.h: all that POSIX.1-2008 lacks and a good server wants.
 *
 * One file a system: platform_linux.c, and platform_null.c, which does without and says
 * so where it matters. Nothing else in the program asks what system it runs on.
 */
#ifndef PLATFORM_H
#define PLATFORM_H

#include <stddef.h>
#include <sys/types.h>

/*
 * Forks like fork(2), for a single-threaded parent whose child calls only what is
 * async-signal-safe or its own, and ends with _exit. Where it can it leaves out the
 * handlers and locks of libc that such a child does not need: they cost page faults
 * (_Fork, POSIX.1-2024). Elsewhere it is fork itself.
 */
pid_t platform_fork(void);

/*
 * Zeroed memory for the parent alone: children do not inherit it. That keeps the other
 * clients' data out of a child that may be subverted, and the cost of fork independent
 * of the size of the tables (MADV_DONTFORK on Linux). A child that touches it dies.
 * Elsewhere it is ordinary memory. Never given back. NULL with errno on failure.
 */
void *platform_private_memory(size_t size);

/*
 * Keeps from children what they do not need if all they ever do is system calls: the heap,
 * and the pages by which the kernel tells the time (vdso(7)). A child that allocates or
 * looks at the clock all the same dies. Each mapping that fork need not copy makes it
 * cheaper, and cheaper by more the more children live (README, "Figures"). Allocations
 * that are already there stay the parent's. May do nothing.
 */
void platform_keep_from_children(void);

/* Closes the descriptors from `lowest` to `highest`; how many they are costs nothing much. */
void platform_close_range(int lowest, int highest);

/*
 * Writes, as one phrase, the limits that may keep fork from working now, the likely one
 * first: "RLIMIT_NPROC 64, pids.max 512". An empty text where the system does not say.
 */
void platform_process_limits(char *text, size_t size);

#endif
