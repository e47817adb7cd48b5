/* load_run.c: see load_run.h. */
#include "load_run.h"

#include "clock.h"
#include "load_loop.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

/* How many kept connections are being opened at the same time. Half of the smallest usual
 * backlog, 128; more would not be faster on any machine that shares its processors. */
#define OPENING_MAX 64

/* Descriptors that are not connections: the three standard ones, the readiness mechanism's,
 * and a few that whoever started us left open. */
#define OTHER_DESCRIPTORS 16

/* Whoever started us may have left more open than that; numbers up to this far beyond can be
 * watched, if the limit allows them. */
#define INHERITED_MAX 1024

/* What surely goes in one segment (RFC 9293 section 3.7.1). */
#define SEGMENT 536

/* At the end the last bytes may take this many timeouts. More than one, so that whatever has
 * stopped moving is found before. */
#define FINISH_TIMEOUTS 2

enum phase { PHASE_OPEN, PHASE_MEASURE, PHASE_FINISH, PHASE_CLOSE };

struct run {
    const struct load_settings *settings;
    struct load_result *result;
    struct load_tally *tally; /* of the round, or of the warm-up */
    struct load_loop loop;
    enum phase phase;
    double end;          /* of the measured time */
    uint64_t pauses;     /* that are in a tally already */
    double last_success; /* when a kept connection last echoed, while opening and closing */
};

static const struct load_mode modes[] = {
    {LOAD_CONNECT, "connect", "connections", "connections/s", 1, 64},
    {LOAD_PING, "ping", "messages", "messages/s", 1, 64},
    {LOAD_STREAM, "stream", "bytes", "MB/s", 1e6, 65536},
    {LOAD_HOLD, "hold", "connections", "connections/s", 1, 64},
};

const struct load_mode *load_mode(const char *name)
{
    for (size_t i = 0; i < sizeof modes / sizeof *modes; i++)
        if (strcmp(modes[i].name, name) == 0)
            return &modes[i];
    return NULL;
}

bool load_is_immediate(const struct load_settings *settings)
{
    return settings->mode->workload == LOAD_PING ||
           (settings->mode->workload != LOAD_STREAM && settings->size > SEGMENT);
}

size_t load_descriptors(const struct load_settings *settings)
{
    return settings->concurrency + settings->held + OTHER_DESCRIPTORS;
}

/* The connections are in one row: first those of the workload, then the held ones. */
static bool is_held(const struct run *run, const struct connection *connection)
{
    return (size_t)(connection - run->loop.connections) >= run->settings->concurrency;
}

static bool is_interrupted(const struct run *run)
{
    return *run->settings->interrupted != 0;
}

/* ---- what becomes of a connection ---------------------------------------------------- */

static void count_failure(struct run *run, const struct connection *connection,
                          enum load_failure why, int error)
{
    struct load_result *result = run->result;
    bool echoed = connection->received > 0 && connection->received >= connection->limit;

    if (result->failures++ == 0) {
        result->first_failure = why;
        result->first_error = error;
    }
    if (!is_held(run, connection))
        tally_failure(run->tally, why);
    else if (run->phase == PHASE_OPEN && !echoed)
        result->held_failed++;
    else /* it has been counted as held */
        result->held_lost++;
}

static void failed(void *owner, struct connection *connection, enum load_failure why, int error)
{
    struct run *run = owner;

    count_failure(run, connection, why, error);
    if (run->phase == PHASE_MEASURE && !is_held(run, connection) &&
        run->settings->mode->workload != LOAD_HOLD) {
        connection->measured = run->settings->mode->workload == LOAD_CONNECT;
        loop_wait(&run->loop, connection, run->settings->size);
    }
}

static bool streams(const struct run *run)
{
    return run->settings->mode->workload == LOAD_STREAM;
}

/* Counts what has come back by `now`. Streamed bytes are counted by the loop. */
static void count_echo(struct run *run, const struct connection *connection, double now)
{
    histogram_record(&run->tally->latency, now - connection->started);
    if (!streams(run) && now <= run->end)
        run->tally->count++;
    else if (!streams(run))
        run->tally->late++;
}

/* The next piece of work of a connection of the workload that has none. */
static void work(struct run *run, struct connection *connection)
{
    connection->measured = true;
    switch (run->settings->mode->workload) {
    case LOAD_CONNECT:
        loop_open(&run->loop, connection, run->settings->size);
        break;
    case LOAD_PING:
        loop_ask(&run->loop, connection, run->settings->size);
        break;
    case LOAD_STREAM:
        loop_stream(&run->loop, connection);
        break;
    case LOAD_HOLD:
        break;
    }
}

