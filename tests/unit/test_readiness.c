/* test_readiness.c: wait until one of many descriptors is ready (readiness.h), by the best mechanism
 * of the system; by those that every system has, see test_readiness_poll.c and the like. */
#include "suite.h"

#include "base/clock.h"
#include "base/raise_limit.h"
#include "platform/readiness.h"

#include <signal.h>
#include <sys/select.h>
#include <sys/time.h>

#ifndef MECHANISM
#define MECHANISM readiness_best
#endif

#define PAIRS 5
#define LIMIT 256
#define FAR FD_SETSIZE /* the first descriptor that select cannot name */

static struct readiness *readiness;
static int ours[PAIRS], theirs[PAIRS]; /* the two ends of each */
static struct readiness_event events[PAIRS + 1];

static void open_all(void)
{
    readiness = readiness_new(MECHANISM, LIMIT);
    ck_assert_ptr_nonnull(readiness);
    for (int i = 0; i < PAIRS; i++) {
        int ends[2];
        ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM, 0, ends), 0);
        ours[i] = ends[0];
        theirs[i] = ends[1];
    }
}

/* Watches pair `i`; its owner is where its descriptor stands. */
static void watch(int i, unsigned was, unsigned wanted)
{
    ck_assert_int_eq(readiness_watch(readiness, ours[i], was, wanted, &ours[i]), 0);
}

static void send_byte(int i)
{
    ck_assert_int_eq(write(theirs[i], "x", 1), 1);
}

/* What is ready now, at most `limit`. */
static int look(size_t limit)
{
    return readiness_wait(readiness, events, limit, 0, NULL);
}

/* Only pair `i` is ready, and for that. */
static void only_ready(int i, unsigned ready)
{
    ck_assert_int_eq(look(PAIRS + 1), 1);
    ck_assert_int_eq(events[0].descriptor, ours[i]);
    ck_assert_ptr_eq(events[0].owner, &ours[i]);
    ck_assert_uint_eq(events[0].ready, ready);
}

/* Catches an event for a silent descriptor. */
START_TEST(nothing_is_ready_by_itself)
{
    open_all();
    ck_assert_int_eq(look(PAIRS), 0);
    for (int i = 0; i < PAIRS; i++)
        watch(i, READINESS_NONE, READINESS_READ);
    ck_assert_int_eq(look(PAIRS), 0);
}
END_TEST

/* Catches a wrong owner, and what was not taken and is not reported again. */
START_TEST(what_is_ready_is_told_until_it_is_taken)
{
    char byte;

    open_all();
    for (int i = 0; i < PAIRS; i++)
        watch(i, READINESS_NONE, READINESS_READ);
    send_byte(3);
    only_ready(3, READINESS_READ);
    only_ready(3, READINESS_READ);
    ck_assert_int_eq(read(ours[3], &byte, 1), 1);
    ck_assert_int_eq(look(PAIRS), 0);
}
END_TEST

/* Catches an interest that is added to the one before instead of taking its place. */
START_TEST(only_what_is_wanted_now_is_told)
{
    open_all();
    watch(0, READINESS_NONE, READINESS_WRITE);
    only_ready(0, READINESS_WRITE);
    send_byte(0);
    only_ready(0, READINESS_WRITE);
    watch(0, READINESS_WRITE, READINESS_READ | READINESS_WRITE);
    only_ready(0, READINESS_READ | READINESS_WRITE);
    watch(0, READINESS_READ | READINESS_WRITE, READINESS_READ);
    only_ready(0, READINESS_READ);
}
END_TEST

/* Catches a broken connection that nobody hears of, because it only waited for one of both. */
START_TEST(a_hang_up_is_told_whatever_is_wanted)
{
    open_all();
    for (unsigned wanted = READINESS_READ; wanted <= READINESS_WRITE; wanted++) {
        watch(0, READINESS_NONE, wanted);
        close(theirs[0]);
        ck_assert_int_eq(look(PAIRS), 1);
        ck_assert_int_eq(events[0].descriptor, ours[0]);
        ck_assert_uint_eq(events[0].ready & wanted, wanted);
        readiness_forget(readiness, ours[0]);
        close(ours[0]);
        ours[0] = ours[1];
        theirs[0] = theirs[1];
    }
}
END_TEST

/* Catches a descriptor that is reported after its watch was stopped, and others that go with it. */
START_TEST(what_is_not_watched_is_not_reported)
{
    open_all();
    for (int i = 0; i < PAIRS; i++) {
        watch(i, READINESS_NONE, READINESS_READ);
        send_byte(i);
    }
    watch(0, READINESS_READ, READINESS_NONE);
    watch(2, READINESS_READ, READINESS_NONE);
    watch(4, READINESS_READ, READINESS_NONE);
    ck_assert_int_eq(look(PAIRS), 2);
    ck_assert_int_eq(events[0].descriptor + events[1].descriptor, ours[1] + ours[3]);
    for (int i = 0; i < 2; i++)
        ck_assert_int_eq(*(int *)events[i].owner, events[i].descriptor);
}
END_TEST

