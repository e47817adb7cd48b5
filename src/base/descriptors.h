/*
 * descriptors.h: what kind a descriptor is of, and how many a process may have.
 */
#ifndef DESCRIPTORS_H
#define DESCRIPTORS_H

/* The value of a socket's option that is an int (getsockopt); -1 where there is none, as for a
 * descriptor that is no socket. */
int descriptors_option(int descriptor, int level, int option);

/* How many descriptors this process may have open (getrlimit, RLIMIT_NOFILE). */
long descriptors_limit(void);

/* Raises the soft limit of open descriptors to the hard one (setrlimit, RLIMIT_NOFILE), for
 * a program that needs one a connection. Returns how many it may have now. */
long descriptors_raise_limit(void);

/* Closes a descriptor that is of no use after a failure. Returns -1, with errno as it was. */
int descriptors_close_failed(int descriptor);

#endif
