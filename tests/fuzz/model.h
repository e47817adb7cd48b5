/*
 * model.h: replies a second time, plainly: what a template gives, character by character.
 *
 * reply.c compiles a template into pieces; here it is read anew for each message, so the two
 * have no line in common. The model does not know the time: model_has_time says which
 * templates it cannot follow.
 */
#ifndef MODEL_H
#define MODEL_H

#include "echo/reply.h"
#include "fuzz.h"

/* A row of bytes that grows. */
struct bytes {
    char *at;
    size_t size, room;
};

static inline void bytes_add(struct bytes *bytes, const void *more, size_t size)
{
    if (more == NULL || size == 0)
        return;
    if (bytes->size + size > bytes->room) {
        bytes->room = 2 * (bytes->size + size);
        bytes->at = realloc(bytes->at, bytes->room);
        if (bytes->at == NULL)
            abort();
    }
    memcpy(bytes->at + bytes->size, more, size);
    bytes->size += size;
}

static inline bool bytes_are(const struct bytes *bytes, const void *other, size_t size)
{
    return bytes->size == size && (size == 0 || memcmp(bytes->at, other, size) == 0);
}

static inline void bytes_free(struct bytes *bytes)
{
    free(bytes->at);
    *bytes = (struct bytes){.at = NULL};
}

static inline void model_quote(struct bytes *to, const char *message, size_t size)
{
    for (size_t i = 0; i < size; i++) {
        char text[8];
        unsigned char byte = (unsigned char)message[i];

        if (byte == '\\' || byte == '\'')
            snprintf(text, sizeof text, "\\%c", byte);
        else if (byte == '\n' || byte == '\r' || byte == '\t')
            snprintf(text, sizeof text, "\\%c", byte == '\n' ? 'n' : byte == '\r' ? 'r' : 't');
        else if (byte < ' ' || byte > '~')
            snprintf(text, sizeof text, "\\x%02x", byte);
        else
            snprintf(text, sizeof text, "%c", byte);
        bytes_add(to, text, strlen(text));
    }
}

/* The character of an escape at `*at`, behind the backslash. Returns it, or -1. */
static inline int model_escape(const char **at)
{
    static const char letters[] = "abfnrtv\\'\"?", values[] = "\a\b\f\n\r\t\v\\'\"?";
    const char *letter;
    char digits[4] = "";
    bool hex = **at == 'x';
    size_t count = hex ? strspn(*at + 1, "0123456789abcdefABCDEF") : strspn(*at, "01234567");
    size_t most = hex ? 2 : 3;

    if (!hex && count == 0) {
        letter = **at != '\0' ? strchr(letters, **at) : NULL;
        *at += letter != NULL;
        return letter != NULL ? values[letter - letters] & 255 : -1;
    }
    *at += hex;
    count = count < most ? count : most;
    memcpy(digits, *at, count);
    *at += count;
    return count > 0 && strtol(digits, NULL, hex ? 16 : 8) <= 255
               ? (int)strtol(digits, NULL, hex ? 16 : 8)
               : -1;
}

/* Whether a template that compiles tells the time. */
static inline bool model_has_time(const char *template)
{
    for (const char *at = template; *at != '\0'; at++)
        if (*at == '%' && *++at == 't')
            return true;
    return false;
}

/* Adds what `template` gives for a message; NULL: there is none, as in a greeting. Returns
 * false where it is no template. */
static inline bool model_reply(struct bytes *to, const char *template, const char *message,
                               size_t size, const struct peer *peer)
{
    const char *at = template;
    char client[ADDRESS_TEXT_MAX];

    while (*at != '\0') {
        int character = (unsigned char)*at++;

        if (character == '\\')
            character = model_escape(&at);
        else if (character == '%')
            character = *at != '\0' && strchr(message != NULL ? "mqta%" : "ta%", *at) != NULL
                            ? 256 + *at++
                            : -1;
        if (character == -1)
            return false;
        if (character == 256 + 'm')
            bytes_add(to, message, size);
        else if (character == 256 + 'q')
            model_quote(to, message, size);
        else if (character == 256 + 'a')
            bytes_add(to, client, strlen(peer_text(peer, client)));
        else if (character != 256 + 't')
            bytes_add(to, &(char){(char)character}, 1);
    }
    return true;
}

#endif
