/*
 * pattern.h: the bytes that a load generator sends, and checks.
 *
 * All connections send from one table of pseudo-random bytes, each from a place of its own, going
 * round. So a byte depends on the connection and on its position, and bytes that are changed, lost,
 * doubled, shifted or another connection's are found. Nothing is generated or copied while
 * measuring: sending is a slice of the table, checking is one memcmp.
 */
#ifndef PATTERN_H
#define PATTERN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* The table goes round after this many bytes. A prime, which no size of message or buffer divides,
 * so that a shift by whole messages is found; near 256 KiB, which caches hold. */
#define PATTERN_PERIOD 262139

/* Longest slice: the most that one read or write moves. */
#define PATTERN_SLICE_MAX 65536

struct pattern {
    unsigned char bytes[PATTERN_PERIOD + PATTERN_SLICE_MAX];
};

void pattern_fill(struct pattern *pattern);

/* Where connection `number` starts in the table. PATTERN_PERIOD numbers in a row start at different
 * places. */
uint32_t pattern_origin(uint64_t number);

/* The bytes at `position` of a connection that started at `origin`: PATTERN_SLICE_MAX of them. */
const unsigned char *pattern_slice(const struct pattern *pattern, uint32_t origin,
                                   uint64_t position);

#endif
