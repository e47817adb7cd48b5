/* reply.c: see reply.h. */
#include "echo/reply.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { TIME_MAX = 26 }; /* ctime_r(3): what it writes, with newline and end */

enum piece_kind { PIECE_TEXT, PIECE_MESSAGE, PIECE_QUOTED, PIECE_TIME, PIECE_ADDRESS };

/* A template is a row of pieces; the text of the literal ones stands in `text`. */
struct piece {
    enum piece_kind kind;
    size_t start, size; /* of a PIECE_TEXT */
};

struct reply {
    size_t count;
    struct piece pieces[REPLY_TEMPLATE_MAX];
    char text[REPLY_TEMPLATE_MAX];
    size_t text_size;
};

static void add_character(struct reply *reply, char character)
{
    struct piece *last = reply->count > 0 ? &reply->pieces[reply->count - 1] : NULL;

    if (last == NULL || last->kind != PIECE_TEXT) {
        last = &reply->pieces[reply->count++];
        *last = (struct piece){PIECE_TEXT, reply->text_size, 0};
    }
    reply->text[reply->text_size++] = character;
    last->size++;
}

static int hex_digit(char digit)
{
    const char *digits = "0123456789abcdef0123456789ABCDEF";
    const char *found = digit != '\0' ? strchr(digits, digit) : NULL;

    return found != NULL ? (int)((found - digits) % 16) : -1;
}

/* The one or two hexadecimal digits of \x. Returns what comes after them, or NULL. */
static const char *add_hex(struct reply *reply, const char *at)
{
    int value = hex_digit(*at);

    if (value == -1)
        return NULL;
    if (hex_digit(*++at) != -1)
        value = value * 16 + hex_digit(*at++);
    add_character(reply, (char)value);
    return at;
}

/* One to three octal digits. Returns what comes after them, or NULL when it is no byte. */
static const char *add_octal(struct reply *reply, const char *at)
{
    int value = 0;

    for (int digits = 0; digits < 3 && *at >= '0' && *at <= '7'; digits++)
        value = value * 8 + (*at++ - '0');
    if (value > UINT8_MAX)
        return NULL;
    add_character(reply, (char)value);
    return at;
}

/* What a backslash means with the characters behind it. Returns what comes next, or NULL. */
static const char *add_escape(struct reply *reply, const char *at)
{
    static const char letters[] = "abfnrtv\\'\"?";
    static const char values[] = "\a\b\f\n\r\t\v\\'\"?";
    const char *letter = *at != '\0' ? strchr(letters, *at) : NULL;

    if (*at == 'x')
        return add_hex(reply, at + 1);
    if (*at >= '0' && *at <= '7')
        return add_octal(reply, at);
    if (letter == NULL)
        return NULL;
    add_character(reply, values[letter - letters]);
    return at + 1;
}

/* What a percent sign means with the letter behind it. Returns what comes next, or NULL. */
static const char *add_field(struct reply *reply, const char *at, bool with_message)
{
    static const char letters[] = "mqta";
    static const enum piece_kind kinds[] = {PIECE_MESSAGE, PIECE_QUOTED, PIECE_TIME, PIECE_ADDRESS};
    const char *letter = *at != '\0' ? strchr(letters, *at) : NULL;

    if (*at == '%') {
        add_character(reply, '%');
        return at + 1;
    }
    if (letter == NULL || (!with_message && (*at == 'm' || *at == 'q')))
        return NULL;
    reply->pieces[reply->count++].kind = kinds[letter - letters];
    /* Children open nothing: the time zone is read here, once. */
    if (*at == 't')
        tzset();
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
            add_character(reply, *text++);
        if (text == NULL)
            return with_message
                       ? "a template (%m %q %t %a %% and the escapes \\\\ \\' \\n \\r \\t \\xNN)"
                       : "a greeting (%t %a %% and the escapes \\\\ \\' \\n \\r \\t \\xNN)";
    }
    return NULL;
}

struct reply *reply_compile(const char *text, bool with_message, const char **problem)
{
    struct reply *reply;

    if (strlen(text) > REPLY_TEMPLATE_MAX) {
        *problem = "a template of at most 4096 characters";
        return NULL;
    }
    reply = calloc(1, sizeof *reply);
    *problem = reply != NULL ? compile(reply, text, with_message) : "kept: no memory";
    if (*problem == NULL)
        return reply;
    reply_free(reply);
    return NULL;
}

void reply_free(struct reply *reply)
{
    free(reply);
}

size_t reply_size_max(const struct reply *reply, size_t message_size)
{
    const size_t most[] = {[PIECE_TEXT] = 0,
                           [PIECE_MESSAGE] = message_size,
                           [PIECE_QUOTED] = 4 * message_size,
                           [PIECE_TIME] = TIME_MAX,
                           [PIECE_ADDRESS] = ADDRESS_TEXT_MAX};
    size_t size = reply->text_size;

    for (size_t i = 0; i < reply->count; i++)
        size += most[reply->pieces[i].kind];
    return size;
}

size_t reply_escape(const char *bytes, size_t size, char *to)
{
    static const char hex[] = "0123456789abcdef";
    static const char special[] = "\\'\n\r\t";
    static const char letters[] = "\\'nrt";
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

static size_t put_text(char *to, const char *text, size_t size)
{
    memcpy(to, text, size);
    return size;
}

size_t reply_make(const struct reply *reply, const char *message, size_t size,
                  const struct peer *peer, char *to)
{
    char address[ADDRESS_TEXT_MAX];
    char *start = to;

    for (size_t i = 0; i < reply->count; i++) {
        const struct piece *piece = &reply->pieces[i];
        switch (piece->kind) {
        case PIECE_TEXT:
            to += put_text(to, reply->text + piece->start, piece->size);
            break;
        case PIECE_MESSAGE:
            to += put_text(to, message, size);
            break;
        case PIECE_QUOTED:
            to += reply_escape(message, size, to);
            break;
        case PIECE_TIME:
            to += put_time(to);
            break;
        case PIECE_ADDRESS:
            peer_text(peer, address);
            to += put_text(to, address, strlen(address));
            break;
        }
    }
    return (size_t)(to - start);
}
