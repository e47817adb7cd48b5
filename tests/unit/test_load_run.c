/* test_load_run.c: one run of the load generator (load/run.h), against a server in a process of
 * its own that echoes, or does one thing wrong. */
#include "suite.h"

#include "base/clock.h"
#include "load/channel.h"
#include "load/run.h"

#include <poll.h>
#include <signal.h>

#define SERVED_MAX 64

static struct load_settings settings;
static struct load_result result;
static struct target target;
static volatile sig_atomic_t interrupted;
static pid_t server;

/* What the server does with what it reads. */
static void echo(int client, char *bytes, ssize_t count)
{
    if (write(client, bytes, (size_t)count) != count)
        shutdown(client, SHUT_RDWR); /* it has been reset */
}

static void spoil(int client, char *bytes, ssize_t count)
{
    bytes[count - 1] ^= 1;
    echo(client, bytes, count);
}

static void drop(int client, char *bytes, ssize_t count)
{
    (void)bytes;
    (void)count;
    shutdown(client, SHUT_RDWR);
}

static void keep_silent(int client, char *bytes, ssize_t count)
{
    (void)client;
    (void)bytes;
    (void)count;
}

typedef void service(int client, char *bytes, ssize_t count);

static void take(struct pollfd *polls, nfds_t *count)
{
    int client = accept(polls[0].fd, NULL, NULL);

    if (client == -1 || *count > SERVED_MAX)
        _exit(2);
    polls[(*count)++] = (struct pollfd){.fd = client, .events = POLLIN};
}

/* Until it is killed. */
static void serve(int listener, service *act)
{
    struct pollfd polls[SERVED_MAX + 1] = {{.fd = listener, .events = POLLIN}};
    nfds_t count = 1;
    char bytes[4096];

    while (poll(polls, count, -1) > 0) {
        for (nfds_t i = count - 1; i > 0; i--) {
            ssize_t size = polls[i].revents != 0 ? read(polls[i].fd, bytes, sizeof bytes) : -1;
            if (size > 0)
                act(polls[i].fd, bytes, size);
            if (polls[i].revents != 0 && size <= 0) {
                close(polls[i].fd);
                polls[i] = polls[--count];
            }
        }
        if (polls[0].revents != 0)
            take(polls, &count);
    }
}

/* Starts the server, and settings that are quick. */
static void start(service *act)
{
    int listener = socket(AF_INET, SOCK_STREAM, 0);
    struct sockaddr_in name = {.sin_family = AF_INET};

    signal(SIGPIPE, SIG_IGN);
    name.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    target.address.length = sizeof name;
    ck_assert_int_eq(bind(listener, (struct sockaddr *)&name, sizeof name), 0);
    ck_assert_int_eq(getsockname(listener, &target.address.name.any, &target.address.length), 0);
    ck_assert_int_eq(listen(listener, SERVED_MAX), 0);
    target.connected = -1;
    server = fork();
    ck_assert_int_ne(server, -1);
    if (server == 0)
        serve(listener, act);
    close(listener);
    settings = (struct load_settings){.mode = load_mode("ping"),
                                      .concurrency = 3,
                                      .rounds = 1,
                                      .processes = 1,
                                      .parts = 1,
                                      .channel = -1,
                                      .duration = 0.05,
                                      .timeout = 1000, /* a busy machine fails nothing */
                                      .size = 64,
                                      .interrupted = &interrupted};
}

static void run(void)
{
    ck_assert_int_eq(load_run(&settings, &target, &result), 0);
}

static void finish(void)
{
    result_free(&result);
    kill(server, SIGKILL);
    ck_assert_int_eq(waitpid(server, NULL, 0), server);
}

/* Catches a round that is measured and not told of, or the reverse, and one in the row of another. */
START_TEST(each_round_has_its_own_tally)
{
    uint64_t count = 0;

    start(echo);
    settings.rounds = 3;
    run();
    ck_assert_uint_eq(result.round_count, 3);
    for (int i = 0; i < 3; i++) {
        ck_assert_uint_gt(result.rounds[i].latency.total, 0);
        ck_assert_uint_eq(result.rounds[i].latency.total,
                          result.rounds[i].count + result.rounds[i].late);
        ck_assert(result.rounds[i].seconds > 0.0499 && result.rounds[i].rate >= 0);
        count += result.rounds[i].count;
    }
    ck_assert_uint_eq(result.sum.count, count);
    ck_assert(result.spread.lowest <= result.spread.median);
    ck_assert(result.spread.median <= result.spread.highest);
    ck_assert(result.sum.rate >= result.spread.median && result.sum.rate <= result.spread.median);
    ck_assert_uint_eq(result.failures, 0);
    finish();
}
END_TEST

