/* histogram.c: see histogram.h. */
#include "base/histogram.h"

#include <inttypes.h>
#include <math.h>
#include <stddef.h>

#define BUCKETS_PER_POWER ((size_t)1 << HISTOGRAM_BITS)
#define NANOSECONDS 1e9

/* What rounding can make of a rank, as a share of it. */
#define ROUNDING 1e-12
#define MILLISECONDS 1e3

/* Lines in each half of the way to 100 %, as HdrHistogram has them. */
#define TICKS 5

/* Beyond this a double does not fit the counter: 292 years. */
#define NANOSECONDS_MAX 9.2e18

static unsigned highest_bit(uint64_t value)
{
    unsigned bit = 0;

    for (unsigned step = 32; step > 0; step /= 2)
        if (value >> step != 0) {
            value >>= step;
            bit += step;
        }
    return bit;
}

/* Values below 2 * BUCKETS_PER_POWER have a bucket each. Above, a value keeps its first
 * HISTOGRAM_BITS + 1 binary digits; how many digits it lost says which group it is in. */
static size_t bucket_of(uint64_t value)
{
    unsigned lost;

    if (value < 2 * BUCKETS_PER_POWER)
        return (size_t)value;
    lost = highest_bit(value) - HISTOGRAM_BITS;
    return ((size_t)lost << HISTOGRAM_BITS) + (size_t)(value >> lost);
}

/* The middle of a bucket, which halves the error. */
static double bucket_middle(size_t bucket)
{
    size_t lost = bucket < 2 * BUCKETS_PER_POWER ? 0 : (bucket >> HISTOGRAM_BITS) - 1;
    uint64_t lowest = (uint64_t)(bucket - (lost << HISTOGRAM_BITS)) << lost;
    uint64_t width = (uint64_t)1 << lost;

    return (double)lowest + (double)(width - 1) / 2;
}

void histogram_record(struct histogram *histogram, double seconds)
{
    double nanoseconds = seconds * NANOSECONDS;

    if (!(nanoseconds > 0))
        nanoseconds = 0;
    else if (nanoseconds > NANOSECONDS_MAX)
        nanoseconds = NANOSECONDS_MAX;
    histogram->counts[bucket_of((uint64_t)nanoseconds)]++;
    histogram->total++;
    if (seconds > histogram->longest)
        histogram->longest = seconds;
}

void histogram_add(struct histogram *histogram, const struct histogram *other)
{
    if (other->total == 0) /* its buckets may never have been touched */
        return;
    for (size_t bucket = 0; bucket < HISTOGRAM_BUCKETS; bucket++)
        histogram->counts[bucket] += other->counts[bucket];
    histogram->total += other->total;
    if (other->longest > histogram->longest)
        histogram->longest = other->longest;
}

/* Which of the `total` values, counted from 1, the smallest first: percent rounded up. */
static uint64_t rank_of(uint64_t total, double percent)
{
    double exact = percent * (double)total / 100;
    uint64_t rank = (uint64_t)exact;

    if ((double)rank < exact * (1 - ROUNDING))
        rank++;
    return rank < 1 ? 1 : rank;
}

/* The same as histogram_percentile; `*passed` becomes how many there are up to that bucket. */
static double find_percentile(const struct histogram *histogram, double percent, uint64_t *passed)
{
    uint64_t rank = rank_of(histogram->total, percent);
    double seconds = histogram->longest;

    *passed = 0;
    for (size_t bucket = 0; bucket < HISTOGRAM_BUCKETS && *passed < rank; bucket++) {
        *passed += histogram->counts[bucket];
        seconds = bucket_middle(bucket) / NANOSECONDS;
    }
    return rank < histogram->total && seconds < histogram->longest ? seconds : histogram->longest;
}

double histogram_percentile(const struct histogram *histogram, double percent)
{
    uint64_t passed;

    return find_percentile(histogram, percent, &passed);
}

/* ---- as a text ---- */

static void print_lines(const struct histogram *histogram, FILE *stream)
{
    double left = 1; /* of the way to 100 %, at the start of this half */
    uint64_t passed = 0;

    for (int tick = 0; passed < histogram->total; tick = (tick + 1) % TICKS) {
        double share = 1 - left * (1 - tick / (2.0 * TICKS));
        double seconds = find_percentile(histogram, share * 100, &passed);
        fprintf(stream, "%12.3f %.12f %10" PRIu64 " %14.2f\n", seconds * MILLISECONDS, share,
                passed, 1 / (1 - share));
        if (tick == TICKS - 1)
            left /= 2;
    }
    fprintf(stream, "%12.3f %.12f %10" PRIu64 "\n", histogram->longest * MILLISECONDS, 1.0,
            histogram->total);
}

/* Sets the mean and the standard deviation in seconds, by the middles of the buckets. */
static void moments_of(const struct histogram *histogram, double *mean, double *deviation)
{
    double total = histogram->total > 0 ? (double)histogram->total : 1, sum = 0, squares = 0;

    for (size_t bucket = 0; bucket < HISTOGRAM_BUCKETS; bucket++)
        sum += bucket_middle(bucket) / NANOSECONDS * (double)histogram->counts[bucket];
    *mean = sum / total;
    for (size_t bucket = 0; bucket < HISTOGRAM_BUCKETS; bucket++) {
        double apart = bucket_middle(bucket) / NANOSECONDS - *mean;
        squares += apart * apart * (double)histogram->counts[bucket];
    }
    *deviation = sqrt(squares / total);
}

void histogram_print(const struct histogram *histogram, FILE *stream)
{
    double mean, deviation;

    moments_of(histogram, &mean, &deviation);
    fprintf(stream, "%12s %14s %10s %14s\n\n", "Value", "Percentile", "TotalCount",
            "1/(1-Percentile)");
    if (histogram->total > 0)
        print_lines(histogram, stream);
    fprintf(stream, "#[Mean    = %12.3f, StdDeviation   = %12.3f]\n", mean * MILLISECONDS,
            deviation * MILLISECONDS);
    fprintf(stream, "#[Max     = %12.3f, Total count    = %12" PRIu64 "]\n",
            histogram->longest * MILLISECONDS, histogram->total);
    /* There the lowest bucket has two of our powers; the others use half of their sub-buckets. */
    fprintf(stream, "#[Buckets = %12zu, SubBuckets     = %12zu]\n",
            HISTOGRAM_BUCKETS / BUCKETS_PER_POWER - 1, 2 * BUCKETS_PER_POWER);
}
