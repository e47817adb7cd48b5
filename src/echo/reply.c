/* reply.c: see reply.h. */
#include "echo/reply.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { TIME_MAX = 26 }; /* ctime_r(3): what it writes, with newline and end */

/* A template is a row of pieces. */
struct piece {
    char field, character; /* the field is m, q, t or a; 0: the character */
};

struct reply {
    size_t count;
    struct piece pieces[REPLY_TEMPLATE_MAX];
};

static void add(struct reply *reply, char field, char character)
{
    reply->pieces[reply->count++] = (struct piece){field, character};
}

/* Adds a byte of at most `most` digits. Returns what comes after them; NULL when it is no byte. */
static const char *add_number(struct reply *reply, const char *at, int base, size_t most)
{
    size_t length = strspn(at, base == 16 ? "0123456789abcdefABCDEF" : "01234567");
    char digits[4];

    snprintf(digits, sizeof digits, "%.*s", length < most ? (int)length : (int)most, at);
    long value = strtol(digits, NULL, base);
    if (length == 0 || value > UINT8_MAX)
        return NULL;
    add(reply, 0, (char)value);
    return at + strlen(digits);
}

/* What a backslash means with the characters behind it. Returns what comes next, or NULL. */
static const char *add_escape(struct reply *reply, const char *at)
{
    static const char letters[] = "abfnrtv\\'\"?", values[] = "\a\b\f\n\r\t\v\\'\"?";
    const char *letter = *at != '\0' ? strchr(letters, *at) : NULL;

    if (*at == 'x')
        return add_number(reply, at + 1, 16, 2);
    if (letter == NULL)
        return add_number(reply, at, 8, 3);
    add(reply, 0, values[letter - letters]);
    return at + 1;
}

/* What a percent sign means with the letter behind it. Returns what comes next, or NULL. */
static const char *add_field(struct reply *reply, const char *at, bool with_message)
{
    if (*at == '\0' || strchr(with_message ? "%mqta" : "%ta", *at) == NULL)
        return NULL;
    if (*at == 't')
        tzset(); /* here and once: children open nothing, so no file of a time zone */
    add(reply, *at == '%' ? 0 : *at, '%');
    return at + 1;
}

static const char *compile(struct reply *reply, const char *text, bool with_message)
{
    while (*text != '\0') {
        if (*text == '\\')
            text = add_escape(reply, text + 1);
        else if (*text == '%')
            text = add_field(reply, text + 1, with_message);
        else
            add(reply, 0, *text++);
        if (text == NULL)
            return with_message
                       ? "a template (%m %q %t %a %% and the escapes \\\\ \\' \\n \\r \\t \\xNN)"
                       : "a greeting (%t %a %% and the escapes \\\\ \\' \\n \\r \\t \\xNN)";
    }
    return NULL;
}

struct reply *reply_compile(const char *text, bool with_message, const char **problem)
{
    struct reply *reply = calloc(1, sizeof *reply);

    if (strlen(text) > REPLY_TEMPLATE_MAX)
        *problem = "a template of at most 4096 characters";
    else
        *problem = reply != NULL ? compile(reply, text, with_message) : "kept: no memory";
    if (*problem == NULL)
        return reply;
    free(reply);
    return NULL;
}

size_t reply_size_max(const struct reply *reply, size_t message_size)
{
    size_t size = 0;

    for (size_t i = 0; i < reply->count; i++)
        switch (reply->pieces[i].field) {
        case 'm': size += message_size; break;
        case 'q': size += 4 * message_size; break;
        case 't': size += TIME_MAX; break;
        case 'a': size += ADDRESS_TEXT_MAX; break;
        default: size++; break;
        }
    return size;
}

size_t reply_escape(const char *bytes, size_t size, char *to)
{
    static const char hex[] = "0123456789abcdef", special[] = "\\'\n\r\t", letters[] = "\\'nrt";
    char *start = to;

    for (size_t i = 0; i < size; i++) {
        unsigned char byte = (unsigned char)bytes[i];
        const char *found = byte != '\0' ? strchr(special, byte) : NULL;
        if (found != NULL) {
            *to++ = '\\';
            *to++ = letters[found - special];
        } else if (byte >= ' ' && byte <= '~') {
            *to++ = (char)byte;
        } else {
            *to++ = '\\';
            *to++ = 'x';
            *to++ = hex[byte >> 4];
            *to++ = hex[byte & 15];
        }
    }
    return (size_t)(to - start);
}

static size_t put_time(char *to)
{
    time_t now = time(NULL);
    struct tm local;

    /* The form of ctime_r(3), which POSIX leaves undefined past the year 9999; in the C locale. */
    if (localtime_r(&now, &local) == NULL)
        return 0;
    return strftime(to, TIME_MAX, "%a %b %e %H:%M:%S %Y", &local);
}

size_t reply_make(const struct reply *reply, const char *message, size_t size,
                  const struct peer *peer, char *to)
{
    char *start = to;

    for (size_t i = 0; i < reply->count; i++)
        switch (reply->pieces[i].field) {
        case 'm':
            memcpy(to, message, size);
            to += size;
            break;
        case 'q': to += reply_escape(message, size, to); break;
        case 't': to += put_time(to); break;
        case 'a': to += strlen(peer_text(peer, to)); break;
        default: *to++ = reply->pieces[i].character; break;
        }
    return (size_t)(to - start);
}
