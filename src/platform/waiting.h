/*
 * waiting.h: what else POSIX.1-2008 lacks, for the programs beside forkecho: to wait with a signal
 * mask, for an exact time, and for the end of the parent; and how long processors have waited.
 * "Elsewhere": see platform.h.
 */
#ifndef WAITING_H
#define WAITING_H

#include <poll.h>
#include <signal.h>

/* ppoll(2) of POSIX.1-2024: poll(2) for at most `seconds` (negative: without end) with `mask` as
 * the signal mask while it waits; NULL: with the mask as it is. Elsewhere a signal that comes just
 * before the wait does not end it; so a wait with a mask ends after PLATFORM_POLL_SLICE seconds at
 * the latest, as if its time were over. */
#define PLATFORM_POLL_SLICE 0.1
int platform_poll(struct pollfd *polls, nfds_t count, double seconds, const sigset_t *mask);

/* Has the system send this process the signal `number` when its parent ends (PR_SET_PDEATHSIG,
 * prctl(2)). Ask afterwards whether it has ended already (getppid). Elsewhere nothing. */
void platform_signal_when_orphaned(int number);

/* Opens a descriptor, for the caller to close, that becomes readable when its time has come, which
 * is exact to less than poll(2)'s millisecond (timerfd_create(2)). -1, as always elsewhere: there
 * is none. Its time is `seconds`, above 0, from the call that sets it. */
int platform_timer(void);
void platform_timer_set(int timer, double seconds);

/* How long the processors of this machine have been idle since it started, and have been there at
 * all, added up and in one unit (proc(5), /proc/stat). Returns 0, or -1 where the system does not
 * say, as always elsewhere. */
int platform_processors(double *idle, double *all);

#endif
