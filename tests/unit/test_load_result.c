/* test_load_result.c: what a run found, and how what several processes found joins
 * (load/result.h). */
#include "suite.h"

#include "load/result.h"

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

    ck_assert_int_eq(result_new(&whole, 2), 0);
    round->seconds = 2;
    for (int process = 0; process < 3; process++)
        for (size_t i = 0; i < 2; i++) {
            round->count = 10 + 10 * i;
            result_join_round(&whole, i, round);
        }
    ck_assert_uint_eq(whole.round_count, 2);
    result_sum_up(&whole, load_mode("connect"));
    ck_assert_double_eq_tol(whole.rounds[0].rate, 15, 1e-9);
    ck_assert_double_eq_tol(whole.rounds[1].rate, 30, 1e-9);
    ck_assert_double_eq_tol(whole.sum.rate, 22.5, 1e-9);
    ck_assert_double_eq_tol(whole.sum.seconds, 4, 1e-9);
    ck_assert_uint_eq(whole.sum.count, 90);
    result_free(&whole);
    free(round);
}
END_TEST

SUITE("load_result", what_processes_found_joins, the_first_failure_is_the_earliest,
      rounds_join_one_by_one)