/* Catches a warm-up that is measured. */
START_TEST(a_warm_up_is_in_no_tally)
{
    start(echo);
    settings.warm_up = 0.5;
    settings.rate = (struct load_ramp){200, 200};
    settings.duration = 0.1;
    run();
    ck_assert_uint_eq(result.round_count, 1);
    ck_assert_uint_eq(result.sum.count + result.sum.late, 20);
    ck_assert(result.sum.seconds < 0.5);
    finish();
}
END_TEST

/* Catches a request of a schedule that is skipped or done twice, in any mode that can have one. */
START_TEST(a_schedule_is_done_whole)
{
    static const char *const modes[] = {"connect", "ping", "halfclose", "dribble", "storm", "reset"};

    for (size_t i = 0; i < SUITE_LENGTH(modes); i++) {
        start(echo);
        result = (struct load_result){0};
        settings.mode = load_mode(modes[i]);
        settings.size = 8;
        settings.rate = (struct load_ramp){300, 300};
        settings.duration = 0.1;
        settings.rounds = 2;
        run();
        ck_assert_msg(result.sum.count + result.sum.late == 60, "%s: %d", modes[i],
                      (int)(result.sum.count + result.sum.late));
        ck_assert_uint_eq(result.sum.latency.total, 60);
        ck_assert_uint_eq(result.sum.service.total, 60);
        ck_assert_uint_eq(result.failures, 0);
        finish();
    }
}
END_TEST

/* Runs as a worker that is told to begin so many seconds from now. */
static void run_as_told(const char *mode, double seconds)
{
    double moment = clock_seconds() + seconds;
    int ends[2];

    result_free(&result);
    result = (struct load_result){0};
    settings.mode = load_mode(mode);
    ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM, 0, ends), 0);
    settings.channel = ends[1];
    for (int answers = 0; answers < 2; answers++) /* before the round, and behind it */
        ck_assert_int_eq(channel_answer(ends[0], true, moment), 0);
    run();
    ck_assert_double_ge(clock_seconds(), moment + settings.duration);
    ck_assert_double_eq_tol(result.sum.seconds, settings.duration, 1e-6);
    close(ends[0]);
    close(ends[1]);
}

/* Catches a worker that measures when the others have ended, or before they begin: what
 * it counts would be counted as done in their time. */
START_TEST(a_round_is_when_all_have_it)
{
    double lead = 0.2; /* a busy machine may need more to be there in time */

    start(echo);
    do {
        run_as_told("ping", lead);
        lead *= 2;
    } while (result.sum.latency.total == 0 && lead < 4);
    ck_assert_uint_gt(result.sum.latency.total, 0);
    run_as_told("ping", -1);
    ck_assert_uint_eq(result.sum.count, 0);
    run_as_told("stream", -1);
    ck_assert_uint_eq(result.sum.count, 0);
    run_as_told("nonreading", -1); /* they have stayed, however late */
    ck_assert_uint_eq(result.sum.count, settings.concurrency);
    settings.rate = (struct load_ramp){200, 200};
    run_as_told("ping", -1); /* a schedule waits for nobody */
    ck_assert_uint_eq(result.sum.late, 10);
    ck_assert_double_gt(result.sum.latency.longest, 0.9);
    ck_assert_uint_eq(result.failures, 0);
    finish();
}
END_TEST

/* Catches what is not begun in time and is counted nowhere. */
START_TEST(what_was_never_begun_has_failed)
{
    start(keep_silent);
    settings.mode = load_mode("connect");
    settings.rate = (struct load_ramp){200, 200};
    settings.duration = 0.1;
    settings.timeout = 0.2;
    run();
    ck_assert_uint_eq(result.sum.failed[FAILED_TIMEOUT], 20);
    ck_assert_uint_eq(result.sum.failures, 20);
    ck_assert_uint_eq(result.failures, 20);
    ck_assert_uint_eq(result.sum.count + result.sum.late, 0);
    finish();
}
END_TEST

