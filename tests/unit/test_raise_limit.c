/* test_raise_limit.c: how many descriptors a process may have (raise_limit.h). */
#include "suite.h"

#include "base/raise_limit.h"

#include <sys/resource.h>

/* In a child, whose limit nobody else has: lowers it first to 64 of at most 80. */
static int raise_from_64(void *data)
{
    struct rlimit limit = {64, 80};

    (void)data;
    if (setrlimit(RLIMIT_NOFILE, &limit) == -1)
        return 1;
    if (raise_limit() != 80)
        return 2;
    return getrlimit(RLIMIT_NOFILE, &limit) == 0 && limit.rlim_cur == 80 && limit.rlim_max == 80
               ? 0
               : 3;
}

/* Catches a limit that is assumed instead of read, or raised in word only. */
START_TEST(the_limit_is_raised_to_the_hard_one)
{
    ck_assert_int_eq(suite_in_child(raise_from_64, NULL), 0);
}
END_TEST

SUITE("raise_limit", the_limit_is_raised_to_the_hard_one)
