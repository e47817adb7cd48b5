/* descriptors.h: what kind a descriptor is of, and closing some. */
#ifndef DESCRIPTORS_H
#define DESCRIPTORS_H

#include <limits.h>
#include <stdbool.h>

/* The value of a socket's option that is an int (getsockopt); -1 where there is none. */
int descriptors_option(int descriptor, int level, int option);

/* A descriptor for FD_SET, FD_CLR and FD_ISSET, as no libc's macros warn of: glibc's put it into a
 * long, musl's divide it by an unsigned long. */
#define DESCRIPTORS_BIT(descriptor) ((descriptor) & INT_MAX)

/* Closes the descriptors from `lowest` to 4096, async-signal-safe. POSIX.1-2008 cannot ask for the
 * highest that is open, and their limit may be a thousand million. Those that a server is started
 * with are few and low, and so are those that it opens itself, but for its clients. */
void descriptors_close_from(int lowest);

/* Whether a call on a connection failed because its other end, or the way to it, is gone: by a
 * reset, by retransmissions or keepalive probes without an answer, or by what routers and firewalls
 * said of it (tcp(7), ip(7), icmp(7)). */
bool descriptors_lost_peer(int error);

#endif
