/* test_clock.c: the one clock, its conversions, and waits through signals (clock.h). */
#include "suite.h"

#include "base/clock.h"

#include <limits.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/time.h>

/* Catches a clock that the wall clock moves, or whose fraction of a second is lost. */
START_TEST(the_clock_never_goes_back_and_has_fractions)
{
    double first = clock_seconds(), last = first;

    ck_assert(first > 0);
    while (last < first + 0.001) {
        double now = clock_seconds();
        ck_assert(now >= last);
        last = now;
    }
    ck_assert(last < first + SUITE_TIMEOUT);
}
END_TEST

/* Catches a negative timeout, which system calls refuse or take for "never". */
START_TEST(zero_and_less_give_zero)
{
    static const double none[] = {0, -0.5, -1, -1e9};

    for (size_t i = 0; i < SUITE_LENGTH(none); i++) {
        struct timespec fine = clock_timespec(none[i]);
        struct timeval coarse = clock_timeval(none[i]);
        ck_assert(fine.tv_sec == 0 && fine.tv_nsec == 0);
        ck_assert(coarse.tv_sec == 0 && coarse.tv_usec == 0);
    }
}
END_TEST

/* Catches a fraction out of range, which system calls refuse, and a rounding beyond one unit. */
START_TEST(conversions_keep_the_time_and_the_ranges)
{
    uint64_t state = 1;

    for (int i = 0; i < 20000; i++) {
        double seconds = random_below(&state, 100000) + random_below(&state, 1000001) / 1e6;
        struct timespec fine = clock_timespec(seconds);
        struct timeval coarse = clock_timeval(seconds);
        double from_fine = (double)fine.tv_sec + (double)fine.tv_nsec / 1e9;
        double from_coarse = (double)coarse.tv_sec + (double)coarse.tv_usec / 1e6;
        ck_assert(fine.tv_nsec >= 0 && fine.tv_nsec < 1000000000);
        ck_assert(coarse.tv_usec >= 0 && coarse.tv_usec < 1000000);
        ck_assert(from_fine > seconds - 1e-8 && from_fine < seconds + 1e-8);
        ck_assert(from_coarse > seconds - 2e-6 && from_coarse < seconds + 2e-6);
    }
}
END_TEST

/* Catches an idle limit below a microsecond that becomes "never" as SO_RCVTIMEO. */
START_TEST(a_tiny_timeout_does_not_become_never)
{
    struct timeval tiny = clock_timeval(1e-9);

    ck_assert(tiny.tv_sec == 0 && tiny.tv_usec > 0);
}
END_TEST

/* Catches a wait that spins through its last millisecond, one that becomes endless or none by
 * its length, and an endless one that ends. */
START_TEST(milliseconds_are_rounded_up_and_bounded)
{
    ck_assert_int_eq(clock_milliseconds(0), 0);
    ck_assert_int_eq(clock_milliseconds(1e-9), 1);
    ck_assert_int_eq(clock_milliseconds(0.25), 250);
    ck_assert_int_eq(clock_milliseconds(0.2501), 251);
    ck_assert_int_eq(clock_milliseconds(1e12), INT_MAX);
    ck_assert_int_eq(clock_milliseconds(-1e-9), -1);
}
END_TEST

/* Catches a limit that there is not and that is taken for the earliest of all. */
START_TEST(none_is_never_the_earlier)
{
    ck_assert_double_eq(clock_earlier(3, 5), 3);
    ck_assert_double_eq(clock_earlier(5, 3), 3);
    ck_assert_double_eq(clock_earlier(0, 5), 5);
    ck_assert_double_eq(clock_earlier(5, 0), 5);
    ck_assert_double_eq(clock_earlier(0, 0), 0);
}
END_TEST

static volatile sig_atomic_t interrupts;

static void interrupt(int number)
{
    (void)number;
    interrupts++;
}

/* Sends SIGUSR1 to this process again and again until it is killed. Returns its pid. */
static pid_t start_interrupting(void)
{
    struct sigaction action = {.sa_handler = interrupt};
    struct timespec breath = {0, 1000000};
    pid_t interrupted = getpid(), sender;

    interrupts = 0;
    sigemptyset(&action.sa_mask);
    ck_assert_int_eq(sigaction(SIGUSR1, &action, NULL), 0);
    sender = fork();
    ck_assert_int_ne(sender, -1);
    while (sender == 0) {
        if (getppid() != interrupted || kill(interrupted, SIGUSR1) == -1)
            _exit(0);
        nanosleep(&breath, NULL);
    }
    return sender;
}

