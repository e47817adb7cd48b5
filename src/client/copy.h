/*
 * client/copy.h: copies standard input to the server and the echo to standard output.
 *
 * Both directions move at the same time and neither waits for the other, as `echoclient host:port
 * <big >copy` needs: a client that sends everything before it reads is stuck once the echo fills
 * the buffers on the way, as the server then stops reading.
 *
 * At the end of standard input the connection is half-closed (shutdown(2) with SHUT_WR). The server
 * sees end of file, sends the rest of the echo and closes, which ends the copy.
 */
#ifndef CLIENT_COPY_H
#define CLIENT_COPY_H

#include "client/client.h"

/* With `check`, the most bytes that are sent and have not come back: they are kept to be compared.
 * More than the kernel's buffers hold of one connection by default, so that it slows nothing. */
#define CLIENT_AHEAD_MAX ((size_t)4 << 20)

/* Copies until the server's end of file. It fails when fewer bytes came back than were sent, and
 * with `check` as soon as one differs. */
enum client_status client_copy(struct echo_client *client);

#endif
