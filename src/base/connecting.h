/*
 * connecting.h: how a connection that is under way turns out.
 *
 * connect(2) on a socket that does not block goes on behind our back. The socket becomes
 * writable once it is over, and holds the error, if there was one (POSIX.1-2008, connect).
 */
#ifndef CONNECTING_H
#define CONNECTING_H

/* The error that a failed connect left on the socket, and forgets it; 0 when there is none. */
int connecting_error(int descriptor);

/* What poll(2) for POLLOUT says of a connection, `ready`, as a result: 0 when it stands, or -1
 * with errno, which is ETIMEDOUT where nothing has happened. */
int connecting_result(int descriptor, int ready);

#endif
