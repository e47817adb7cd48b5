/* test_timers.c: which of many is due first (timers.h), against a list that is searched. */
#include "suite.h"

#include "base/timers.h"

#define MANY 200

static struct timer all[MANY];

/* The earliest due time of all that are set; 0: none is. */
static double earliest(void)
{
    double due = 0;

    for (size_t i = 0; i < MANY; i++)
        if (all[i].due > 0 && (due <= 0 || all[i].due < due))
            due = all[i].due;
    return due;
}

static void expect_first(const struct timers *timers)
{
    const struct timer *first = timers_first(timers);

    ck_assert_double_eq(first != NULL ? first->due : 0, earliest());
}

/* Catches a first one where there is none, and one that stays. */
START_TEST(none_is_first_where_none_is_set)
{
    struct timers *timers = timers_new(1);

    ck_assert_ptr_null(timers_first(timers));
    timers_stop(timers, &all[0]); /* was never set */
    timers_set(timers, &all[0], 5);
    ck_assert_ptr_eq(timers_first(timers), &all[0]);
    timers_stop(timers, &all[0]);
    ck_assert_ptr_null(timers_first(timers));
    timers_stop(timers, &all[0]);
    timers_set(timers, &all[0], 6); /* and once more */
    ck_assert_double_eq(timers_first(timers)->due, 6);
    timers_free(timers);
    timers_free(NULL);
}
END_TEST

/* Catches one that is moved and stays where it was, or is there twice then. */
START_TEST(a_timer_can_be_moved_both_ways)
{
    struct timers *timers = timers_new(3);

    for (size_t i = 0; i < 3; i++)
        timers_set(timers, &all[i], 10 + (double)i);
    timers_set(timers, &all[0], 20);
    ck_assert_ptr_eq(timers_first(timers), &all[1]);
    timers_set(timers, &all[2], 1);
    ck_assert_ptr_eq(timers_first(timers), &all[2]);
    timers_stop(timers, &all[2]);
    timers_stop(timers, &all[1]);
    ck_assert_ptr_eq(timers_first(timers), &all[0]);
    timers_stop(timers, &all[0]);
    ck_assert_ptr_null(timers_first(timers));
    timers_free(timers);
}
END_TEST

/* Catches a heap that loses its order or one of its own, when one is set, moved or taken out
 * anywhere, also with equal times. */
START_TEST(the_first_is_the_earliest_of_all)
{
    struct timers *timers = timers_new(MANY);
    uint64_t state = 1;

    for (int step = 0; step < 20000; step++) {
        struct timer *timer = &all[random_below(&state, MANY)];
        if (random_below(&state, 3) == 0)
            timers_stop(timers, timer);
        else
            timers_set(timers, timer, 1 + random_below(&state, 1000));
        expect_first(timers);
    }
    while (timers_first(timers) != NULL) {
        timers_stop(timers, timers_first(timers));
        expect_first(timers);
    }
    ck_assert_double_eq(earliest(), 0);
    timers_free(timers);
}
END_TEST

SUITE("timers", none_is_first_where_none_is_set, a_timer_can_be_moved_both_ways,
      the_first_is_the_earliest_of_all)
