/*
 * close.h: closing what somebody else can make slow to close.
 *
 * A client of a Unix socket can pass a TCP socket that has SO_LINGER and more to send than its peer
 * reads. While the message lies in the queue, the TCP socket goes with the Unix socket, and whoever
 * closes that last waits for as long as SO_LINGER says. On Linux the exit of a process does not.
 */
#ifndef CLOSE_H
#define CLOSE_H

/* Closes a descriptor. If that was the last of its socket, it is the exit of a process of its own
 * that closes the socket: this costs a fork. Where there is none to be had it is a plain close. */
void close_by_exit(int descriptor);

#endif
