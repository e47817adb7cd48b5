/*
 * descriptors.h: what a descriptor is, and how many a process may have.
 */
#ifndef DESCRIPTORS_H
#define DESCRIPTORS_H

/* An option of a socket whose value is an int; -1 where the descriptor has no such option, as
 * when it is none of a socket (getsockopt). */
int descriptors_option(int descriptor, int level, int option);

/* How many descriptors this process may have open (getrlimit, RLIMIT_NOFILE). */
long descriptors_limit(void);

/* Raises the soft limit of open descriptors to the hard one (setrlimit, RLIMIT_NOFILE), for
 * a program that needs one a connection. Returns how many it may have now. */
long descriptors_raise_limit(void);

/* Closes a descriptor that is of no use after a failure. Returns -1, with errno as it was. */
int descriptors_close_failed(int descriptor);

#endif
