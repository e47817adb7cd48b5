/*
 * client/copy.h: copies standard input to the server and the echo to standard output.
 *
 * Both directions move at once and neither waits for the other. That is the whole secret of
 * `echoclient host:port <big >copy`: a client that sends everything before it reads
 * deadlocks once the echo fills the buffers on the way, for the server then stops reading.
 *
 * At the end of standard input the connection is half-closed (shutdown(2) with SHUT_WR):
 * the server sees end of file, sends what it still owes and closes, which is our end.
 */
#ifndef CLIENT_COPY_H
#define CLIENT_COPY_H

#include "client/client.h"

/* With `check` at most this many bytes are sent ahead of what has come back: they are kept
 * to be compared. Above what the kernel's buffers hold of one connection by default, so
 * that it does not slow the copy down. */
#define CLIENT_AHEAD_MAX ((size_t)4 << 20)

/* Copies until the server's end of file. It has failed when fewer bytes came back than were
 * sent, and with `check` as soon as one differs. */
enum client_status client_copy(struct client *client);

#endif
