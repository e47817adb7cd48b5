/*
 * descriptors.h: the descriptors that a server starts with, what they are, and how many it may
 * have.
 */
#ifndef DESCRIPTORS_H
#define DESCRIPTORS_H

/*
 * Makes 0, 1 and 2 open, on /dev/null where they were not, so that none of them becomes a
 * client's socket on which a stray message would appear; and closes all from `lowest_free`
 * on, which whoever started us left open by accident. 0 is /dev/null from then on. Returns 0, or -1
 * with errno where /dev/null cannot be opened: then nothing may be opened at all.
 */
int descriptors_tidy(int lowest_free);

/* An option of a socket whose value is an int; -1 where the descriptor has no such option, as
 * when it is none of a socket (getsockopt). */
int descriptors_option(int descriptor, int level, int option);

/* Closes all descriptors from `lowest` on. */
void descriptors_close_from(int lowest);

/* How many descriptors this process may have open (getrlimit, RLIMIT_NOFILE). */
long descriptors_limit(void);

/* Raises the soft limit of open descriptors to the hard one (setrlimit, RLIMIT_NOFILE), for
 * a program that needs one a connection. Returns how many it may have now. */
long descriptors_raise_limit(void);

#endif