/* Catches a descriptor that was let go and cannot be watched again, open as it is. */
START_TEST(a_stopped_one_can_be_watched_again)
{
    open_all();
    send_byte(0);
    watch(0, READINESS_NONE, READINESS_READ);
    watch(0, READINESS_READ, READINESS_NONE);
    watch(0, READINESS_NONE, READINESS_READ); /* before any wait */
    only_ready(0, READINESS_READ);
    watch(0, READINESS_READ, READINESS_NONE);
    ck_assert_int_eq(look(PAIRS), 0);
    watch(0, READINESS_NONE, READINESS_READ); /* after one */
    only_ready(0, READINESS_READ);
}
END_TEST

/* Catches a new descriptor that is taken for the closed one of the same number. */
START_TEST(a_number_that_is_used_again_is_a_new_descriptor)
{
    open_all();
    watch(0, READINESS_NONE, READINESS_READ);
    send_byte(0);
    readiness_forget(readiness, ours[0]);
    ck_assert_int_eq(dup2(ours[1], ours[0]), ours[0]);
    close(ours[1]);
    ours[1] = -1;
    watch(0, READINESS_NONE, READINESS_READ);
    ck_assert_int_eq(look(PAIRS), 0);
    send_byte(1);
    only_ready(0, READINESS_READ);
}
END_TEST

/* Catches a file that the kernel goes on reporting because somebody else has it open as well, as
 * a service manager has the listeners: stopped, closed, and its number somebody else's. */
START_TEST(what_is_shared_and_stopped_is_not_told)
{
    int shared;

    open_all();
    watch(0, READINESS_NONE, READINESS_READ);
    send_byte(0);
    shared = dup(ours[0]);
    watch(0, READINESS_READ, READINESS_NONE);
    close(ours[0]);
    ck_assert_int_eq(look(PAIRS), 0);
    ck_assert_int_eq(dup2(ours[1], ours[0]), ours[0]);
    watch(0, READINESS_NONE, READINESS_READ);
    ck_assert_int_eq(look(PAIRS), 0);
    close(shared);
}
END_TEST

/* Catches one that the others starve where there is not room for all. */
START_TEST(everyone_has_a_turn)
{
    bool reported[PAIRS] = {false};

    open_all();
    for (int i = 0; i < PAIRS; i++) {
        watch(i, READINESS_NONE, READINESS_READ);
        send_byte(i);
    }
    for (int turn = 0; turn < PAIRS; turn++) {
        ck_assert_int_eq(look(2), 2);
        ck_assert_int_ne(events[0].descriptor, events[1].descriptor);
        for (int i = 0; i < 2; i++)
            reported[(int *)events[i].owner - ours] = true;
    }
    for (int i = 0; i < PAIRS; i++)
        ck_assert_msg(reported[i], "%d", i);
}
END_TEST

/* Catches a table that is written beyond its end. */
START_TEST(a_descriptor_beyond_the_limit_is_refused)
{
    static const int beyond[] = {LIMIT, LIMIT + 1, -1};

    open_all();
    for (size_t i = 0; i < SUITE_LENGTH(beyond); i++) {
        errno = 0;
        ck_assert_int_eq(readiness_watch(readiness, beyond[i], READINESS_NONE, READINESS_READ, NULL),
                         -1);
        ck_assert_int_eq(errno, EMFILE);
    }
    ck_assert_int_eq(look(PAIRS), 0);
}
END_TEST

/* Catches a table that is larger than what a mechanism can name: each takes what is below its
 * limit, and says of the rest that there is none, also where more is asked for. */
START_TEST(descriptors_far_up_are_watched_or_refused)
{
    struct readiness *large = readiness_new(MECHANISM, FAR + 1);
    int ends[2];

    ck_assert_ptr_nonnull(large);
    ck_assert(raise_limit() > FAR);
    ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM, 0, ends), 0);
    ck_assert_int_eq(dup2(ends[0], FAR), FAR);
    errno = 0;
    if (readiness_watch(large, FAR, READINESS_NONE, READINESS_WRITE, NULL) == -1) {
        ck_assert_int_eq(errno, EMFILE);
        ck_assert_int_eq(readiness_wait(large, events, PAIRS, 0, NULL), 0);
    } else {
        ck_assert_int_eq(readiness_wait(large, events, PAIRS, 0, NULL), 1);
        ck_assert_int_eq(events[0].descriptor, FAR);
    }
    readiness_free(large);
}
END_TEST

