/* pattern.c: see pattern.h. */
#include "base/pattern.h"

#include <string.h>

/* How far apart two numbers in a row start: about the golden section of the period, so that no two
 * connections at the same time start near each other. */
#define ORIGIN_STEP 162011

/* Marsaglia's xorshift64 ("Xorshift RNGs", 2003), which need only make no two stretches alike. */
void pattern_fill(struct pattern *pattern)
{
    uint64_t state = 88172645463325252U;

    for (size_t i = 0; i < PATTERN_PERIOD; i++) {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        pattern->bytes[i] = (unsigned char)(state >> 32);
    }
    /* The beginning again, so that a slice need not be cut where the table goes round. */
    memcpy(pattern->bytes + PATTERN_PERIOD, pattern->bytes, PATTERN_SLICE_MAX);
}

uint32_t pattern_origin(uint64_t number)
{
    return (uint32_t)(number % PATTERN_PERIOD * ORIGIN_STEP % PATTERN_PERIOD);
}

const unsigned char *pattern_slice(const struct pattern *pattern, uint32_t origin,
                                   uint64_t position)
{
    return pattern->bytes + (origin + position % PATTERN_PERIOD) % PATTERN_PERIOD;
}
