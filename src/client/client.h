/*
 * client.h: one connection of echoclient(1), and how it says what happened.
 *
 * This is what its three ways of working share: client/messages.h sends arguments,
 * client/copy.h copies standard input, client/parallel.h runs several clients at once.
 * The socket never blocks: whoever waits does so in clock_poll, where a timeout and the
 * other direction are seen too.
 *
 * Functions that return a status have said what went wrong, in one line on standard error.
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

struct client {
    char name[48];  /* for messages: "echoclient", or "echoclient 3" of several */
    double timeout; /* seconds without progress before it gives up; 0: it never does */
    bool check;     /* hold what comes back against what was sent */
    bool verbose;
    int descriptor; /* the socket, while it is connected */
    uint64_t sent, received;
};

/* Says one line on standard error, in one write, so that clients side by side stay apart. */
void client_say(const struct client *client, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

/* Connects to the first of the addresses that answers, each within the timeout. */
enum client_status client_connect(struct client *client, const struct address *addresses,
                                  size_t count);

/* What a wait for the server lasts, as clock_poll takes it. */
double client_patience(const struct client *client);

/* Send and receive what can be moved now, and count it. As send(2) and recv(2), except
 * that -1 with EAGAIN also stands for an interruption. */
ssize_t client_send(struct client *client, const void *bytes, size_t size);
ssize_t client_receive(struct client *client, void *bytes, size_t room);

/* Writes all of `bytes` to standard output. Returns 0 or -1 (said). */
int client_print(const struct client *client, const char *bytes, size_t size);

/* Says that standard output failed with `error`; nothing for EPIPE, where nobody listens. */
void client_say_output_failed(const struct client *client, int error);

#endif
