/* load/tally.c: see load/tally.h. */
#include "load/tally.h"

void tally_failure(struct load_tally *tally, enum load_failure why)
{
    tally->failures++;
    tally->failed[why]++;
}

void tally_rate(struct load_tally *tally, double rate)
{
    tally->rate = rate;
    tally->busy = tally->seconds > 0 ? tally->processor / tally->seconds * 100 : 0;
}

/* Adds all but measured time, processor time, rate and share. */
static void add_counts(struct load_tally *sum, const struct load_tally *other)
{
    sum->lag += other->lag;
    sum->count += other->count;
    sum->late += other->late;
    sum->pauses += other->pauses;
    sum->failures += other->failures;
    for (int i = 0; i < FAILURES; i++)
        sum->failed[i] += other->failed[i];
    histogram_add(&sum->latency, &other->latency);
    histogram_add(&sum->connect, &other->connect);
    histogram_add(&sum->first, &other->first);
    histogram_add(&sum->message, &other->message);
    histogram_add(&sum->service, &other->service);
}

void tally_add(struct load_tally *sum, const struct load_tally *other)
{
    sum->seconds += other->seconds;
    sum->processor += other->processor;
    add_counts(sum, other);
}

void tally_join(struct load_tally *whole, const struct load_tally *part)
{
    if (part->seconds > whole->seconds)
        whole->seconds = part->seconds;
    if (part->processor > whole->processor)
        whole->processor = part->processor;
    add_counts(whole, part);
}

/* How many of the rates are below `rate`, or with `or_equal` equal to it. */
static size_t below(const struct load_tally *tallies, size_t count, double rate, bool or_equal)
{
    size_t found = 0;

    for (size_t i = 0; i < count; i++)
        found += tallies[i].rate < rate || (or_equal && tallies[i].rate <= rate);
    return found;
}

/* The rate at this place, from 0, when the lowest comes first. Rounds are few, so each is compared
 * with each, and no sorted copy is needed. */
static double rate_at(const struct load_tally *tallies, size_t count, size_t place)
{
    for (size_t i = 0; i < count; i++)
        if (below(tallies, count, tallies[i].rate, false) <= place &&
            below(tallies, count, tallies[i].rate, true) > place)
            return tallies[i].rate;
    return 0;
}

struct load_spread tally_spread(const struct load_tally *tallies, size_t count)
{
    double lower = rate_at(tallies, count, (count - 1) / 2);

    return (struct load_spread){
        .median = (lower + rate_at(tallies, count, count / 2)) / 2,
        .lowest = rate_at(tallies, count, 0),
        .highest = rate_at(tallies, count, count - 1),
    };
}
