/* load/run.c: see load/run.h. */
#include "load/run.h"

#include "base/clock.h"
#include "load/channel.h"
#include "load/work.h"

#include <math.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

/* How many connections all processes together open at the same time: half of the smallest usual
 * backlog, 128. More would not be faster. */
#define OPENING_MAX 64

/* As many connections at most are polled, and only where each is for one message. */
#define POLLED_MAX 64

/* Whoever started us may have left descriptors open; numbers up to this far beyond those of the
 * connections can be watched, if the limit allows them. */
#define INHERITED_MAX 1024

/* How long the finish of a round may take, in timeouts: more than one, so that what has stopped
 * moving has failed before. */
#define FINISH_TIMEOUTS 2

static bool is_interrupted(const struct run *run)
{
    return *run->settings->interrupted != 0;
}

/* ---- a turn of the loop, and its progress ---- */

static void name_phase(const struct run *run, char *text, size_t size)
{
    const struct load_result *result = run->result;

    if (run->phase == PHASE_OPEN)
        snprintf(text, size, "opening");
    else if (run->phase == PHASE_CLOSE)
        snprintf(text, size, "closing");
    else if (run->tally == &result->rounds[settings_rows(run->settings)])
        snprintf(text, size, "warm-up");
    else if (run->settings->interval > 0)
        snprintf(text, size, "measuring");
    else
        snprintf(text, size, "round %zu of %zu", result->round_count + 1, run->settings->rounds);
}

/* What the rate on the terminal counts: while opening, connections. */
static double done_so_far(const struct run *run)
{
    const struct load_mode *mode = run->settings->mode;

    if (run->phase == PHASE_OPEN)
        return (double)run->loop.opened;
    if (mode->kind == LOAD_STREAM)
        return (double)run->loop.received / mode->unit;
    return (double)(run->tally->count + run->tally->late);
}

/* Returns 0, or -1 with errno. */
static int show(struct run *run)
{
    struct load_standing standing = {
        .rate = progress_rate(&run->progress, done_so_far(run)),
        .rated = run->phase == PHASE_OPEN ? "connections/s" : run->settings->mode->rated,
        .live = run->loop.live,
        .failures = run->result->failures,
        .left = run->phase == PHASE_MEASURE ? run->end - run->loop.now : -1,
    };

    name_phase(run, standing.what, sizeof standing.what);
    if (run->settings->channel != -1)
        return channel_report(run->settings->channel, &standing);
    progress_show(&run->progress, &standing);
    return 0;
}

static int turn(struct run *run, double until)
{
    if (loop_turn(&run->loop, until) == -1)
        return -1;
    return progress_is_due(&run->progress, run->loop.now) ? show(run) : 0;
}

/* Waits until the other processes, if there are any, are as far, and for the moment at which all go
 * on. Returns 1 to go on measuring, 0 to measure no more, or -1 with errno. */
static int wait_for_others(struct run *run)
{
    int goes_on;

    if (run->settings->channel == -1) {
        run->start = clock_seconds();
        return !is_interrupted(run);
    }
    goes_on = channel_wait(run->settings->channel, &run->start);
    if (goes_on != -1)
        clock_sleep(run->start - clock_seconds());
    return goes_on;
}

/* ---- the phases ---- */

/* Those that are never tried, as the server does not answer, have failed too. */
static void give_up(struct run *run, size_t first, size_t end)
{
    for (size_t i = first; i < end; i++) {
        const struct connection *connection = &run->loop.connections[i];
        if (run->phase == PHASE_OPEN || connection->state == CONNECTION_RESTING)
            work_count_failure(run, connection, FAILED_TIMEOUT, 0);
    }
}

/* How many connections this process opens at the same time. */
static size_t opening_max(const struct load_settings *settings)
{
    return settings->processes < OPENING_MAX ? OPENING_MAX / settings->processes : 1;
}

