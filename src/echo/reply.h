/*
 * reply.h: templates of replies and greetings, compiled at the start, where errors show.
 *
 * `%m` the message, `%q` the message quoted (escaped as between the quotes of a C or Python bytes
 * literal), `%t` the time as ctime(3) without its newline, `%a` the client's address, `%%` a
 * percent sign; backslash escapes as in C.
 */
#ifndef REPLY_H
#define REPLY_H

#include "base/address.h"

#define REPLY_TEMPLATE_MAX 4096     /* characters of a template */
#define REPLY_SIZE_MAX (16UL << 20) /* bytes of a reply: every session keeps room for one */

struct reply; /* a compiled template */

/* Compiles `text`; `with_message` says whether %m and %q exist (not in a greeting).
 * Returns it, the caller's to free, or NULL; `*problem` then says what is wrong. */
struct reply *reply_compile(const char *text, bool with_message, const char **problem);

/* The most bytes that the reply to a message of up to `message_size` bytes can have. */
size_t reply_size_max(const struct reply *reply, size_t message_size);

/* Writes the reply into `to`, of reply_size_max bytes, apart from the message. Returns its size. */
size_t reply_make(const struct reply *reply, const char *message, size_t size,
                  const struct peer *peer, char *to);

/* Writes `size` bytes escaped, without an end. Returns how many, at most four times `size`. */
size_t reply_escape(const char *bytes, size_t size, char *to);

#endif
