/* load/processes.c: see load/processes.h. */
#include "load/processes.h"

#include "base/clock.h"
#include "base/worker_process.h"
#include "load/channel.h"
#include "load/progress.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

/* How long after the parent's answer all begin, in seconds: in that time each of them wakes up, if
 * there are processors for it. */
#define START_AHEAD 0.002

/* How often the parent looks for an interruption and shows the sum, in seconds. */
#define LOOK_SECONDS 0.1

/* How the parent tells workers to measure no longer: not by a signal that a terminal or timeout(1)
 * sends to them as well, as two that are pending are one (POSIX.1-2008, 2.4.1). */
#define END_SIGNAL SIGUSR1

/* What the parent knows of a worker. */
struct worker_state {
    bool rests; /* it waits for the others, or has ended */
    struct load_standing standing;
};

struct processes {
    const struct load_settings *settings;
    struct target *target;
    struct load_result *result;
    struct workers workers;
    struct worker_state *states; /* one for each */
    size_t waiting;
    sigset_t mask;       /* of signals, outside of starting */
    bool is_interrupted; /* and the workers have been told */
    struct load_progress progress;
    char *problem;
};

/* ---- a worker ---- */

static volatile sig_atomic_t must_end;

static void end_measuring(int number)
{
    (void)number;
    must_end = 1;
}

static void listen_to_the_parent_alone(const sigset_t *mask)
{
    struct sigaction action = {.sa_handler = end_measuring};
    sigset_t others = *mask;

    sigemptyset(&action.sa_mask);
    sigaction(END_SIGNAL, &action, NULL);
    signal(SIGTERM, SIG_IGN);
    signal(SIGINT, SIG_IGN);
    sigdelset(&others, END_SIGNAL); /* whoever started us may have blocked it */
    sigprocmask(SIG_SETMASK, &others, NULL);
}

/* Closes the connection that found the server, which another process uses. */
static void leave_connected(struct target *target)
{
    if (target->connected != -1)
        close(target->connected);
    target->connected = -1;
}

static int be_worker(void *context, size_t number, int channel)
{
    struct processes *all = context;
    struct load_settings share = settings_share(all->settings, number);
    int error;

    listen_to_the_parent_alone(&all->mask);
    if (number > 0)
        leave_connected(all->target);
    target_move(all->target);
    share.channel = channel;
    share.interrupted = &must_end;
    error = load_run(&share, all->target, all->result) == -1 ? errno : 0;
    return channel_end(channel, error, all->result) == 0 ? 0 : 1;
}

/* ---- the parent ---- */

/* Notes an errno as what went wrong. Returns -1. */
static int fail(struct processes *all, int error)
{
    snprintf(all->problem, PROCESSES_PROBLEM_MAX, "%s", strerror(error));
    return -1;
}

/* Signals wait meanwhile, so that an interruption reaches all. Returns 0, or -1 (noted). */
static int start_all(struct processes *all)
{
    size_t count = all->settings->processes;
    sigset_t signals;
    int result = 0;

    sigfillset(&signals);
    sigprocmask(SIG_BLOCK, &signals, &all->mask);
    while (result == 0 && all->workers.count < count)
        result = workers_start(&all->workers, be_worker, all);
    if (result == -1)
        snprintf(all->problem, PROCESSES_PROBLEM_MAX, "process %zu of %zu: %s",
                 all->workers.count + 1, count, strerror(errno));
    sigprocmask(SIG_SETMASK, &all->mask, NULL);
    leave_connected(all->target); /* the first worker has it */
    return result;
}

/* Notes how a worker ended without a last message. Returns -1. */
static int note_end(struct processes *all, size_t number)
{
    int status;

    workers_close(&all->workers, number);
    status = workers_wait(&all->workers, number);
    snprintf(all->problem, PROCESSES_PROBLEM_MAX, "process %zu of %zu %s %d", number + 1,
             all->workers.count, WIFSIGNALED(status) ? "was ended by signal" : "ended with status",
             WIFSIGNALED(status) ? WTERMSIG(status) : WEXITSTATUS(status));
    return -1;
}

