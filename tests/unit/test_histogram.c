/* test_histogram.c: durations in buckets, and percentiles from them (histogram.h). */
#include "suite.h"

#include "base/histogram.h"

#include <inttypes.h>
#include <math.h>

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

/* ---- as a text ---- */

static char *printed(void)
{
    static char text[65536];
    FILE *stream = tmpfile();
    size_t size;

    ck_assert_ptr_nonnull(stream);
    histogram_print(&histogram, stream);
    rewind(stream);
    size = fread(text, 1, sizeof text - 1, stream);
    text[size] = '\0';
    fclose(stream);
    return text;
}

/* How many of the sorted values do not exceed a limit. */
static uint64_t up_to(const double *values, size_t count, double limit)
{
    uint64_t found = 0;

    while (found < count && values[found] <= limit)
        found++;
    return found;
}

/* Catches a distribution that is not of the values: it is read back as its plotters read it, which take
 * lines of four numbers, and is held against them, line by line. */
START_TEST(a_distribution_is_of_the_values)
{
    enum { COUNT = 12345 };
    static double values[COUNT];
    char *line, *end;
    double value, share, inverse, before = -1;
    uint64_t state = 7, passed, lines = 0;

    for (int i = 0; i < COUNT; i++) {
        values[i] = 1e-6 * (1 + random_below(&state, 3000)) * (1 + random_below(&state, 3000));
        histogram_record(&histogram, values[i]);
    }
    qsort(values, COUNT, sizeof *values, by_size);
    for (line = strtok(printed(), "\n"); line != NULL; line = strtok(NULL, "\n")) {
        value = strtod(line, &end) / 1e3;
        share = strtod(end, &end);
        passed = strtoull(end, &end, 10);
        inverse = strtod(end, &end);
        if (inverse <= 0 || *end != '\0')
            continue; /* the head, the last line or the size */
        ck_assert_double_eq_tol(value,
                                values[(size_t)ceil(share * (int)COUNT - 1e-6) - (share > 0)],
                                0.01 * value + 1e-6);
        ck_assert_uint_ge(passed, up_to(values, COUNT, value * 0.99));
        ck_assert_uint_le(passed, up_to(values, COUNT, value * 1.01));
        ck_assert_double_eq_tol(inverse, 1 / (1 - share), inverse * 1e-6 + 0.005);
        ck_assert(share > before);
        before = share;
        lines++;
    }
    ck_assert_uint_ge(lines, 5 * 12); /* five each time that what is left is halved */
    ck_assert_uint_le(lines, 5 * 15);
}
END_TEST

/* Catches a head, a last line or a size in another form than HdrHistogram's, and wrong moments. */
START_TEST(a_distribution_has_a_head_and_a_size)
{
    const char *text;

    for (int i = 1; i <= 4; i++)
        histogram_record(&histogram, i * 1e-3);
    text = printed();
    ck_assert_int_eq(strncmp(text, "       Value     Percentile TotalCount 1/(1-Percentile)\n\n", 57), 0);
    ck_assert_ptr_nonnull(strstr(text, "\n       4.000 1.000000000000          4\n"
                                       "#[Mean    =        2.5"));
    ck_assert_ptr_nonnull(strstr(text, ", StdDeviation   =        1.1"));
    ck_assert_ptr_nonnull(strstr(text, "]\n#[Max     =        4.000, Total count    =            4]\n"
                                       "#[Buckets =           57, SubBuckets     =          256]\n"));
    ck_assert_ptr_nonnull(strstr(text, "0.500000000000          2           2.00\n"));
    ck_assert_ptr_nonnull(strstr(text, "0.750000000000          3           4.00\n"));
}
END_TEST

/* Catches a division by nothing, and lines of what was not. */
START_TEST(a_distribution_of_nothing_is_its_size)
{
    ck_assert_ptr_nonnull(strstr(printed(), "1/(1-Percentile)\n\n#[Mean    =        0.000, StdDeviation   ="
                                            "        0.000]\n#[Max     =        0.000, Total count    ="
                                            "            0]\n"));
}
END_TEST

SUITE("histogram", a_distribution_is_of_the_values, a_distribution_has_a_head_and_a_size,
      a_distribution_of_nothing_is_its_size, a_value_comes_back_within_one_percent,
      longer_durations_are_never_in_lower_buckets, percentiles_are_of_the_nearest_rank,
      the_longest_is_exact_and_nothing_exceeds_it, every_duration_has_a_bucket,
      percentiles_agree_with_sorting)