/* Catches a wait that ends early, and so is made again and again. */
START_TEST(a_wait_lasts_its_time)
{
    double start = clock_seconds();

    open_all();
    watch(0, READINESS_NONE, READINESS_READ);
    ck_assert_int_eq(readiness_wait(readiness, events, PAIRS, 0.0203, NULL), 0);
    ck_assert(clock_seconds() - start >= 0.0203);
    send_byte(0);
    ck_assert_int_eq(readiness_wait(readiness, events, PAIRS, -1, NULL), 1); /* or it never ends */
}
END_TEST

static volatile sig_atomic_t interrupted;

static void interrupt(int number)
{
    (void)number;
    interrupted = 1;
}

/* Catches a signal that is taken for an error, or slept through. */
START_TEST(a_signal_ends_a_wait)
{
    struct sigaction action = {.sa_handler = interrupt};
    const struct itimerval soon = {{0, 10000}, {0, 10000}}; /* again, if one comes too early */

    open_all();
    watch(0, READINESS_NONE, READINESS_READ);
    sigemptyset(&action.sa_mask);
    ck_assert_int_eq(sigaction(SIGALRM, &action, NULL), 0);
    ck_assert_int_eq(setitimer(ITIMER_REAL, &soon, NULL), 0);
    ck_assert_int_eq(readiness_wait(readiness, events, PAIRS, -1, NULL), 0);
}
END_TEST

/* Catches a signal that came between the last look and the wait, and is slept through: a lost
 * wakeup; and signals that stay let in behind the wait. */
START_TEST(the_mask_lets_a_pending_signal_in)
{
    struct sigaction action = {.sa_handler = interrupt};
    sigset_t blocked, before, now;

    open_all();
    watch(0, READINESS_NONE, READINESS_READ);
    sigemptyset(&action.sa_mask);
    ck_assert_int_eq(sigaction(SIGUSR1, &action, NULL), 0);
    sigemptyset(&blocked);
    sigaddset(&blocked, SIGUSR1);
    ck_assert_int_eq(sigprocmask(SIG_BLOCK, &blocked, &before), 0);
    ck_assert_int_eq(kill(getpid(), SIGUSR1), 0);
    ck_assert_int_eq(readiness_wait(readiness, events, PAIRS, 0, NULL), 0);
    ck_assert(!interrupted);
    ck_assert_int_eq(readiness_wait(readiness, events, PAIRS, -1, &before), 0);
    ck_assert(interrupted);
    ck_assert_int_eq(sigprocmask(SIG_BLOCK, NULL, &now), 0);
    ck_assert_int_eq(sigismember(&now, SIGUSR1), 1);
}
END_TEST

/* Catches a wait with a mask that reports nothing, or ends at once. */
START_TEST(a_wait_with_a_mask_is_a_wait)
{
    double start = clock_seconds();
    sigset_t none;

    open_all();
    watch(0, READINESS_NONE, READINESS_READ);
    sigemptyset(&none);
    ck_assert_int_eq(readiness_wait(readiness, events, PAIRS, 0.0203, &none), 0);
    ck_assert(clock_seconds() - start >= 0.0203);
    send_byte(0);
    ck_assert_int_eq(readiness_wait(readiness, events, PAIRS, -1, &none), 1);
    ck_assert_int_eq(events[0].descriptor, ours[0]);
}
END_TEST

/* Catches a descriptor or memory that stays (the sanitizers see that), and a crash on none. */
START_TEST(it_leaves_nothing_open)
{
    int before = open_descriptors();

    readiness_free(readiness_new(MECHANISM, LIMIT));
    readiness_free(readiness_new(MECHANISM, 0));
    readiness_free(NULL);
    ck_assert_int_eq(open_descriptors(), before);
}
END_TEST

SUITE("readiness", nothing_is_ready_by_itself, what_is_ready_is_told_until_it_is_taken,
      only_what_is_wanted_now_is_told, a_hang_up_is_told_whatever_is_wanted,
      what_is_not_watched_is_not_reported, a_stopped_one_can_be_watched_again,
      a_number_that_is_used_again_is_a_new_descriptor, what_is_shared_and_stopped_is_not_told,
      everyone_has_a_turn, a_descriptor_beyond_the_limit_is_refused,
      descriptors_far_up_are_watched_or_refused, a_wait_lasts_its_time, a_signal_ends_a_wait,
      the_mask_lets_a_pending_signal_in, a_wait_with_a_mask_is_a_wait, it_leaves_nothing_open)
