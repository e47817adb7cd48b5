/*
 * fuzz.h: what the fuzz harnesses share: reading an input, and saying what does not hold.
 *
 * A harness is one file, fuzz_<what>.c, with one function, LLVMFuzzerTestOneInput, which
 * libFuzzer calls with one input after the other (`make fuzz`; clang), and replay.c with each
 * file of tests/fuzz/corpus/<what> (`make check`; any compiler). It holds what comes out
 * against what the header promises, and calls fuzz_fail where that differs: a crash is only
 * the loudest of defects.
 *
 * An input decides all that its run does: no time, no random number, no state of the run
 * before. So each that fails does so again. Where it can be it is text, lines that one can
 * write by hand; what a line means stands at the head of its harness. An input that says
 * nothing is a run without a test, never an error.
 */
#ifndef FUZZ_H
#define FUZZ_H

#include "base/address.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define FUZZ_LENGTH(array) (sizeof(array) / sizeof(array)[0])

/* Says which promise is broken, and ends the run as a crash, with this input at hand. */
#define FUZZ_HOLDS(condition) \
    ((condition) ? (void)0 : fuzz_fail(__FILE__, __LINE__, #condition))

static inline _Noreturn void fuzz_fail(const char *file, int line, const char *promise)
{
    fprintf(stderr, "%s:%d: this does not hold: %s\n", file, line, promise);
    abort();
}

/* ---- an input, taken from its start ---- */

struct input {
    const uint8_t *at;
    size_t left;
};

static inline struct input input_of(const uint8_t *data, size_t size)
{
    return (struct input){data, size};
}

/* The next byte; 0 behind the end. */
static inline uint8_t take_byte(struct input *input)
{
    if (input->left == 0)
        return 0;
    input->left--;
    return *input->at++;
}

/* The next `size` bytes, the first being the highest; zeros behind the end. */
static inline uint64_t take_word(struct input *input, size_t size)
{
    uint64_t word = 0;

    for (size_t i = 0; i < size; i++)
        word = word << 8 | take_byte(input);
    return word;
}

/* At most `most` of what is left, where it lies. */
static inline struct input take_part(struct input *input, size_t most)
{
    struct input part = {input->at, most < input->left ? most : input->left};

    input->at += part.left;
    input->left -= part.left;
    return part;
}

/* A copy of the next line, without its newline, as a string: what stands behind a NUL is not
 * in it. The caller's to free, and without room behind it, so that a sanitizer sees whoever
 * reads on. NULL behind the end. */
static inline char *take_line(struct input *input)
{
    const uint8_t *newline;
    size_t length;
    char *line;

    if (input->left == 0)
        return NULL;
    newline = memchr(input->at, '\n', input->left);
    length = newline != NULL ? (size_t)(newline - input->at) : input->left;
    line = strndup((const char *)input->at, length);
    if (line == NULL)
        abort();
    take_part(input, length + 1);
    return line;
}

/* Memory that is there. */
static inline void *fuzz_memory(size_t size)
{
    void *memory = malloc(size > 0 ? size : 1);

    if (memory == NULL)
        abort();
    return memory;
}

/* Addresses and what holds them are compared byte by byte: all of their bytes are set. */
static inline bool same_bytes(const void *one, const void *other, size_t size)
{
    return memcmp(one, other, size) == 0;
}

/* ---- texts and clients ---- */

/* Whether all of it can stand in one line of a log. */
static inline bool is_plain(const char *text)
{
    for (; *text != '\0'; text++)
        if ((unsigned char)*text < ' ' || *text == 127)
            return false;
    return true;
}

/* Whether a client can be told: its name ends in time, and is one line. */
static inline bool can_be_told(const struct peer *peer)
{
    char text[ADDRESS_TEXT_MAX + 1];

    memset(text, 'x', sizeof text);
    (void)peer_text(peer, text);
    return memchr(text, '\0', ADDRESS_TEXT_MAX) != NULL && text[0] != '\0' && is_plain(text);
}

/* A client of this family (AF_UNIX for any other), with so much of 16 bytes as its address has. */
static inline struct peer peer_of(sa_family_t family, const uint8_t *bytes, in_port_t port)
{
    struct peer peer;

    memset(&peer, 0, sizeof peer);
    peer.name.any.sa_family = AF_UNIX;
    if (family == AF_INET) {
        peer.name.v4.sin_family = AF_INET;
        peer.name.v4.sin_port = port;
        memcpy(&peer.name.v4.sin_addr, bytes, 4);
    } else if (family == AF_INET6) {
        peer.name.v6.sin6_family = AF_INET6;
        peer.name.v6.sin6_port = port;
        memcpy(&peer.name.v6.sin6_addr, bytes, 16);
    }
    return peer;
}

#endif