static void complete_work(struct run *run, struct connection *connection)
{
    bool closes = run->settings->mode->workload == LOAD_CONNECT;
    double now = clock_seconds();

    /* One that was opened again after a failure has only echoed its first message. */
    if (connection->measured)
        count_echo(run, connection, now);
    if (closes)
        loop_close(&run->loop, connection);
    /* A stream goes on until it is finished, behind which there is nothing to be late. */
    if (run->phase == PHASE_MEASURE && (now <= run->end || streams(run)))
        work(run, connection);
    else if (!closes)
        loop_rest(&run->loop, connection);
}

/* A kept connection has echoed, the first time or the last. */
static void complete_kept(struct run *run, struct connection *connection)
{
    bool counts = run->settings->mode->workload == LOAD_HOLD && !is_held(run, connection);

    run->last_success = run->loop.now;
    if (run->phase == PHASE_OPEN && is_held(run, connection))
        run->result->held++;
    else if (run->phase == PHASE_OPEN && counts)
        histogram_record(&run->tally->latency, clock_seconds() - connection->started);
    else if (counts)
        run->tally->count++;
    loop_rest(&run->loop, connection);
}

static void complete(void *owner, struct connection *connection)
{
    struct run *run = owner;

    if (run->phase == PHASE_OPEN || run->phase == PHASE_CLOSE)
        complete_kept(run, connection);
    else
        complete_work(run, connection);
}

/* ---- the phases ---------------------------------------------------------------------- */

/* Lets one kept connection echo, the first time or the last. */
static void echo_kept(struct run *run, struct connection *connection)
{
    connection->measured = false;
    if (run->phase == PHASE_OPEN)
        loop_open(&run->loop, connection, run->settings->size);
    else if (connection->state == CONNECTION_RESTING)
        loop_ask(&run->loop, connection, run->settings->size);
}

/* Those that are never tried because the server is dead have failed, too. */
static void give_up(struct run *run, size_t first, size_t end)
{
    for (size_t i = first; i < end; i++) {
        const struct connection *connection = &run->loop.connections[i];
        if (run->phase == PHASE_OPEN || connection->state == CONNECTION_RESTING)
            count_failure(run, connection, FAILED_TIMEOUT, 0);
    }
}

/* Lets each of a range of kept connections echo once, a few at the same time. */
static int echo_range(struct run *run, size_t first, size_t end)
{
    struct load_loop *loop = &run->loop;
    size_t next = first;

    loop->busy_first = first;
    loop->busy_end = end;
    run->last_success = loop->now = clock_seconds();
    while (next < end || loop->busy > 0) {
        bool stops = is_interrupted(run) && run->phase == PHASE_OPEN;
        for (; next < end && !stops && loop->busy < OPENING_MAX; next++)
            echo_kept(run, &loop->connections[next]);
        if (stops && loop->busy == 0)
            break;
        if (loop_turn(loop, loop->now + run->settings->timeout) == -1)
            return -1;
        if (next < end && loop->now - run->last_success > run->settings->timeout) {
            give_up(run, next, end);
            next = end;
        }
    }
    return 0;
}

/* Returns in `*seconds` how long it took. */
static int open_range(struct run *run, size_t first, size_t end, double *seconds)
{
    double start = clock_seconds();
    int result;

    run->phase = PHASE_OPEN;
    result = echo_range(run, first, end);
    *seconds = clock_seconds() - start;
    return result;
}

/* Seconds of a processor that this process has had. */
static double processor_seconds(void)
{
    struct timespec used;

    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &used);
    return (double)used.tv_sec + (double)used.tv_nsec / 1e9;
}

/* Sets all of the workload to work. */
static void begin_work(struct run *run)
{
    for (size_t i = 0; i < run->settings->concurrency; i++) {
        struct connection *connection = &run->loop.connections[i];
        if (connection->state == CONNECTION_RESTING ||
            run->settings->mode->workload == LOAD_CONNECT) {
            work(run, connection);
        } else { /* it failed */
            connection->measured = false;
            loop_wait(&run->loop, connection, run->settings->size);
        }
    }
}

static int measure(struct run *run, double duration)
{
    struct load_loop *loop = &run->loop;
    double start, processor = processor_seconds();

    run->phase = PHASE_MEASURE;
    loop->busy_first = 0;
    loop->busy_end = run->settings->concurrency;
    loop->received = 0;
    start = loop->now = clock_seconds();
    run->end = start + (is_interrupted(run) ? 0 : duration);
    if (run->settings->mode->workload != LOAD_HOLD && start < run->end)
        begin_work(run);
    while (loop->now < run->end && !is_interrupted(run))
        if (loop_turn(loop, run->end) == -1)
            return -1;
    if (loop->now < run->end)
        run->end = loop->now;
    run->tally->seconds = run->end - start;
    run->tally->processor = processor_seconds() - processor;
    return 0;
}