static void stop_interrupting(pid_t sender)
{
    kill(sender, SIGKILL);
    while (waitpid(sender, NULL, 0) == -1)
        ck_assert_int_eq(errno, EINTR);
}

/* Catches a sleep that the first signal ends, or that starts anew at each. */
START_TEST(sleeping_goes_on_through_signals)
{
    pid_t sender = start_interrupting();
    double start = clock_seconds();

    do /* a loaded machine may not have run the sender in the first turn */
        clock_sleep(0.03);
    while (interrupts == 0);
    ck_assert(clock_seconds() >= start + 0.03);
    stop_interrupting(sender);
}
END_TEST

/* Catches a timeout that ends early, a wait of no time that waits, and one for what is there. */
START_TEST(polling_lasts_as_long_as_it_says)
{
    struct pollfd wait = {.events = POLLIN};
    double start = clock_seconds();
    int ends[2];

    ck_assert_int_eq(pipe(ends), 0);
    wait.fd = ends[0];
    ck_assert_int_eq(clock_poll(&wait, 1, 0.05), 0);
    ck_assert(clock_seconds() >= start + 0.05);
    ck_assert_int_eq(clock_poll(&wait, 1, 0), 0);
    ck_assert_int_eq(write(ends[1], "x", 1), 1);
    ck_assert_int_eq(clock_poll(&wait, 1, SUITE_TIMEOUT), 1);
    ck_assert_int_eq(clock_poll(&wait, 1, -1), 1);
    ck_assert_int_ne(wait.revents & POLLIN, 0);
}
END_TEST

static int late_writer; /* where the signal handler writes, the third time */

static void count_alarm(int number)
{
    (void)number;
    if (++interrupts == 3 && late_writer > 0)
        (void)!write(late_writer, "x", 1);
}

/* Catches a wait that a signal ends, or that each signal begins anew; also one without end. */
START_TEST(a_signal_neither_ends_nor_prolongs_a_poll)
{
    const struct itimerval often = {{0, 10000}, {0, 10000}};
    struct sigaction action = {.sa_handler = count_alarm};
    struct pollfd wait = {.events = POLLIN};
    double start;
    int ends[2];

    ck_assert_int_eq(pipe(ends), 0);
    wait.fd = ends[0];
    ck_assert_int_eq(sigaction(SIGALRM, &action, NULL), 0);
    ck_assert_int_eq(setitimer(ITIMER_REAL, &often, NULL), 0);
    start = clock_seconds();
    ck_assert_int_eq(clock_poll(&wait, 1, 0.2), 0);
    ck_assert(clock_seconds() >= start + 0.2 && clock_seconds() < start + SUITE_TIMEOUT);
    ck_assert_int_gt(interrupts, 0);
    late_writer = ends[1];
    interrupts = 0;
    ck_assert_int_eq(clock_poll(&wait, 1, -1), 1);
    ck_assert_int_ge(interrupts, 3);
}
END_TEST

/* Catches an error that is taken for a signal, and asked for again for ever. */
START_TEST(a_poll_that_fails_says_why)
{
    struct pollfd wait = {.fd = STDIN_FILENO, .events = POLLIN};
    struct rlimit before, none;

    ck_assert_int_eq(getrlimit(RLIMIT_NOFILE, &before), 0);
    none = before;
    none.rlim_cur = 0; /* more descriptors than the limit are EINVAL (POSIX.1-2008, poll) */
    ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &none), 0);
    ck_assert_int_eq(clock_poll(&wait, 1, SUITE_TIMEOUT), -1);
    ck_assert_int_eq(errno, EINVAL);
    ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &before), 0);
}
END_TEST

SUITE("clock", the_clock_never_goes_back_and_has_fractions, zero_and_less_give_zero,
      conversions_keep_the_time_and_the_ranges, a_tiny_timeout_does_not_become_never,
      milliseconds_are_rounded_up_and_bounded, none_is_never_the_earlier,
      sleeping_goes_on_through_signals, polling_lasts_as_long_as_it_says,
      a_signal_neither_ends_nor_prolongs_a_poll, a_poll_that_fails_says_why)
