/* load/work.c: see load/work.h. */
#include "load/work.h"

/* The connections are in one row: first those of the workload, then the held ones. */
static bool is_held(const struct run *run, const struct connection *connection)
{
    return (size_t)(connection - run->loop.connections) >= run->settings->concurrency;
}

static bool is_kind(const struct run *run, enum load_kind kind)
{
    return run->settings->mode->kind == kind;
}

static bool is_scheduled(const struct run *run)
{
    return run->settings->rate.from > 0;
}

/* ---- counting ---- */

static void record(struct histogram *times, double from, double until)
{
    if (from > 0)
        histogram_record(times, until - from);
}

/* Enters the times of a request that is done at `done`. */
static void record_times(struct run *run, const struct connection_times *times, double done)
{
    struct load_tally *tally = run->tally;

    record(&tally->latency, times->intended, done);
    if (is_kind(run, LOAD_STREAM))
        return; /* it has no messages */
    record(&tally->connect, times->connecting, times->sending);
    if (times->first > 0) {
        record(&tally->first, times->sending, times->first);
        record(&tally->message, times->sending, done);
    }
    if (is_scheduled(run))
        record(&tally->service, times->started, done);
}

/* Bytes of a stream are counted by the loop. */
static void count_request(struct run *run, const struct connection *connection, double done)
{
    record_times(run, &connection->times, done);
    if (!is_kind(run, LOAD_STREAM) && done <= run->end)
        run->tally->count++;
    else if (!is_kind(run, LOAD_STREAM))
        run->tally->late++;
}

void work_count_failure(struct run *run, const struct connection *connection,
                        enum load_failure why, int error)
{
    struct load_result *result = run->result;
    bool echoed = connection->received > 0 && connection->received >= connection->limit;

    if (result->failures++ == 0) {
        result->first_failure = why;
        result->first_error = error;
        result->first_moment = run->loop.now;
    }
    if (!is_held(run, connection))
        tally_failure(run->tally, why);
    else if (run->phase == PHASE_OPEN && !echoed)
        result->held_failed++;
    else /* it was counted as held */
        result->held_lost++;
}

/* ---- requests ---- */

/* When the number of connections that work passes this one on the ramp, up or down. */
static double turning_point(const struct run *run, const struct connection *connection)
{
    const struct load_settings *settings = run->settings;
    const struct load_ramp *ramp = &settings->working;
    size_t place = (size_t)(connection - run->loop.connections);
    double number = (double)(place * settings->parts + settings->place);

    return run->start + run->ramp_seconds * (number + 0.5 - ramp->from) / (ramp->to - ramp->from);
}

/* When a connection begins to work, and when it begins nothing more. */
static double start_of(const struct run *run, const struct connection *connection)
{
    const struct load_ramp *ramp = &run->settings->working;

    return ramp->to > ramp->from ? turning_point(run, connection) : run->start;
}

static double end_of(const struct run *run, const struct connection *connection)
{
    const struct load_ramp *ramp = &run->settings->working;
    double end = ramp->to < ramp->from ? turning_point(run, connection) : run->end;

    return end < run->end ? end : run->end;
}

/* Whether there is a request to begin now. A stream goes on until it is finished: there is no
 * request that could be late. */
static bool has_next(const struct run *run, const struct connection *connection, double now)
{
    if (is_scheduled(run))
        return schedule_left(&run->schedule) > 0;
    return run->phase == PHASE_MEASURE &&
           (now <= end_of(run, connection) || is_kind(run, LOAD_STREAM));
}

static double next_time(struct run *run)
{
    return is_scheduled(run) ? schedule_take(&run->schedule) : LOAD_NOW;
}

/* Begins the next request, on a connection that is open or on one that is opened for it. */
static void begin_next(struct run *run, struct connection *connection, double when)
{
    const struct load_settings *settings = run->settings;

    connection->measured = true;
    if (is_kind(run, LOAD_HOLD))
        loop_flood(&run->loop, connection);
    else if (is_kind(run, LOAD_STREAM))
        loop_stream(&run->loop, connection);
    else if (settings->mode->keeps)
        loop_request(&run->loop, connection, settings->size, when);
    else
        loop_open(&run->loop, connection, settings->mode->goal, settings->size, when);
}

/* Opens a connection that has failed again, after a pause. Where connections are kept it has to
 * echo first, which is no request. */
static void begin_again(struct run *run, struct connection *connection)
{
    const struct load_mode *mode = run->settings->mode;

    connection->measured = !mode->keeps;
    loop_open_again(&run->loop, connection, mode->goal, run->settings->size,
              mode->keeps ? LOAD_NOW : next_time(run));
}

/* Whether connections do nothing but stay open. */
static bool is_idle(const struct run *run)
{
    return is_kind(run, LOAD_HOLD) && run->settings->mode->goal != GOAL_NONE;
}

