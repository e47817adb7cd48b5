/* test_histogram.c: durations in buckets, and percentiles from them (histogram.h). */
#include "suite.h"

#include "base/histogram.h"

/* What the header promises: better than 1 %; but no better than its unit, a nanosecond. */
#define CLOSE_TO(seconds, expected) \
    ck_assert_double_eq_tol((seconds), (expected), 0.01 * (expected) + 1e-9)

/* Each test is a process of its own, so this is empty at its start. */
static struct histogram histogram;

/* Catches a bucket whose middle is not near what was put in, at any size from nanoseconds to
 * months, above all at the powers of two where the width of the buckets changes. */
START_TEST(a_value_comes_back_within_one_percent)
{
    for (int power = 0; power < 53; power++)
        for (int part = -1; part < 16; part++) {
            double seconds = (double)(UINT64_C(1) << power) * (1 + part / 16.0) / 1e9;
            memset(&histogram, 0, sizeof histogram);
            histogram_record(&histogram, seconds);
            histogram_record(&histogram, 1e8); /* else the exact longest would be told */
            CLOSE_TO(histogram_percentile(&histogram, 50), seconds);
        }
}
END_TEST

/* Catches two neighbours in the wrong order: a percentile would then fall as it rises. */
START_TEST(longer_durations_are_never_in_lower_buckets)
{
    double last = 0;

    for (uint64_t nanoseconds = 0; nanoseconds < 5000; nanoseconds++) {
        double middle;
        memset(&histogram, 0, sizeof histogram);
        histogram_record(&histogram, (double)nanoseconds / 1e9);
        histogram_record(&histogram, 1);
        middle = histogram_percentile(&histogram, 50);
        ck_assert(middle >= last);
        last = middle;
    }
}
END_TEST

/* Catches a rank that is one off: of 100 values p99 is the 99th, and of 10 the 10th. */
START_TEST(percentiles_are_of_the_nearest_rank)
{
    for (int i = 1; i <= 10; i++)
        histogram_record(&histogram, i * 1e-3);
    CLOSE_TO(histogram_percentile(&histogram, 1), 1e-3);
    CLOSE_TO(histogram_percentile(&histogram, 10), 1e-3);
    CLOSE_TO(histogram_percentile(&histogram, 10.1), 2e-3);
    CLOSE_TO(histogram_percentile(&histogram, 50), 5e-3);
    CLOSE_TO(histogram_percentile(&histogram, 90), 9e-3);
    CLOSE_TO(histogram_percentile(&histogram, 99), 10e-3);
    for (int i = 11; i <= 100; i++)
        histogram_record(&histogram, i * 1e-3);
    CLOSE_TO(histogram_percentile(&histogram, 50), 50e-3);
    CLOSE_TO(histogram_percentile(&histogram, 99), 99e-3);
    CLOSE_TO(histogram_percentile(&histogram, 99.5), 100e-3);
}
END_TEST

/* Catches a percentile above the longest, which no one measured. */
START_TEST(the_longest_is_exact_and_nothing_exceeds_it)
{
    const double longest = 0.0123456789;

    for (int i = 0; i < 1000; i++)
        histogram_record(&histogram, longest);
    for (int percent = 1; percent < 100; percent++)
        ck_assert(histogram_percentile(&histogram, percent) <= longest);
    ck_assert(histogram_percentile(&histogram, 100) == longest);
}
END_TEST

/* Catches an index outside the table: nothing is too short or too long to be counted. */
START_TEST(every_duration_has_a_bucket)
{
    static const double odd[] = {0, -1, 1e-12, 4e9, 9.1e9, 1e300};
    uint64_t sum = 0;

    for (size_t i = 0; i < SUITE_LENGTH(odd); i++)
        histogram_record(&histogram, odd[i]);
    for (size_t i = 0; i < HISTOGRAM_BUCKETS; i++)
        sum += histogram.counts[i];
    ck_assert_uint_eq(sum, SUITE_LENGTH(odd));
    ck_assert_uint_eq(histogram.total, SUITE_LENGTH(odd));
    ck_assert(histogram_percentile(&histogram, 1) == 0);
    ck_assert_double_eq(histogram_percentile(&histogram, 100), 1e300);
}
END_TEST

/* Catches a walk that skips or repeats: the percentiles of many random values are those of
 * the sorted values. */
static int by_size(const void *one, const void *other)
{
    double left = *(const double *)one, right = *(const double *)other;

    return (left > right) - (left < right);
}

START_TEST(percentiles_agree_with_sorting)
{
    enum { COUNT = 20000 };
    static double values[COUNT];
    uint64_t state = 1;

    for (int i = 0; i < COUNT; i++) {
        values[i] = 1e-7 * (1 + random_below(&state, 1000)) * (1 + random_below(&state, 1000));
        histogram_record(&histogram, values[i]);
    }
    qsort(values, COUNT, sizeof *values, by_size);
    for (int percent = 1; percent <= 100; percent++)
        CLOSE_TO(histogram_percentile(&histogram, percent), values[COUNT / 100 * percent - 1]);
}
END_TEST

SUITE("histogram", a_value_comes_back_within_one_percent,
      longer_durations_are_never_in_lower_buckets, percentiles_are_of_the_nearest_rank,
      the_longest_is_exact_and_nothing_exceeds_it, every_duration_has_a_bucket,
      percentiles_agree_with_sorting)
