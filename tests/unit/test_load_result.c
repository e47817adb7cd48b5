/* test_load_result.c: what a run counted and timed, how that adds up, and how what several processes
 * found joins (load/result.h). */
#include "suite.h"

#include "load/result.h"

/* ---- tallies ---- */

static struct load_tally tallies[5], sum;

/* Catches a figure that is left out of the sum: with several rounds, or several clients, it would
 * be that of the first alone. */
START_TEST(every_figure_adds_up)
{
    struct load_tally *one = &tallies[0];
    struct histogram *times[] = {&one->latency, &one->connect, &one->first, &one->message,
                                 &one->service};
    struct histogram *sums[] = {&sum.latency, &sum.connect, &sum.first, &sum.message,
                                &sum.service};

    one->seconds = 1.5;
    one->processor = 0.5;
    one->lag = 0.25;
    one->count = 10;
    one->late = 20;
    one->pauses = 30;
    for (int i = 0; i < FAILURES; i++)
        for (int k = 0; k <= i; k++)
            tally_failure(one, (enum load_failure)i);
    for (size_t i = 0; i < SUITE_LENGTH(times); i++)
        histogram_record(times[i], (double)(i + 1));
    tally_add(&sum, one);
    tally_add(&sum, one);
    ck_assert_double_eq_tol(sum.seconds, 3, 1e-9);
    ck_assert_double_eq_tol(sum.processor, 1, 1e-9);
    ck_assert_double_eq_tol(sum.lag, 0.5, 1e-9);
    ck_assert_uint_eq(sum.count, 20);
    ck_assert_uint_eq(sum.late, 40);
    ck_assert_uint_eq(sum.pauses, 60);
    ck_assert_uint_eq(sum.failures, 2 * (1 + 2 + 3 + 4 + 5));
    for (int i = 0; i < FAILURES; i++)
        ck_assert_uint_eq(sum.failed[i], 2 * ((uint64_t)i + 1));
    for (size_t i = 0; i < SUITE_LENGTH(sums); i++) {
        ck_assert_uint_eq(sums[i]->total, 2);
        ck_assert_double_eq_tol(histogram_percentile(sums[i], 50), (double)(i + 1), 0.01 * (double)(i + 1));
    }
}
END_TEST

/* Catches a time that counts twice because two measured in it, and a busy process that hides behind
 * an idle one. */
START_TEST(what_is_joined_shares_the_time)
{
    for (int i = 0; i < 2; i++) {
        tallies[i].seconds = 1 + i;
        tallies[i].processor = 0.75 - 0.5 * i;
        tallies[i].count = 10;
        tallies[i].lag = 0.25;
        histogram_record(&tallies[i].latency, 1 + i);
        tally_join(&sum, &tallies[i]);
    }
    ck_assert_double_eq_tol(sum.seconds, 2, 1e-9);
    ck_assert_double_eq_tol(sum.processor, 0.75, 1e-9);
    ck_assert_uint_eq(sum.count, 20);
    ck_assert_double_eq_tol(sum.lag, 0.5, 1e-9);
    ck_assert_uint_eq(sum.latency.total, 2);
}
END_TEST

/* Catches a percentile of a sum that is not that of all values, and a longest that is lost. */
START_TEST(percentiles_of_a_sum_are_of_all_values)
{
    for (int i = 1; i <= 100; i++)
        histogram_record(&tallies[i % 3].latency, i * 1e-3);
    for (int i = 0; i < 3; i++)
        tally_add(&sum, &tallies[i]);
    ck_assert_uint_eq(sum.latency.total, 100);
    ck_assert_double_eq_tol(histogram_percentile(&sum.latency, 50), 0.050, 0.0005);
    ck_assert_double_eq_tol(histogram_percentile(&sum.latency, 99), 0.099, 0.001);
    ck_assert_double_eq(histogram_percentile(&sum.latency, 100), 100 * 1e-3);
}
END_TEST

static void rates(const double *list, size_t count, double median)
{
    struct load_spread spread;

    for (size_t i = 0; i < count; i++)
        tallies[i].rate = list[i];
    spread = tally_spread(tallies, count);
    ck_assert_double_eq_tol(spread.median, median, 1e-9);
    ck_assert_double_eq_tol(spread.lowest, 1, 1e-9);
    ck_assert_double_eq_tol(spread.highest, count == 1 ? 1 : 9, 1e-9);
}

