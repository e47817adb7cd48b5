/*
 * histogram.h: durations counted in buckets that grow with the value.
 *
 * Log-linear, as HdrHistogram (Gil Tene): each power of two of nanoseconds is cut into 128 buckets
 * of equal width, so a value is known to better than 1 %, be it a microsecond or an hour. Memory is
 * fixed (58 KiB). Recording takes constant time and allocates nothing, so it can be done for each
 * request. A percentile costs one walk over the buckets.
 */
#ifndef HISTOGRAM_H
#define HISTOGRAM_H

#include <stdint.h>
#include <stdio.h>

/* Two to this power buckets for each power of two: the error is at most one in 128. */
#define HISTOGRAM_BITS 7
#define HISTOGRAM_BUCKETS ((64 - HISTOGRAM_BITS + 1) << HISTOGRAM_BITS)

/* All zero is an empty histogram. */
struct histogram {
    uint64_t total; /* how many were recorded */
    double longest; /* seconds, exact */
    uint64_t counts[HISTOGRAM_BUCKETS];
};

/* Counts one duration; a negative one counts as zero. */
void histogram_record(struct histogram *histogram, double seconds);

/* Counts all that `other` has counted as well. */
void histogram_add(struct histogram *histogram, const struct histogram *other);

/*
 * The duration in seconds that `percent` (above 0, to 100) of all do not exceed, by nearest
 * rank; 100 gives the longest, exactly. The histogram must not be empty.
 */
double histogram_percentile(const struct histogram *histogram, double percent);

/*
 * Writes it as a percentile distribution of HdrHistogram, which its plotters read: lines of a value
 * in milliseconds, the percentile as a share, how many of all do not exceed it, and 1 / (1 -
 * share); five each time that what is left to 100 % has been halved. At the end there are mean,
 * standard deviation and size; of an empty one nothing else.
 */
void histogram_print(const struct histogram *histogram, FILE *stream);

#endif
