/* test_load_progress.c: what a line of progress tells (load/progress.h); how it looks on a terminal
 * is in tests/behaviour/test_load.py. */
#include "suite.h"

#include "load/progress.h"

#include <unistd.h>

static int ends[2];

static struct load_progress begun(void)
{
    struct load_progress progress;

    progress_begin(&progress, ends[1], 0);
    return progress;
}

/* Shows that so much has been done at that time. Returns what it tells. */
static struct load_standing show(struct load_progress *progress, double now, double done)
{
    struct load_standing standing = {.rate = progress_rate(progress, now, done)};

    ck_assert_int_eq(progress_show(progress, now, &standing), 0);
    return standing;
}

/* Catches a rate since the start, and one that falls below 0 when a phase begins. */
START_TEST(a_rate_is_since_the_last_time)
{
    struct load_progress progress;

    ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM, 0, ends), 0);
    progress = begun();
    ck_assert_double_eq_tol(show(&progress, 1, 100).rate, 100, 1e-9);
    ck_assert_double_eq_tol(show(&progress, 3, 140).rate, 20, 1e-9);
    ck_assert_double_eq_tol(show(&progress, 4, 30).rate, 30, 1e-9);
}
END_TEST

/* Catches a rate of a team that is all of a round, as one process has begun the next one and the
 * others are still to tell of it. */
START_TEST(rates_of_several_add_up_across_phases)
{
    struct load_progress one, other;
    struct load_standing sum, last;

    ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM, 0, ends), 0);
    one = other = begun();
    (void)show(&one, 1, 1000);
    (void)show(&other, 1, 1000);
    sum = show(&one, 2, 5); /* of the next round */
    last = show(&other, 2, 1010);
    standing_add(&sum, &last);
    ck_assert_double_eq_tol(sum.rate, 15, 1e-9);
}
END_TEST

SUITE("load_progress", a_rate_is_since_the_last_time, rates_of_several_add_up_across_phases)
