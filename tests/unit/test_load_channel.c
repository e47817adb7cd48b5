/* test_load_channel.c: what a worker and its parent say to each other (load/channel.h). */
#include "suite.h"

#include "load/channel.h"

#include <signal.h>

static int ends[2];
static struct load_result theirs, whole;
static struct load_standing standing;

static void open_channel(void)
{
    signal(SIGPIPE, SIG_IGN);
    ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM, 0, ends), 0);
}

/* Takes the next message from the process whose line this is. */
static enum channel_news take(void)
{
    return channel_receive(ends[0], &standing, &whole);
}

/* Catches a standing that arrives as another, or passes for a message that ends something. */
START_TEST(a_standing_arrives_as_it_was)
{
    struct load_standing told = {.what = "round 2 of 5", .rate = 7.5, .rated = "messages/s",
                                 .live = 3, .failures = 4, .left = 1.5};

    open_channel();
    ck_assert_int_eq(channel_report(ends[1], &told), 0);
    ck_assert_int_eq(take(), CHANNEL_STANDING);
    ck_assert_str_eq(standing.what, told.what);
    ck_assert_str_eq(standing.rated, told.rated);
    ck_assert_double_eq_tol(standing.rate + standing.left, 9, 1e-9);
    ck_assert_uint_eq(standing.live + standing.failures, 7);
}
END_TEST

static int wait_in_child(void *unused)
{
    (void)unused;
    close(ends[0]);
    return channel_wait(ends[1], &(double){0}) + 1;
}

/* Catches an answer or its moment that is taken for another, and a wait that does not end with its
 * parent. */
START_TEST(a_wait_ends_with_the_answer)
{
    double moments[2];

    open_channel();
    ck_assert_int_eq(channel_answer(ends[0], true, 7), 0);
    ck_assert_int_eq(channel_answer(ends[0], false, 8), 0);
    ck_assert_int_eq(channel_wait(ends[1], &moments[0]), 1);
    ck_assert_int_eq(channel_wait(ends[1], &moments[1]), 0);
    ck_assert_double_eq_tol(moments[0], 7, 1e-9);
    ck_assert_double_eq_tol(moments[1], 8, 1e-9);
    ck_assert_int_eq(take(), CHANNEL_WAITING);
    ck_assert_int_eq(take(), CHANNEL_WAITING);
    shutdown(ends[0], SHUT_RDWR);
    ck_assert_int_eq(suite_in_child(wait_in_child, NULL), 0);
}
END_TEST

static int end_in_child(void *unused)
{
    (void)unused;
    close(ends[0]);
    return channel_end(ends[1], 0, &theirs);
}

/* Catches a round or a histogram that is lost on the way: results are larger than any buffer. */
START_TEST(a_result_arrives_whole)
{
    pid_t process;

    open_channel();
    ck_assert_int_eq(result_new(&theirs, 3), 0);
    ck_assert_int_eq(result_new(&whole, 3), 0);
    theirs.round_count = 3;
    theirs.failures = 5;
    for (size_t i = 0; i < 3; i++) {
        theirs.rounds[i].count = 10 + i;
        histogram_record(&theirs.rounds[i].service, (double)i + 1);
    }
    process = fork();
    if (process == 0)
        _exit(end_in_child(NULL));
    ck_assert_int_eq(take(), CHANNEL_ENDED);
    ck_assert_int_eq(waitpid(process, NULL, 0), process);
    ck_assert_uint_eq(whole.round_count, 3);
    ck_assert_uint_eq(whole.failures, 5);
    for (size_t i = 0; i < 3; i++) {
        ck_assert_uint_eq(whole.rounds[i].count, 10 + i);
        ck_assert_double_eq_tol(whole.rounds[i].service.longest, (double)i + 1, 1e-9);
    }
    result_free(&theirs);
    result_free(&whole);
}
END_TEST

/* Catches a reason that is lost, and half a result that passes for a whole one. */
START_TEST(an_end_without_a_result_says_why)
{
    open_channel();
    ck_assert_int_eq(channel_end(ends[1], ENOMEM, &theirs), 0);
    errno = 0;
    ck_assert_int_eq(take(), CHANNEL_FAILED);
    ck_assert_int_eq(errno, ENOMEM);

    ck_assert_int_eq(channel_end(ends[1], ENOMEM, &theirs), 0);
    ck_assert_int_eq(read(ends[0], &standing, 5), 5);
    close(ends[1]);
    ck_assert_int_eq(take(), CHANNEL_BROKEN);
    ck_assert_int_eq(channel_answer(ends[0], true, 0), -1);
}
END_TEST

SUITE("load_channel", a_standing_arrives_as_it_was, a_wait_ends_with_the_answer,
      a_result_arrives_whole, an_end_without_a_result_says_why)
