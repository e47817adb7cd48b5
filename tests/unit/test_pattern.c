/* test_pattern.c: the bytes that a load generator sends, and knows again (pattern.h). */
#include "suite.h"

#include "base/pattern.h"

static struct pattern pattern;

static unsigned char byte_at(uint32_t origin, uint64_t position)
{
    return *pattern_slice(&pattern, origin, position);
}

/* Catches a slice that breaks where the table goes round, or that reads beyond it. */
START_TEST(a_slice_is_the_bytes_from_its_position_on)
{
    static const uint64_t positions[] = {0, 1, PATTERN_PERIOD - 1, PATTERN_PERIOD,
                                         PATTERN_PERIOD + 1, PATTERN_PERIOD - PATTERN_SLICE_MAX};
    static const uint32_t origins[] = {0, 1, PATTERN_PERIOD - 1};

    pattern_fill(&pattern);
    for (size_t i = 0; i < SUITE_LENGTH(positions); i++)
        for (size_t j = 0; j < SUITE_LENGTH(origins); j++) {
            const unsigned char *slice = pattern_slice(&pattern, origins[j], positions[i]);
            ck_assert(slice >= pattern.bytes);
            ck_assert(slice + PATTERN_SLICE_MAX <= pattern.bytes + sizeof pattern.bytes);
            for (uint64_t k = 0; k < PATTERN_SLICE_MAX; k += 997)
                ck_assert_uint_eq(slice[k], byte_at(origins[j], positions[i] + k));
        }
}
END_TEST

/* Catches a position that overflows: a stream may run for days. */
START_TEST(the_pattern_goes_round)
{
    const uint64_t rounds = UINT64_MAX / PATTERN_PERIOD;

    pattern_fill(&pattern);
    ck_assert_ptr_eq(pattern_slice(&pattern, 7, 11), pattern_slice(&pattern, 7, PATTERN_PERIOD + 11));
    ck_assert_ptr_eq(pattern_slice(&pattern, 7, 11),
                     pattern_slice(&pattern, 7, (rounds - 1) * PATTERN_PERIOD + 11));
}
END_TEST

static int compare_words(const void *one, const void *other)
{
    uint64_t a = *(const uint64_t *)one, b = *(const uint64_t *)other;

    return a < b ? -1 : a > b;
}

/* Catches a table in which some stretch comes twice: bytes from the wrong place would compare. */
START_TEST(no_eight_bytes_come_twice)
{
    static uint64_t words[PATTERN_PERIOD];
    size_t twice = 0; /* one assertion for all: each is a system call */

    pattern_fill(&pattern);
    for (size_t i = 0; i < PATTERN_PERIOD; i++)
        memcpy(&words[i], pattern.bytes + i, sizeof words[i]);
    qsort(words, PATTERN_PERIOD, sizeof words[0], compare_words);
    for (size_t i = 1; i < PATTERN_PERIOD; i++)
        twice += words[i - 1] == words[i];
    ck_assert_uint_eq(twice, 0);
}
END_TEST

/* Catches two connections that send the same, whose bytes could be crossed unseen. */
START_TEST(a_period_of_connections_have_different_origins)
{
    static bool taken[PATTERN_PERIOD];
    size_t different = 0;

    for (uint64_t number = 1000; number < 1000 + PATTERN_PERIOD; number++) {
        uint32_t origin = pattern_origin(number);
        different += origin < PATTERN_PERIOD && !taken[origin];
        taken[origin % PATTERN_PERIOD] = true;
    }
    ck_assert_uint_eq(different, PATTERN_PERIOD);
    ck_assert_uint_lt(pattern_origin(UINT64_MAX), PATTERN_PERIOD);
}
END_TEST

/* Catches neighbours whose stretches overlap while both send long messages. */
START_TEST(neighbours_are_far_apart)
{
    for (uint64_t number = 0; number < 1000; number++) {
        uint32_t one = pattern_origin(number), next = pattern_origin(number + 1);
        uint32_t apart = one < next ? next - one : one - next;
        ck_assert_uint_gt(apart, PATTERN_SLICE_MAX);
        ck_assert_uint_lt(apart, PATTERN_PERIOD - PATTERN_SLICE_MAX);
    }
}
END_TEST

SUITE("pattern", a_slice_is_the_bytes_from_its_position_on, the_pattern_goes_round,
      no_eight_bytes_come_twice, a_period_of_connections_have_different_origins,
      neighbours_are_far_apart)
