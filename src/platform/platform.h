/*
 * platform.h: all that POSIX.1-2008 lacks and a good server wants.
 *
 * One file a system: platform/linux.c, and platform/null.c, which does without and says
 * so where it matters. Nothing else in the program asks what system it runs on.
 */
#ifndef PLATFORM_H
#define PLATFORM_H

#include <poll.h>
#include <signal.h>
#include <stdbool.h>
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

/* Has ps(1) show what stands in `area`, up to its first NUL, as the command line of this
 * process; its last byte is the function's. Call it once before a chroot. Returns 0, or -1 where
 * the system cannot. */
int platform_show_title(char *area, size_t size);

/* A new file without a name, readable and writable, gone with its last descriptor, which is
 * close-on-exec. Returns the descriptor, or -1 with errno. */
int platform_anonymous_file(void);

/* The same for somebody else to write to: it has `size` bytes, all of them NUL, and where the
 * system can see to that it never gets more, so that his writes fail beyond. */
int platform_sealed_file(size_t size);

/* Closes the descriptors from `lowest` to `highest`; how many they are costs nothing much. */
void platform_close_range(int lowest, int highest);

/*
 * poll(2) for at most `seconds` (negative: without end), with the signals let in that `mask` leaves
 * open, as pselect(2) does it; NULL: as they are. So POSIX.1-2024 has it (ppoll). Elsewhere
 * a signal that comes as the wait begins may end it only after PLATFORM_POLL_SLICE seconds,
 * and a wait with a mask ends after those at the latest, as if its time were over.
 */
#define PLATFORM_POLL_SLICE 0.1
int platform_poll(struct pollfd *polls, nfds_t count, double seconds, const sigset_t *mask);

/* Makes `count` groups the supplementary groups of the process (setgroups(2)). POSIX can only
 * ask for them. Returns 0, or -1 with errno: EPERM without the privilege, ENOSYS where the
 * system cannot. */
int platform_set_groups(size_t count, const gid_t *groups);

/* Makes `path` the root of the process (chroot(2), which POSIX.1-2001 dropped). The working
 * directory stays where it was: the caller changes it. Returns 0, or -1 with errno: EPERM
 * without the privilege, ENOSYS where the system cannot. */
int platform_change_root(const char *path);

/*
 * Once the identity is taken: gives up what privileges are left to a process that is not root
 * (capabilities(7)), and keeps it and all its children from ever gaining any by what they
 * execute (PR_SET_NO_NEW_PRIVS). May do nothing.
 */
void platform_forbid_privileges(void);

/*
 * Whether others of the same user, such as a subverted child, are kept from tracing this process
 * and reading its memory: so it is on Linux once a process has changed its user
 * (PR_SET_DUMPABLE, prctl(2)), until it executes another program, which has to ask for it
 * again. Elsewhere not known, and nothing.
 */
bool platform_is_untraceable(void);
void platform_forbid_tracing(void);

/* Takes from a child what POSIX cannot (confine.h): the right to create processes (RLIMIT_NPROC)
 * on Linux and FreeBSD, all but its descriptors by pledge(2) on OpenBSD and cap_enter(2) on
 * FreeBSD. May do nothing. */
void platform_confine_child(void);

/*
 * Has the system send this process a signal when its parent ends (PR_SET_PDEATHSIG, prctl(2)).
 * Ask afterwards whether it has ended already. May do nothing: POSIX has no such thing.
 */
void platform_signal_when_orphaned(int number);

/*
 * A descriptor that becomes readable when its time has come, for waits that must end sooner than
 * the whole millisecond of poll(2): timerfd_create(2) on Linux. The caller closes it. Returns
 * it, or -1 where there is none.
 */
int platform_timer(void);

/* Sets its time, in `seconds` above 0 from now; until then it is not readable. */
void platform_timer_set(int timer, double seconds);

/*
 * Writes, as one phrase, the limits that may keep fork from working now, the lowest first, which
 * is the likely one: "RLIMIT_NPROC 64, pids.max 512". An empty text where the system does not say.
 */
void platform_process_limits(char *text, size_t size);

#endif
