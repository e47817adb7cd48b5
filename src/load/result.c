/* load/result.c: see load/result.h. */
#include "load/result.h"

#include <stdlib.h>

/* Above this share of a processor, in percent, the loop hardly ever waited for the server. */
#define BUSY_MAX 90

/* A system that is not overloaded wakes a process up in less than this, in seconds. */
#define LAG_MIN 0.0002

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

bool tally_is_busy(const struct load_tally *tally)
{
    return tally->busy > BUSY_MAX;
}

double tally_lag(const struct load_tally *tally)
{
    uint64_t requests = tally->count + tally->late;

    return requests > 0 ? tally->lag / (double)requests : 0;
}

bool tally_is_late(const struct load_tally *tally)
{
    double lag = tally_lag(tally);

    return lag > LAG_MIN && tally->latency.total > 0 &&
           lag > histogram_percentile(&tally->latency, 50) / 2;
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

/* ---- a result ---- */

int result_new(struct load_result *result, size_t rounds)
{
    result->rounds = calloc(rounds, sizeof *result->rounds);
    return result->rounds != NULL ? 0 : -1;
}

void result_free(struct load_result *result)
{
    free(result->rounds);
}

/* A workload that holds measures how fast it opened. */
static double rate_of(const struct load_result *result, const struct load_tally *tally,
                      const struct load_mode *mode)
{
    bool holds = mode->kind == LOAD_HOLD;
    double seconds = holds ? result->opening : tally->seconds;
    uint64_t count = holds ? tally->latency.total : tally->count;

    return seconds > 0 ? (double)count / mode->unit / seconds : 0;
}

void result_sum_up(struct load_result *result, const struct load_settings *settings)
{
    const struct load_mode *mode = settings->mode;

    for (size_t i = 0; i < result->round_count; i++) {
        tally_rate(&result->rounds[i], rate_of(result, &result->rounds[i], mode));
        tally_add(&result->sum, &result->rounds[i]);
    }
    result->spread = tally_spread(result->rounds, result->round_count);
    tally_rate(&result->sum, settings->interval > 0 ? rate_of(result, &result->sum, mode)
                                                    : result->spread.median);
}

static double longer(double one, double other)
{
    return one > other ? one : other;
}

void result_join(struct load_result *whole, const struct load_result *part)
{
    bool is_first = whole->failures == 0 || part->first_moment < whole->first_moment;

    if (part->failures > 0 && is_first) {
        whole->first_failure = part->first_failure;
        whole->first_error = part->first_error;
        whole->first_moment = part->first_moment;
    }
    whole->failures += part->failures;
    whole->held += part->held;
    whole->held_failed += part->held_failed;
    whole->held_lost += part->held_lost;
    whole->held_opening = longer(whole->held_opening, part->held_opening);
    whole->opening = longer(whole->opening, part->opening);
}

void result_join_round(struct load_result *whole, size_t number, const struct load_tally *round)
{
    tally_join(&whole->rounds[number], round);
    if (number >= whole->round_count)
        whole->round_count = number + 1;
}
