/*
 * client/client.h: one connection of echoclient(1), and its messages to the user.
 *
 * client/messages.h sends arguments with it, client/copy.h copies standard input, client/parallel.h
 * runs several at once. The socket never blocks: who waits for it does so by clock_poll, with a
 * timeout and together with the other direction.
 *
 * A function whose status is a failure has logged why, in one line on standard error.
 */
#ifndef CLIENT_H
#define CLIENT_H

#include "base/address.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

/* How a client ended: the exit statuses of echoclient, the worse the higher. */
enum client_status {
    CLIENT_ECHOED = 0,
    CLIENT_FAILED = 1,   /* the echo differed, ended early or did not come in time */
    CLIENT_MISUSED = 2,  /* a usage error */
    CLIENT_UNREACHED = 3 /* there is no connection */
};

struct echo_client {
    char name[48];  /* for messages: "echoclient", or "echoclient 3" of several */
    double timeout; /* seconds without progress before it gives up; 0: it never does */
    bool check;     /* compare what comes back with what was sent */
    bool verbose;
    int descriptor; /* the socket, while it is connected */
    uint64_t sent, received;
};

/* Writes one line to standard error, in one write, so that several clients do not mix theirs. */
void client_log(const struct echo_client *client, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

/* Connects to the first of the addresses that answers, each within the timeout. */
enum client_status client_connect(struct echo_client *client, const struct address *addresses,
                                  size_t count);

/* How long to wait for the server, as clock_poll takes it. */
double client_patience(const struct echo_client *client);

/* Send and receive what is possible now, and count it. As send(2) and recv(2), but an interruption
 * is -1 with EAGAIN as well. */
ssize_t client_send(struct echo_client *client, const void *bytes, size_t size);
ssize_t client_receive(struct echo_client *client, void *bytes, size_t room);

/* Writes all of `bytes` to standard output. Returns 0 or -1 (logged). */
int client_print(const struct echo_client *client, const char *bytes, size_t size);

/* Logs that standard output failed with `error`; but for EPIPE, when nobody reads it any more. */
void client_log_output_failure(const struct echo_client *client, int error);

#endif