static void fails_as(service *act, const char *mode, enum load_failure why)
{
    start(act);
    settings.mode = load_mode(mode);
    result = (struct load_result){0};
    do { /* a busy machine may not come so far in the first */
        result_free(&result);
        result = (struct load_result){0};
        run();
        settings.duration *= 4;
    } while (result.sum.failures < settings.concurrency && settings.duration < SUITE_TIMEOUT / 4.0);
    ck_assert_msg(result.sum.failed[why] >= settings.concurrency, "%s: %d", mode, (int)why);
    ck_assert_uint_eq(result.sum.failures, result.sum.failed[why]);
    ck_assert_uint_eq(result.failures, result.sum.failures);
    ck_assert_int_eq(result.first_failure, why);
    ck_assert_uint_eq(result.sum.count, 0);
    finish();
}

/* Catches a failure that passes for work done, or is counted under another name, in every mode
 * that reads. */
START_TEST(every_mode_sees_what_goes_wrong)
{
    static const char *const modes[] = {"connect", "ping", "stream", "hold", "halfclose", "dribble"};

    for (size_t i = 0; i < SUITE_LENGTH(modes); i++) {
        fails_as(spoil, modes[i], FAILED_WRONG);
        fails_as(drop, modes[i], FAILED_EARLY);
    }
}
END_TEST

/* Catches held connections among those of the workload. */
START_TEST(held_connections_are_counted_apart)
{
    start(echo);
    settings.held = 5;
    run();
    ck_assert_uint_eq(result.held, 5);
    ck_assert_uint_eq(result.held_failed + result.held_lost, 0);
    finish();

    start(drop);
    result = (struct load_result){0};
    settings.mode = load_mode("storm"); /* which does not mind */
    settings.held = 5;
    run();
    ck_assert_uint_eq(result.held, 0);
    ck_assert_uint_eq(result.held_failed, 5);
    ck_assert_uint_eq(result.sum.failures, 0);
    finish();
}
END_TEST

/* Catches connections that only hold and are forgotten in the count, or not timed. */
START_TEST(those_that_hold_are_counted_in_the_end)
{
    start(echo);
    settings.mode = load_mode("hold");
    run();
    ck_assert_uint_eq(result.sum.count, 3);
    ck_assert_uint_eq(result.sum.latency.total, 3);
    ck_assert(result.opening > 0 && result.sum.rate > 0);
    finish();

    start(keep_silent);
    result = (struct load_result){0};
    settings.mode = load_mode("nonreading");
    settings.size = 65536;
    run();
    ck_assert_uint_eq(result.sum.count, 3);
    ck_assert_uint_eq(result.failures, 0);
    finish();
}
END_TEST

/* Catches an interruption before the first round that leaves no round, or does all of them. */
START_TEST(an_interruption_leaves_one_round)
{
    interrupted = 1;
    start(echo);
    settings.rounds = 5;
    settings.duration = 100;
    settings.warm_up = 100;
    settings.rate = (struct load_ramp){10, 10};
    run();
    ck_assert_uint_eq(result.round_count, 1);
    ck_assert(result.sum.seconds < 1);
    ck_assert_uint_eq(result.failures, 0);
    finish();
}
END_TEST

/* Catches sockets or a timer that are left behind. */
START_TEST(a_run_leaves_no_descriptor)
{
    int before;

    start(echo);
    before = open_descriptors();
    settings.rate = (struct load_ramp){100, 100};
    settings.held = 3;
    run();
    ck_assert_int_eq(open_descriptors(), before);
    finish();
}
END_TEST

SUITE("load_run", each_round_has_its_own_tally, a_warm_up_is_in_no_tally, a_schedule_is_done_whole,
      a_round_is_when_all_have_it, what_was_never_begun_has_failed, every_mode_sees_what_goes_wrong,
      held_connections_are_counted_apart, those_that_hold_are_counted_in_the_end,
      an_interruption_leaves_one_round, a_run_leaves_no_descriptor)