/* Nothing new begins; what is on its way comes back, or fails by the timeout. The bound is
 * for a stream so slow that it still moves: that is cut, and is no failure. */
static int finish(struct run *run)
{
    struct load_loop *loop = &run->loop;
    uint64_t received = loop->received;
    double until = loop->now + FINISH_TIMEOUTS * run->settings->timeout;

    run->phase = PHASE_FINISH;
    loop_forget_waiting(loop);
    for (size_t i = 0; streams(run) && i < run->settings->concurrency; i++)
        if (loop->connections[i].state == CONNECTION_ECHOING) {
            loop->connections[i].measured = false; /* its mark is moved, so its time is none */
            loop_finish(loop, &loop->connections[i]);
        }
    while (loop->busy > 0 && loop->now < until)
        if (loop_turn(loop, until) == -1)
            return -1;
    for (size_t i = 0; loop->busy > 0 && i < run->settings->concurrency; i++)
        if (loop->connections[i].state != CONNECTION_RESTING)
            loop_close(loop, &loop->connections[i]);
    if (streams(run)) {
        run->tally->count = received;
        run->tally->late = loop->received - received;
    }
    return 0;
}

static int close_all(struct run *run)
{
    size_t concurrency = run->settings->concurrency;
    size_t first = run->settings->mode->workload == LOAD_HOLD ? 0 : concurrency;
    int result;

    run->phase = PHASE_CLOSE;
    result = echo_range(run, first, concurrency + run->settings->held);
    for (size_t i = 0; i < concurrency + run->settings->held; i++)
        if (run->loop.connections[i].state != CONNECTION_CLOSED)
            loop_close(&run->loop, &run->loop.connections[i]);
    return result;
}

/* Measures once, into `tally`. */
static int run_round(struct run *run, struct load_tally *tally, double duration)
{
    run->tally = tally;
    if (measure(run, duration) == -1 || finish(run) == -1)
        return -1;
    tally->pauses = run->loop.pauses - run->pauses;
    run->pauses = run->loop.pauses;
    return 0;
}

/* An interruption leaves out the rounds that are not begun, but there is always one. */
static int run_rounds(struct run *run)
{
    struct load_result *result = run->result;

    do {
        if (run_round(run, &result->rounds[result->round_count], run->settings->duration) == -1)
            return -1;
        result->round_count++;
    } while (result->round_count < run->settings->rounds && !is_interrupted(run));
    return 0;
}

static int run_phases(struct run *run)
{
    size_t concurrency = run->settings->concurrency;
    struct load_result *result = run->result;
    struct load_tally *not_reported = &result->rounds[run->settings->rounds];

    run->tally = &result->rounds[0];
    if (open_range(run, concurrency, concurrency + run->settings->held,
                   &result->held_opening) == -1)
        return -1;
    if (run->settings->mode->workload != LOAD_CONNECT &&
        open_range(run, 0, concurrency, &result->opening) == -1)
        return -1;
    if (run->settings->warm_up > 0 &&
        run_round(run, not_reported, run->settings->warm_up) == -1)
        return -1;
    if (run_rounds(run) == -1)
        return -1;
    return close_all(run);
}

/* A workload that holds measures how fast it opened. */
static double rate_of(const struct run *run, const struct load_tally *tally)
{
    bool holds = run->settings->mode->workload == LOAD_HOLD;
    double seconds = holds ? run->result->opening : tally->seconds;
    uint64_t count = holds ? tally->latency.total : tally->count;

    return seconds > 0 ? (double)count / run->settings->mode->unit / seconds : 0;
}

static void sum_up(struct run *run)
{
    struct load_result *result = run->result;

    for (size_t i = 0; i < result->round_count; i++) {
        tally_rate(&result->rounds[i], rate_of(run, &result->rounds[i]));
        tally_add(&result->sum, &result->rounds[i]);
    }
    result->spread = tally_spread(result->rounds, result->round_count);
    tally_rate(&result->sum, result->spread.median);
}

int load_run(const struct load_settings *settings, struct target *target,
             struct load_result *result)
{
    struct run run = {.settings = settings, .result = result};
    int outcome;

    result->rounds = calloc(settings->rounds + 1, sizeof *result->rounds); /* 1: the warm-up */
    if (result->rounds == NULL ||
        loop_new(&run.loop, target, settings->concurrency + settings->held,
                 (size_t)settings->size, load_descriptors(settings) + INHERITED_MAX) == -1)
        return -1;
    run.loop.timeout = settings->timeout;
    run.loop.complete = complete;
    run.loop.failed = failed;
    run.loop.owner = &run;
    outcome = run_phases(&run);
    if (outcome == 0)
        sum_up(&run);
    loop_free(&run.loop);
    return outcome;
}

void load_result_free(struct load_result *result)
{
    free(result->rounds);
}