/* Lets each of a range of connections echo once, a few at the same time. */
static int echo_range(struct run *run, size_t first, size_t end)
{
    struct load_loop *loop = &run->loop;
    size_t next = first;

    loop->busy_first = first;
    loop->busy_end = end;
    run->last_success = loop->now = clock_seconds();
    while (next < end || loop->busy > 0) {
        bool stops = is_interrupted(run) && run->phase == PHASE_OPEN;
        for (; next < end && !stops && loop->busy < opening_max(run->settings); next++)
            work_echo_kept(run, &loop->connections[next]);
        if (stops && loop->busy == 0)
            break;
        if (turn(run, loop->now + run->settings->timeout) == -1)
            return -1;
        if (next < end && loop->now - run->last_success > run->settings->timeout) {
            give_up(run, next, end);
            next = end;
        }
    }
    return 0;
}

/* Sets `*seconds` to how long it took. */
static int open_range(struct run *run, size_t first, size_t end, double *seconds)
{
    double start = clock_seconds();
    int result;

    run->phase = PHASE_OPEN;
    result = echo_range(run, first, end);
    *seconds = clock_seconds() - start;
    return result;
}

/* The processor time that this process has used, in seconds. */
static double processor_seconds(void)
{
    struct timespec used;

    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &used);
    return (double)used.tv_sec + (double)used.tv_nsec / 1e9;
}

/* Enters into the tally what the loop has counted since the last time. */
static void take_counts(struct run *run)
{
    struct load_loop *loop = &run->loop;

    run->tally->pauses += loop->pauses;
    run->tally->lag += loop->lag;
    loop->pauses = 0;
    loop->lag = 0;
}

/* Works between these times, into the tally; an interruption is the end. */
static int measure_between(struct run *run, double start, double end)
{
    struct load_loop *loop = &run->loop;
    double processor = processor_seconds();

    loop->received = 0;
    while (loop->now < end && !is_interrupted(run))
        if (turn(run, end) == -1)
            return -1;
    if (loop->now < end)
        end = run->end = loop->now;
    run->tally->seconds = end - start;
    run->tally->processor = processor_seconds() - processor;
    if (run->settings->mode->kind == LOAD_STREAM)
        run->tally->count = loop->received;
    take_counts(run);
    return 0;
}

/* Has all work for so long, on a ramp that takes `ramp_seconds`. */
static void begin_work(struct run *run, double duration, double ramp_seconds)
{
    const struct load_settings *settings = run->settings;
    struct load_loop *loop = &run->loop;

    run->phase = PHASE_MEASURE;
    run->ramp_seconds = ramp_seconds;
    loop->busy_first = 0;
    loop->busy_end = settings->concurrency;
    loop->now = clock_seconds();
    if (is_interrupted(run))
        duration = 0;
    run->end = run->start + duration;
    if (settings->rate.from > 0) {
        schedule_begin(&run->schedule, run->start, duration, settings->rate.from,
                       (settings->rate.to - settings->rate.from) / ramp_seconds);
        schedule_share(&run->schedule, settings->place, settings->parts);
    }
    if (duration > 0)
        work_begin(run);
}

/* Measures a round, into a row for each of its intervals. Several processes measure from the same
 * start; one that is late measures what is left. */
static int measure(struct run *run, struct load_tally *rows)
{
    const struct load_settings *settings = run->settings;
    size_t count = settings->interval > 0 ? settings_rows(settings) : 1;
    double from = run->start;

    begin_work(run, settings->duration, settings->duration);
    for (size_t i = 0; i == 0 || (i < count && from < run->end); i++) {
        double until = run->start + (double)(i + 1) * settings->interval;
        run->tally = &rows[i];
        if (measure_between(run, from, i + 1 < count && until < run->end ? until : run->end) == -1)
            return -1;
        from = until;
    }
    return 0;
}

/* Its counts are not reported, and it stays at the start of a ramp. */
static int warm_up(struct run *run, struct load_tally *not_reported)
{
    run->tally = not_reported;
    begin_work(run, run->settings->warm_up, INFINITY);
    return measure_between(run, run->start, run->end);
}

