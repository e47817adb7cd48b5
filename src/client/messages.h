/*
 * client/messages.h: sends messages, each after the reply to the one before it.
 *
 * TCP has no messages, so what a reply is must be decided. It is complete when at least as many
 * bytes have come as were sent, with what arrived together with them: a server may put words around
 * the echo. It may also answer with less, so a reply is complete as well when it has begun and the
 * server has then been silent for CLIENT_QUIET. With `check` a reply is exactly what was sent,
 * however slowly it comes.
 */
#ifndef CLIENT_MESSAGES_H
#define CLIENT_MESSAGES_H

#include "client/client.h"

/* Seconds of silence that end a reply shorter than its message: more than the 40 ms for which a
 * delayed acknowledgement can hold back the second part of a reply, and short for a user. */
#define CLIENT_QUIET 0.2

/* Sends the messages `repeat` times over and prints each reply on a line. No message may be empty:
 * there would be no reply to wait for. */
enum client_status client_messages(struct echo_client *client, char *const *messages, size_t count,
                                   long repeat);

#endif
