/* test_worker_process.c: processes that one forks to work at the same time, and waits for
 * (worker_process.h). */
#include "suite.h"

#include "base/worker_process.h"

#include <signal.h>
#include <sys/resource.h>

static struct workers workers;

static void start(size_t count, worker_run *run, void *context)
{
    signal(SIGPIPE, SIG_IGN);
    ck_assert_int_eq(workers_new(&workers, count), 0);
    for (size_t i = 0; i < count; i++)
        ck_assert_int_eq(workers_start(&workers, run, context), 0);
}

/* Waits for one that ends by itself. macOS takes the address of what WEXITSTATUS is given. */
static int exit_status(size_t number)
{
    int status = workers_wait(&workers, number);

    return WEXITSTATUS(status);
}

static int say_number(void *context, size_t number, int channel)
{
    char byte = (char)number;

    return write(channel, &byte, 1) == 1 ? *(int *)context + (int)number : 255;
}

/* Catches two of one number, a context or a status that is another's, a channel that leads to
 * another, and a zombie or a descriptor that is left. */
START_TEST(each_has_its_number_channel_and_status)
{
    int base = 10, before = open_descriptors();
    char byte;

    start(3, say_number, &base);
    ck_assert_uint_eq(workers.count, 3);
    ck_assert_uint_eq(workers.open, 3);
    for (size_t i = 0; i < 3; i++) {
        int status;
        ck_assert_int_eq(read(workers.list[i].channel, &byte, 1), 1);
        ck_assert_int_eq(byte, (int)i);
        status = workers_wait(&workers, i);
        ck_assert(WIFEXITED(status));
        ck_assert_int_eq(WEXITSTATUS(status), base + (int)i);
        ck_assert_int_eq(workers.list[i].pid, 0);
        workers_close(&workers, i);
        ck_assert_uint_eq(workers.open, 2 - i);
    }
    ck_assert_int_eq(waitpid(-1, NULL, 0), -1);
    ck_assert_int_eq(errno, ECHILD);
    ck_assert_int_eq(open_descriptors(), before);
    workers_free(&workers);
}
END_TEST

static int count_descriptors(void *context, size_t number, int channel)
{
    (void)context;
    (void)number;
    (void)channel;
    return open_descriptors();
}

/* Catches a worker that keeps another's channel, which then would not break with who has it; also
 * where the channel of an earlier one is closed. */
START_TEST(a_worker_holds_no_channel_but_its_own)
{
    int before = open_descriptors();

    ck_assert_int_eq(workers_new(&workers, 3), 0);
    for (size_t i = 0; i < 3; i++) {
        if (i == 2)
            workers_close(&workers, 0);
        ck_assert_int_eq(workers_start(&workers, count_descriptors, NULL), 0);
        ck_assert_int_eq(exit_status(i), before + 1);
    }
    workers_free(&workers);
}
END_TEST

static int echo_a_byte(void *context, size_t number, int channel)
{
    char byte;

    (void)context;
    (void)number;
    while (read(channel, &byte, 1) == 1)
        if (write(channel, &byte, 1) != 1)
            return 1;
    return 7; /* its parent has closed */
}

/* Catches what is said and not found, what is found of a closed channel, and a wait that outlasts
 * its time. */
START_TEST(a_poll_finds_who_has_something_to_say)
{
    char byte;

    start(3, echo_a_byte, NULL);
    ck_assert_int_eq(workers_poll(&workers, 0.01), 0);
    ck_assert_int_eq(write(workers.list[1].channel, "x", 1), 1);
    ck_assert_int_eq(workers_poll(&workers, -1), 1);
    ck_assert_int_eq(workers.polls[0].revents, 0);
    ck_assert_int_ne(workers.polls[1].revents, 0);
    ck_assert_int_eq(read(workers.list[1].channel, &byte, 1), 1);
    workers_close(&workers, 1);
    ck_assert_int_eq(exit_status(1), 7);
    ck_assert_int_eq(workers_poll(&workers, 0), 0);
    workers_signal(&workers, SIGKILL);
    ck_assert_int_gt(workers_poll(&workers, -1), 0); /* an end is something, too */
    workers_free(&workers);
}
END_TEST

/* Catches a signal that reaches only some, and one to a process that is not ours any more. */
START_TEST(a_signal_is_for_all_that_are_left)
{
    start(3, echo_a_byte, NULL);
    workers_close(&workers, 0);
    ck_assert_int_eq(exit_status(0), 7);
    workers_signal(&workers, SIGKILL); /* to process 0, it would be to our whole group */
    for (size_t i = 1; i < 3; i++) {
        int status = workers_wait(&workers, i);
        ck_assert(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
    }
    workers_free(&workers);
}
END_TEST

/* Catches workers that go on when nobody waits for them, and a wait for those that never end. */
START_TEST(those_that_are_left_end)
{
    int before = open_descriptors();

    start(3, echo_a_byte, NULL);
    kill(workers.list[1].pid, SIGSTOP);
    workers_free(&workers);
    ck_assert_int_eq(waitpid(-1, NULL, 0), -1);
    ck_assert_int_eq(open_descriptors(), before);
}
END_TEST

/* Catches statuses that are lost where the starter has SIGCHLD ignored: the system then reaps. */
START_TEST(an_ignored_sigchld_hides_no_status)
{
    int base = 5;

    signal(SIGCHLD, SIG_IGN);
    start(1, say_number, &base);
    ck_assert_int_eq(exit_status(0), 5);
    workers_free(&workers);
}
END_TEST

/* Catches a channel that is left open when a worker cannot be started, and a number that is lost
 * with it. */
START_TEST(one_that_cannot_start_leaves_nothing)
{
    struct rlimit before, limit;
    int open = open_descriptors(), base = 0;

    ck_assert_int_eq(workers_new(&workers, 2), 0);
    ck_assert_int_eq(getrlimit(RLIMIT_NOFILE, &before), 0);
    limit = before;
    limit.rlim_cur = 3;
    ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &limit), 0);
    ck_assert_int_eq(workers_start(&workers, say_number, &base), -1);
    ck_assert_int_eq(errno, EMFILE);
    ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &before), 0);
    ck_assert_int_eq(open_descriptors(), open);
    ck_assert_uint_eq(workers.count, 0);
    ck_assert_int_eq(workers_start(&workers, say_number, &base), 0);
    ck_assert_int_eq(exit_status(0), 0);
    workers_free(&workers);
}
END_TEST

SUITE("worker_process", each_has_its_number_channel_and_status,
      a_worker_holds_no_channel_but_its_own, a_poll_finds_who_has_something_to_say,
      a_signal_is_for_all_that_are_left, those_that_are_left_end,
      an_ignored_sigchld_hides_no_status, one_that_cannot_start_leaves_nothing)
