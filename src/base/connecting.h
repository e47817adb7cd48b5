/*
 * connecting.h: how a connection that is under way turns out.
 *
 * connect(2) on a socket that does not block goes on in the background. The socket becomes
 * writable once it is over, and holds the error, if there was one (POSIX.1-2008, connect).
 */
#ifndef CONNECTING_H
#define CONNECTING_H

/* The error of a connect that failed, or 0. The socket forgets it then. */
int connecting_error(int descriptor);

/* Waits for at most `seconds` (below 0: without end), also through signals, until the connection
 * is made. Returns 0, or -1 with errno: ETIMEDOUT, or why it failed. */
int connecting_wait(int descriptor, double seconds);

/* Closes a socket that is of no use after a failure. Returns -1, with errno as it was. */
int connecting_failed(int descriptor);

#endif
