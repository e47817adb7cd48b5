/* load/result.c: see load/result.h. */
#include "load/result.h"

#include <stdbool.h>
#include <stdlib.h>

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

void result_sum_up(struct load_result *result, const struct load_mode *mode)
{
    for (size_t i = 0; i < result->round_count; i++) {
        tally_rate(&result->rounds[i], rate_of(result, &result->rounds[i], mode));
        tally_add(&result->sum, &result->rounds[i]);
    }
    result->spread = tally_spread(result->rounds, result->round_count);
    tally_rate(&result->sum, result->spread.median);
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
