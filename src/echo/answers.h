/*
 * answers.h: what a client gets beside plain echo: a greeting, a delay, replies in place of echo.
 *
 * Each message passes through here before it is sent back: for plain echo, two comparisons.
 */
#ifndef ANSWERS_H
#define ANSWERS_H

#include "echo/reply.h"

/* Bytes of a message, and of one read of plain echo: its call costs little beside the copying. */
#define MESSAGE_SIZE_MAX 65536

/* From the command line. All zeros is plain echo. */
struct answers {
    const struct reply *reply;    /* for each message; NULL: the message itself */
    const struct reply *greeting; /* before the first message; NULL: none */
    size_t message_size;          /* bytes of a message at most, where there is a reply */
    double delay;                 /* seconds between the greeting and the first read */
};

/* Bytes to send, and the seconds to wait after them, before more is read. */
struct answer {
    char *bytes;
    size_t size;
    double pause;
};

/* What one read takes at most; and a buffer's size for a message and its reply, or the greeting. */
size_t answers_message_size(const struct answers *answers);
size_t answers_buffer_size(const struct answers *answers);

/* Replaces `answer` where the client at `peer` gets another one. It holds a message at the start of
 * a buffer of answers_buffer_size bytes, or, before the first message, no bytes. */
void answers_apply(const struct answers *answers, const struct peer *peer, struct answer *answer);

#endif
