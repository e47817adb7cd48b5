/* descriptors.h: what kind a descriptor is of, and how many a process may have. */
#ifndef DESCRIPTORS_H
#define DESCRIPTORS_H

#include <limits.h>

/* The value of a socket's option that is an int (getsockopt); -1 where there is none. */
int descriptors_option(int descriptor, int level, int option);

/* A descriptor for FD_SET, FD_CLR and FD_ISSET, as no libc's macros warn of: glibc's put it into a
 * long, musl's divide it by an unsigned long. */
#define DESCRIPTORS_BIT(descriptor) ((descriptor) & INT_MAX)

/* RLIMIT_NOFILE of this process: as it is, and after raising the soft limit to the hard one. */
long descriptors_limit(void);
long descriptors_raise_limit(void);

/* Closes a descriptor that is of no use after a failure. Returns -1, with errno as it was. */
int descriptors_close_failed(int descriptor);

#endif
