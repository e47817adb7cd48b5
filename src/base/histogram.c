/* histogram.c: see histogram.h. */
#include "base/histogram.h"

#include <stddef.h>

#define BUCKETS_PER_POWER ((size_t)1 << HISTOGRAM_BITS)
#define NANOSECONDS 1e9

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

    if ((double)rank < exact)
        rank++;
    return rank < 1 ? 1 : rank;
}

double histogram_percentile(const struct histogram *histogram, double percent)
{
    uint64_t rank = rank_of(histogram->total, percent);
    uint64_t passed = 0;
    double seconds;

    if (rank >= histogram->total)
        return histogram->longest;
    for (size_t bucket = 0; bucket < HISTOGRAM_BUCKETS; bucket++) {
        passed += histogram->counts[bucket];
        if (passed >= rank) {
            seconds = bucket_middle(bucket) / NANOSECONDS;
            return seconds < histogram->longest ? seconds : histogram->longest;
        }
    }
    return histogram->longest;
}