void work_begin(struct run *run)
{
    for (size_t i = 0; i < run->settings->concurrency && !is_idle(run); i++) {
        struct connection *connection = &run->loop.connections[i];
        double start = start_of(run, connection);
        if (!has_next(run, connection, run->loop.now))
            continue;
        if (connection->state == CONNECTION_RESTING || !run->settings->mode->keeps)
            begin_next(run, connection, start > run->loop.now ? start : next_time(run));
        else if (!is_kind(run, LOAD_HOLD))
            begin_again(run, connection);
    }
}

/* Ends a connection that would send for ever. */
static void end_endless(struct run *run, struct connection *connection)
{
    if (connection->goal == GOAL_NONE) { /* it has stayed, which was its work */
        run->tally->count++;
        loop_close(&run->loop, connection);
    } else {
        connection->measured = false; /* its mark is moved: what it then takes is no latency */
        loop_finish(&run->loop, connection);
    }
}

void work_end(struct run *run, bool interrupted)
{
    if (interrupted)
        schedule_cut(&run->schedule);
    if (interrupted || !is_scheduled(run))
        loop_forget_waiting(&run->loop);
    for (size_t i = 0; !is_kind(run, LOAD_REQUESTS) && i < run->settings->concurrency; i++)
        if (run->loop.connections[i].state == CONNECTION_ECHOING)
            end_endless(run, &run->loop.connections[i]);
}

void work_give_up_waiting(struct run *run)
{
    for (size_t i = 0; i < run->settings->concurrency; i++) {
        const struct connection *connection = &run->loop.connections[i];
        if (connection->state == CONNECTION_WAITING && connection->measured)
            work_count_failure(run, connection, FAILED_TIMEOUT, 0);
    }
    for (uint64_t left = schedule_left(&run->schedule); left > 0; left--)
        work_count_failure(run, &run->loop.connections[0], FAILED_TIMEOUT, 0); /* of any */
    schedule_cut(&run->schedule);
    loop_forget_waiting(&run->loop);
}

void work_give_up(struct run *run)
{
    for (size_t i = 0; i < run->settings->concurrency; i++) {
        struct connection *connection = &run->loop.connections[i];
        if (connection->state == CONNECTION_RESTING || connection->state == CONNECTION_CLOSED)
            continue;
        if (is_kind(run, LOAD_REQUESTS) && connection->measured)
            work_count_failure(run, connection, FAILED_TIMEOUT, 0);
        loop_close(&run->loop, connection);
    }
}

/* ---- what the loop calls ---- */

static void complete_request(struct run *run, struct connection *connection)
{
    bool keeps = run->settings->mode->keeps;
    double done = run->loop.moment;

    /* If not, it was opened again after a failure, and has echoed its first message. */
    if (connection->measured)
        count_request(run, connection, done);
    if (!keeps)
        loop_close(&run->loop, connection);
    if (has_next(run, connection, done))
        begin_next(run, connection, next_time(run));
    else if (keeps)
        loop_rest(&run->loop, connection);
}

/* A connection that stays open has echoed, the first time or the last. */
static void complete_kept(struct run *run, struct connection *connection)
{
    bool counts = is_kind(run, LOAD_HOLD) && !is_held(run, connection);

    run->last_success = run->loop.now;
    if (run->phase == PHASE_OPEN && is_held(run, connection))
        run->result->held++;
    else if (run->phase == PHASE_OPEN && counts)
        record_times(run, &connection->times, run->loop.moment);
    else if (counts)
        run->tally->count++;
    loop_rest(&run->loop, connection);
}

void work_complete(void *owner, struct connection *connection)
{
    struct run *run = owner;

    if (run->phase == PHASE_OPEN || run->phase == PHASE_CLOSE)
        complete_kept(run, connection);
    else
        complete_request(run, connection);
}

void work_failed(void *owner, struct connection *connection, enum load_failure why, int error)
{
    struct run *run = owner;
    bool works = run->phase != PHASE_OPEN && run->phase != PHASE_CLOSE && !is_held(run, connection);
    /* On a schedule, to open a connection again is no request that could fail. */
    bool counts = connection->measured || !is_scheduled(run);

    if (counts || !works)
        work_count_failure(run, connection, why, error);
    if (works && !is_kind(run, LOAD_HOLD) && has_next(run, connection, run->loop.now))
        begin_again(run, connection);
}

void work_echo_kept(struct run *run, struct connection *connection)
{
    const struct load_mode *mode = run->settings->mode;

    connection->measured = false;
    if (run->phase == PHASE_OPEN)
        loop_open(&run->loop, connection, is_held(run, connection) ? GOAL_ECHO : load_opening(mode),
                  run->settings->size, LOAD_NOW);
    else if (connection->state == CONNECTION_RESTING)
        loop_request(&run->loop, connection, run->settings->size, LOAD_NOW);
}