/* What is on its way comes back, or fails by the timeout. Scheduled requests that have not begun
 * are begun, for as long as one timeout. The second bound ends what moves, but too slowly. */
static int finish(struct run *run)
{
    struct load_loop *loop = &run->loop;
    double patience = loop->now + run->settings->timeout;
    double until = loop->now + FINISH_TIMEOUTS * run->settings->timeout;

    run->phase = PHASE_FINISH;
    work_end(run, is_interrupted(run));
    while (loop->busy > 0 && loop->now < until) {
        if (turn(run, until) == -1)
            return -1;
        if (loop->now >= patience)
            work_give_up_waiting(run);
    }
    work_give_up(run);
    if (run->settings->mode->kind == LOAD_STREAM)
        run->tally->late = loop->received - run->tally->count;
    take_counts(run);
    return 0;
}

static int close_all(struct run *run)
{
    size_t concurrency = run->settings->concurrency;
    size_t first = run->settings->mode->kind == LOAD_HOLD ? 0 : concurrency;
    int result;

    run->phase = PHASE_CLOSE;
    result = echo_range(run, first, concurrency + run->settings->held);
    for (size_t i = 0; i < concurrency + run->settings->held; i++)
        if (run->loop.connections[i].state != CONNECTION_CLOSED)
            loop_close(&run->loop, &run->loop.connections[i]);
    return result;
}

/* There is always one round; an interruption leaves out those that have not begun. */
static int run_rounds(struct run *run)
{
    struct load_result *result = run->result;
    int goes_on;

    do {
        if (measure(run, &result->rounds[result->round_count]) == -1 || finish(run) == -1)
            return -1;
        result->round_count = (size_t)(run->tally - result->rounds) + 1;
        goes_on = wait_for_others(run);
    } while (goes_on == 1 && result->round_count < run->settings->rounds);
    return goes_on == -1 ? -1 : 0;
}

static int run_phases(struct run *run)
{
    size_t concurrency = run->settings->concurrency;
    struct load_result *result = run->result;
    struct load_tally *not_reported = &result->rounds[settings_rows(run->settings)];

    run->tally = &result->rounds[0];
    if (open_range(run, concurrency, concurrency + run->settings->held,
                   &result->held_opening) == -1)
        return -1;
    if (run->settings->mode->keeps &&
        open_range(run, 0, concurrency, &result->opening) == -1)
        return -1;
    if (wait_for_others(run) == -1)
        return -1;
    if (run->settings->warm_up > 0 &&
        (warm_up(run, not_reported) == -1 || finish(run) == -1 || wait_for_others(run) == -1))
        return -1;
    if (run_rounds(run) == -1)
        return -1;
    return close_all(run);
}

int load_run(const struct load_settings *settings, struct target *target,
             struct load_result *result)
{
    struct run run = {.settings = settings, .result = result};
    size_t connections = settings->concurrency + settings->held;
    bool polls = !settings->mode->keeps && connections <= POLLED_MAX;
    int outcome;

    if (result_new(result, settings_rows(settings) + 1) == -1 || /* 1: the warm-up */
        loop_new(&run.loop, target, connections, settings->size,
                 polls ? &readiness_poll : readiness_best, connections + INHERITED_MAX) == -1)
        return -1;
    run.loop.timeout = settings->timeout;
    run.loop.complete = work_complete;
    run.loop.failed = work_failed;
    run.loop.owner = &run;
    run.loop.numbers = settings->numbers;
    if (settings->rate.from > 0)
        loop_be_exact(&run.loop);
    progress_begin(&run.progress, settings->channel != -1, run.loop.now);
    outcome = run_phases(&run);
    progress_end(&run.progress);
    if (outcome == 0)
        result_sum_up(result, settings);
    loop_free(&run.loop);
    return outcome;
}
