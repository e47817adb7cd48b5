/*
 * activation.h: sockets that the service manager hands over (sd_listen_fds(3), without libsystemd).
 *
 * They are the descriptors from ACTIVATION_FIRST on. They are shared with the manager, which goes
 * on listening after us: close them, but never shutdown(2) them nor unlink their files.
 */
#ifndef ACTIVATION_H
#define ACTIVATION_H

#include <stddef.h>

#define ACTIVATION_FIRST 3 /* SD_LISTEN_FDS_START */

/* Takes LISTEN_FDS, LISTEN_PID and LISTEN_FDNAMES (and LISTEN_PIDFDID) from the environment and
 * unsets them. They count only where LISTEN_PID is the pid of this process. Makes the sockets
 * close-on-exec and non-blocking. Call it before anything is opened, which could take the number of
 * a socket that is missing. Returns 0, or -1 (logged): the variables are malformed, there are more
 * sockets than `limit`, or one is no stream socket that listens, of IPv4, IPv6 or Unix.
 * activation_count: how many were handed over. */
int activation_open(size_t limit);
int activation_count(void);

#endif