/* Catches a median that is a mean, or depends on the order. */
START_TEST(the_median_is_in_the_middle)
{
    rates((const double[]){1}, 1, 1);
    rates((const double[]){9, 1}, 2, 5);
    rates((const double[]){9, 1, 2}, 3, 2);
    rates((const double[]){9, 1, 4, 2}, 4, 3);
    rates((const double[]){1, 9, 1, 9, 3}, 5, 3);
    rates((const double[]){1, 9, 9, 9, 1}, 5, 9);
}
END_TEST

/* Catches a division by no time. */
START_TEST(a_share_is_of_the_measured_time)
{
    tallies[0].processor = 0.25;
    tally_rate(&tallies[0], 7);
    ck_assert_double_eq_tol(tallies[0].busy, 0, 1e-9);
    tallies[0].seconds = 0.5;
    tally_rate(&tallies[0], 7);
    ck_assert_double_eq_tol(tallies[0].busy, 50, 1e-9);
    ck_assert_double_eq_tol(tallies[0].rate, 7, 1e-9);
}
END_TEST

/* ---- results ---- */

static struct load_result whole, parts[2];

/* Catches a figure of one process that stands for all, and times that add up though they were the
 * same time. */
START_TEST(what_processes_found_joins)
{
    for (int i = 0; i < 2; i++) {
        parts[i] = (struct load_result){.held = 10, .held_failed = 20, .held_lost = 30,
                                        .held_opening = 2 - i, .opening = 1 + i};
        parts[i].failures = (uint64_t)i * 7;
        parts[i].first_failure = i == 1 ? FAILED_WRONG : FAILED_CONNECT;
        parts[i].first_error = i * EPIPE;
        result_join(&whole, &parts[i]);
    }
    ck_assert_uint_eq(whole.held, 20);
    ck_assert_uint_eq(whole.held_failed, 40);
    ck_assert_uint_eq(whole.held_lost, 60);
    ck_assert_double_eq_tol(whole.held_opening, 2, 1e-9);
    ck_assert_double_eq_tol(whole.opening, 2, 1e-9);
    ck_assert_uint_eq(whole.failures, 7);
    ck_assert_int_eq(whole.first_failure, FAILED_WRONG);
    ck_assert_int_eq(whole.first_error, EPIPE);
}
END_TEST

/* Catches a first failure that is of the process that was the first to end. */
START_TEST(the_first_failure_is_the_earliest)
{
    static const double moments[] = {7, 5, 6};

    for (int i = 0; i < 3; i++) {
        struct load_result *part = &parts[0];
        *part = (struct load_result){.failures = 1, .first_moment = moments[i], .first_error = i};
        result_join(&whole, part);
    }
    parts[1] = (struct load_result){0}; /* without a failure */
    result_join(&whole, &parts[1]);
    ck_assert_int_eq(whole.first_error, 1);
    ck_assert_uint_eq(whole.failures, 3);
}
END_TEST

/* Catches a round in the place of another, and a rate that is that of one process. */
START_TEST(rounds_join_one_by_one)
{
    struct load_tally *round = calloc(1, sizeof *round);
    struct load_settings settings = {.mode = load_mode("connect")};

    ck_assert_int_eq(result_new(&whole, 2), 0);
    round->seconds = 2;
    for (int process = 0; process < 3; process++)
        for (size_t i = 0; i < 2; i++) {
            round->count = 10 + 10 * i;
            result_join_round(&whole, i, round);
        }
    ck_assert_uint_eq(whole.round_count, 2);
    result_sum_up(&whole, &settings);
    ck_assert_double_eq_tol(whole.rounds[0].rate, 15, 1e-9);
    ck_assert_double_eq_tol(whole.rounds[1].rate, 30, 1e-9);
    ck_assert_double_eq_tol(whole.sum.rate, 22.5, 1e-9);
    ck_assert_double_eq_tol(whole.sum.seconds, 4, 1e-9);
    ck_assert_uint_eq(whole.sum.count, 90);
    whole.rounds[1].count = 120; /* of intervals, one of which does most of the work */
    whole.sum = (struct load_tally){0};
    settings.interval = 2;
    result_sum_up(&whole, &settings);
    ck_assert_double_eq_tol(whole.sum.rate, 37.5, 1e-9);
    ck_assert_double_eq_tol(whole.spread.highest, 60, 1e-9);
    result_free(&whole);
    free(round);
}
END_TEST

SUITE("load_result", every_figure_adds_up, what_is_joined_shares_the_time,
      percentiles_of_a_sum_are_of_all_values, the_median_is_in_the_middle,
      a_share_is_of_the_measured_time, what_processes_found_joins,
      the_first_failure_is_the_earliest, rounds_join_one_by_one)
