/* test_clock.c: the one clock, its conversions, and waits through signals (clock.h). */
#include "suite.h"

#include "base/clock.h"

#include <limits.h>
#include <signal.h>
#include <sys/resource.h>

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

/* Catches a wait that a signal ends, and one whose whole time starts anew at each, which under
 * these would never end. */
START_TEST(polling_goes_on_through_signals_until_the_deadline)
{
    int ends[2];
    pid_t sender = start_interrupting();
    struct pollfd wait = {.events = POLLIN};
    double deadline;

    ck_assert_int_eq(pipe(ends), 0);
    wait.fd = ends[0];
    do {
        deadline = clock_seconds() + 0.03;
        ck_assert_int_eq(clock_poll(&wait, 1, deadline), 0);
        ck_assert(clock_seconds() >= deadline);
    } while (interrupts == 0);
    stop_interrupting(sender);
    close(ends[0]);
    close(ends[1]);
}
END_TEST

/* Catches a late caller who is not told what is ready, one who waits, one who waits without end
 * (0) and is not woken, and an error that is retried for ever. */
START_TEST(polling_looks_once_when_it_is_late_and_passes_errors_on)
{
    int ends[2];
    struct pollfd wait = {.events = POLLIN};
    struct rlimit none = {0, 0}, before;
    double late = clock_seconds() - 1;

    ck_assert_int_eq(pipe(ends), 0);
    wait.fd = ends[0];
    ck_assert_int_eq(clock_poll(&wait, 1, late), 0);
    ck_assert_int_eq(write(ends[1], "x", 1), 1);
    ck_assert_int_eq(clock_poll(&wait, 1, late), 1);
    ck_assert_int_eq(clock_poll(&wait, 1, 0), 1);
    ck_assert_int_eq(getrlimit(RLIMIT_NOFILE, &before), 0);
    none.rlim_max = before.rlim_max;
    ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &none), 0);
    ck_assert_int_eq(clock_poll(&wait, 1, 0), -1);
    ck_assert_int_eq(errno, EINVAL);
    ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &before), 0);
    close(ends[0]);
    close(ends[1]);
}
END_TEST

SUITE("clock", the_clock_never_goes_back_and_has_fractions, zero_and_less_give_zero,
      conversions_keep_the_time_and_the_ranges, a_tiny_timeout_does_not_become_never,
      milliseconds_are_rounded_up_and_bounded, none_is_never_the_earlier,
      sleeping_goes_on_through_signals,
      polling_goes_on_through_signals_until_the_deadline,
      polling_looks_once_when_it_is_late_and_passes_errors_on)