/* Handles a message. Returns 0, or -1 (noted). */
static int receive(struct processes *all, size_t number)
{
    struct worker_state *state = &all->states[number];

    switch (channel_receive(all->workers.list[number].channel, &state->standing, all->result)) {
    case CHANNEL_STANDING:
        break;
    case CHANNEL_WAITING:
        state->rests = true;
        all->waiting++;
        break;
    case CHANNEL_ENDED:
        state->rests = true;
        workers_close(&all->workers, number);
        break;
    case CHANNEL_FAILED:
        return fail(all, errno);
    case CHANNEL_BROKEN:
        return note_end(all, number);
    }
    return 0;
}

/* Lets all go on, when all wait. That a channel is broken is found when it is read. */
static void answer_all(struct processes *all)
{
    double moment = clock_seconds() + START_AHEAD;

    all->waiting = 0;
    for (size_t i = 0; i < all->workers.count; i++) {
        all->states[i].rests = false;
        if (all->workers.list[i].channel != -1)
            (void)channel_answer(all->workers.list[i].channel, !all->is_interrupted, moment);
    }
}

/* Shows the sum of what all do. They are in one phase, but for a moment. */
static void show(struct processes *all)
{
    struct load_standing sum = all->states[0].standing;

    if (sum.rated == NULL || !progress_is_due(&all->progress, clock_seconds()))
        return;
    sum.live = 0;
    sum.failures = 0;
    sum.rate = 0;
    for (size_t i = 0; i < all->workers.count; i++) {
        struct load_standing each = all->states[i].standing;
        if (all->states[i].rests)
            each.rate = 0;
        standing_add(&sum, &each);
    }
    progress_show(&all->progress, &sum);
}

static void pass_on_interruption(struct processes *all)
{
    if (*all->settings->interrupted == 0 || all->is_interrupted)
        return;
    all->is_interrupted = true;
    workers_signal(&all->workers, END_SIGNAL);
}

/* Waits for messages and handles them. Returns 0, or -1 (noted). */
static int turn(struct processes *all)
{
    if (workers_poll(&all->workers, LOOK_SECONDS) == -1)
        return fail(all, errno);
    pass_on_interruption(all);
    for (size_t i = 0; i < all->workers.count; i++)
        if (all->workers.polls[i].revents != 0 && receive(all, i) == -1)
            return -1;
    if (all->waiting > 0 && all->waiting == all->workers.open)
        answer_all(all);
    show(all);
    return 0;
}

/* Goes on until all have ended. Returns 0, or -1 (noted). */
static int run_all(struct processes *all)
{
    int result = start_all(all);

    if (result == 0 && result_new(all->result, settings_rows(all->settings)) == -1)
        result = fail(all, errno);
    progress_begin(&all->progress, false, clock_seconds());
    while (result == 0 && all->workers.open > 0)
        result = turn(all);
    progress_end(&all->progress);
    return result;
}

/* Runs in this process alone. Returns 0, or -1 (noted). */
static int run_here(struct processes *all)
{
    struct load_settings whole = settings_share(all->settings, 0);

    return load_run(&whole, all->target, all->result) == 0 ? 0 : fail(all, errno);
}

int processes_run(const struct load_settings *settings, struct target *target,
                  struct load_result *result, char *problem)
{
    struct processes all = {
        .settings = settings, .target = target, .result = result, .problem = problem};
    int outcome;

    if (settings->processes == 1)
        return run_here(&all);
    outcome = workers_new(&all.workers, settings->processes);
    all.states = calloc(settings->processes, sizeof *all.states);
    outcome = outcome == 0 && all.states != NULL ? run_all(&all) : fail(&all, errno);
    if (outcome == 0)
        result_sum_up(result, settings);
    workers_free(&all.workers);
    free(all.states);
    return outcome;
}
