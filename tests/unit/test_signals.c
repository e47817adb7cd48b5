/* test_signals.c: handlers that only record (signals.h). Each test has its process to itself. */
#include "suite.h"

#include "base/clock.h"
#include "process/signals.h"

#include <sys/select.h>

static const int handled[] = {SIGTERM, SIGINT, SIGQUIT, SIGUSR1, SIGCHLD};

/* Waits as the server does. Returns whether a signal ended the wait at once. */
static bool wait_for_signal(double seconds)
{
    struct timespec limit = clock_timespec(seconds);
    int result = pselect(0, NULL, NULL, NULL, &limit, signals_wait_mask());

    return result == -1 && errno == EINTR;
}

/* Catches a signal that gets through outside of the wait, where a wakeup could be lost. */
START_TEST(signals_are_recorded_only_inside_the_wait)
{
    signals_open();
    for (size_t i = 0; i < SUITE_LENGTH(handled); i++) {
        ck_assert(!signals_take(handled[i]));
        ck_assert_int_eq(raise(handled[i]), 0);
        ck_assert(!signals_take(handled[i]));
        ck_assert(wait_for_signal(SUITE_TIMEOUT));
        ck_assert(signals_take(handled[i]));
        ck_assert(!signals_take(handled[i]));
        ck_assert(!wait_for_signal(0));
    }
}
END_TEST

/* Catches a record that one signal's taking clears for the others. */
START_TEST(each_signal_has_its_own_record)
{
    signals_open();
    for (size_t i = 0; i < SUITE_LENGTH(handled); i++)
        ck_assert_int_eq(raise(handled[i]), 0);
    while (wait_for_signal(0))
        ;
    for (size_t i = 0; i < SUITE_LENGTH(handled); i++)
        ck_assert(signals_take(handled[i]));
    for (size_t i = 0; i < SUITE_LENGTH(handled); i++)
        ck_assert(!signals_take(handled[i]));
    ck_assert(!signals_take(SIGHUP));
}
END_TEST

/* Catches a server that misses signals because a service manager or nohup started it with them
 * ignored or blocked; and one that unblocks signals which it does not handle. */
START_TEST(signals_come_whatever_the_starter_left_and_others_stay_blocked)
{
    struct sigaction ignore = {.sa_handler = SIG_IGN};
    sigset_t all;

    for (size_t i = 0; i < SUITE_LENGTH(handled); i++)
        sigaction(handled[i], &ignore, NULL);
    sigfillset(&all);
    sigprocmask(SIG_BLOCK, &all, NULL);
    signals_open();
    ck_assert_int_eq(sigismember(signals_wait_mask(), SIGPROF), 1);
    ck_assert_int_eq(raise(SIGPROF), 0); /* would end us */
    for (size_t i = 0; i < SUITE_LENGTH(handled); i++) {
        ck_assert_int_eq(raise(handled[i]), 0);
        ck_assert(wait_for_signal(SUITE_TIMEOUT));
        ck_assert(signals_take(handled[i]));
    }
}
END_TEST

/* Catches a server that ends because a client, or the reader of its log, is gone. */
START_TEST(writing_to_nobody_is_an_error)
{
    int ends[2];

    signals_open();
    ck_assert_int_eq(pipe(ends), 0);
    close(ends[0]);
    ck_assert_int_eq(write(ends[1], "x", 1), -1);
    ck_assert_int_eq(errno, EPIPE);
}
END_TEST

/* Catches a server that looks through all its children because one of them was stopped. */
START_TEST(a_child_that_is_stopped_has_not_ended)
{
    pid_t pid;
    int status;

    signals_open();
    pid = fork();
    if (pid == 0)
        _exit(raise(SIGSTOP));
    ck_assert_int_eq(waitpid(pid, &status, WUNTRACED), pid);
    ck_assert(WIFSTOPPED(status));
    ck_assert(!wait_for_signal(0));
    kill(pid, SIGCONT);
    ck_assert(wait_for_signal(SUITE_TIMEOUT));
    ck_assert(signals_take(SIGCHLD));
    ck_assert_int_eq(waitpid(pid, &status, WNOHANG), pid); /* the SIGCHLD was for its end */
}
END_TEST

/* A child of a server gets a signal. It exits with 0 where that has not ended it. */
static int raise_it(void *data)
{
    raise(*(int *)data);
    return 0;
}

/* Catches a child that outlives what its parent sends it, or that records it, where whoever started
 * the server had that signal ignored and blocked. */
START_TEST(a_child_is_ended_by_its_parent)
{
    int stop = SIGNALS_STOP;
    sigset_t blocked;

    signal(SIGNALS_STOP, SIG_IGN);
    sigemptyset(&blocked);
    sigaddset(&blocked, SIGNALS_STOP);
    sigprocmask(SIG_BLOCK, &blocked, NULL);
    signals_open();
    ck_assert_int_eq(suite_in_child(raise_it, &stop), 256 + SIGNALS_STOP);
}
END_TEST

/* Catches a stop, or Ctrl-C on a terminal, that is sent to all processes of a server at once and
 * cuts off its clients. */
START_TEST(a_child_is_not_ended_by_what_is_for_its_parent)
{
    static const int others[] = {SIGTERM, SIGINT, SIGQUIT, SIGHUP, SIGUSR1, SIGPIPE};

    signals_open();
    for (size_t i = 0; i < SUITE_LENGTH(others); i++) {
        int number = others[i];
        ck_assert_int_eq(suite_in_child(raise_it, &number), 0);
    }
}
END_TEST

/* Catches a wakeup lost between the look at the record and the sleep: children that end at
 * any moment; a lost one would leave the wait to its timeout. */
START_TEST(no_wakeup_is_lost)
{
    signals_open();
    for (int i = 0; i < 200; i++) {
        pid_t pid = fork();
        ck_assert_int_ne(pid, -1);
        if (pid == 0)
            _exit(0);
        while (waitpid(pid, NULL, WNOHANG) != pid)
            ck_assert_msg(wait_for_signal(SUITE_TIMEOUT), "no SIGCHLD");
        (void)signals_take(SIGCHLD);
    }
}
END_TEST

SUITE("signals", signals_are_recorded_only_inside_the_wait, each_signal_has_its_own_record,
      signals_come_whatever_the_starter_left_and_others_stay_blocked,
      writing_to_nobody_is_an_error, a_child_that_is_stopped_has_not_ended,
      a_child_is_ended_by_its_parent,
      a_child_is_not_ended_by_what_is_for_its_parent, no_wakeup_is_lost)
