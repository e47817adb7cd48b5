/* load/team.c: see load/team.h. */
#include "load/team.h"

#include "base/clock.h"
#include "load/line.h"
#include "load/progress.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

/* What all begin together begins so many seconds after they were told, in which each of them wakes
 * up where there are processors for it. */
#define START_AHEAD 0.002

/* How often who leads looks for an interruption and shows the sum, in milliseconds. */
#define LOOK_MS 100

/* The leader's word to measure no longer: none that a terminal or timeout(1) sends to the members as
 * well, with which it would be one while it is pending (POSIX.1-2008, 2.4.1). */
#define TEAM_STOP SIGUSR1

struct member {
    pid_t process;
    int line; /* -1 when it has ended */
    bool rests; /* it waits for the others, or has ended */
    struct load_standing standing;
};

struct team {
    const struct load_settings *settings;
    struct target *target;
    struct load_result *result;
    struct member *members;
    struct pollfd *polls;
    size_t started, running, waiting;
    sigset_t mask;       /* of signals, outside of starting */
    bool is_interrupted; /* and they have been told */
    struct load_progress progress;
    char *problem;
};

/* ---- a process of the team ---- */

static volatile sig_atomic_t told_to_end;

static void end_measuring(int number)
{
    (void)number;
    told_to_end = 1;
}

static void hear_only_the_leader(const sigset_t *mask)
{
    struct sigaction action = {.sa_handler = end_measuring};
    sigset_t others = *mask;

    sigemptyset(&action.sa_mask);
    sigaction(TEAM_STOP, &action, NULL);
    signal(SIGTERM, SIG_IGN);
    signal(SIGINT, SIG_IGN);
    sigdelset(&others, TEAM_STOP); /* whoever started us may have blocked it */
    sigprocmask(SIG_SETMASK, &others, NULL);
}

/* Leaves the connection that found the server to another process. */
static void leave_target(struct target *target)
{
    if (target->connected != -1)
        close(target->connected);
    target->connected = -1;
}

/* In the new process. It keeps no line but its own, so that each breaks with who has it. */
_Noreturn static void be_member(struct team *team, int line)
{
    struct load_settings share = settings_share(team->settings, team->started);
    int error;

    hear_only_the_leader(&team->mask);
    for (size_t i = 0; i < team->started; i++)
        close(team->members[i].line);
    if (team->started > 0)
        leave_target(team->target);
    target_move(team->target);
    share.line = line;
    share.interrupted = &told_to_end;
    error = load_run(&share, team->target, team->result) == -1 ? errno : 0;
    _exit(line_end(line, error, team->result) == 0 ? 0 : 1);
}

/* ---- the one that leads ---- */

/* Returns -1. */
static int tell(struct team *team, int error)
{
    snprintf(team->problem, TEAM_PROBLEM_MAX, "%s", strerror(error));
    return -1;
}

static int start_member(struct team *team)
{
    int ends[2], error;
    pid_t process;

    if (socketpair(AF_UNIX, SOCK_STREAM, 0, ends) == -1)
        return -1;
    process = fork();
    error = errno;
    if (process == 0) {
        close(ends[0]);
        be_member(team, ends[1]);
    }
    close(ends[1]);
    if (process == -1) {
        close(ends[0]);
        errno = error;
        return -1;
    }
    team->members[team->started++] = (struct member){.process = process, .line = ends[0]};
    team->running++;
    return 0;
}

/* An interruption meanwhile waits until each is ready to hear of it. Returns 0, or -1 (told). */
static int start_all(struct team *team)
{
    size_t processes = team->settings->processes;
    int result = 0;
    sigset_t interruptions;

    sigemptyset(&interruptions);
    sigaddset(&interruptions, SIGINT);
    sigaddset(&interruptions, SIGTERM);
    sigaddset(&interruptions, TEAM_STOP);
    sigprocmask(SIG_BLOCK, &interruptions, &team->mask);
    while (result == 0 && team->started < processes)
        result = start_member(team);
    if (result == -1)
        snprintf(team->problem, TEAM_PROBLEM_MAX, "process %zu of %zu: %s", team->started + 1,
                 processes, strerror(errno));
    sigprocmask(SIG_SETMASK, &team->mask, NULL);
    leave_target(team->target); /* the first has it */
    return result;
}

static void signal_all(const struct team *team, int number)
{
    for (size_t i = 0; i < team->started; i++)
        if (team->members[i].line != -1)
            kill(team->members[i].process, number);
}

static int reap(pid_t process)
{
    int status = 0;

    while (waitpid(process, &status, 0) == -1 && errno == EINTR)
        ;
    return status;
}

static void close_line(struct team *team, struct member *member)
{
    close(member->line);
    member->line = -1;
    team->running--;
}

/* Says how a process went without a last word. Returns -1. */
static int tell_of_end(struct team *team, struct member *member)
{
    size_t number = (size_t)(member - team->members) + 1;
    int status;

    close_line(team, member);
    status = reap(member->process);
    member->process = -1;
    snprintf(team->problem, TEAM_PROBLEM_MAX, "process %zu of %zu %s %d", number, team->started,
             WIFSIGNALED(status) ? "was ended by signal" : "ended with status",
             WIFSIGNALED(status) ? WTERMSIG(status) : WEXITSTATUS(status));
    return -1;
}

/* Returns 0, or -1 (told). */
static int hear(struct team *team, struct member *member)
{
    switch (line_take(member->line, &member->standing, team->result)) {
    case LINE_STANDS:
        break;
    case LINE_WAITS:
        member->rests = true;
        team->waiting++;
        break;
    case LINE_ENDED:
        member->rests = true;
        close_line(team, member);
        break;
    case LINE_FAILED:
        return tell(team, errno);
    case LINE_BROKEN:
        return tell_of_end(team, member);
    }
    return 0;
}

/* Lets all go on, who wait all; a line that is broken is found when it is read. */
static void answer_all(struct team *team)
{
    double moment = clock_seconds() + START_AHEAD;

    team->waiting = 0;
    for (size_t i = 0; i < team->started; i++) {
        team->members[i].rests = false;
        if (team->members[i].line != -1)
            (void)line_answer(team->members[i].line, !team->is_interrupted, moment);
    }
}

/* What all do together; they are in one phase but for a moment. */
static struct load_standing sum_of(const struct team *team)
{
    struct load_standing sum = team->members[0].standing;

    sum.live = 0;
    sum.failures = 0;
    sum.rate = 0;
    for (size_t i = 0; i < team->started; i++) {
        struct load_standing each = team->members[i].standing;
        if (team->members[i].rests)
            each.rate = 0;
        standing_add(&sum, &each);
    }
    return sum;
}

static void show(struct team *team)
{
    struct load_standing sum = sum_of(team);

    if (sum.rated != NULL && progress_is_due(&team->progress, clock_seconds()))
        progress_show(&team->progress, &sum);
}

static void pass_on_interruption(struct team *team)
{
    if (*team->settings->interrupted == 0 || team->is_interrupted)
        return;
    team->is_interrupted = true;
    signal_all(team, TEAM_STOP);
}

/* Waits for news and deals with them. Returns 0, or -1 (told). */
static int lead_on(struct team *team)
{
    for (size_t i = 0; i < team->started; i++)
        team->polls[i] = (struct pollfd){.fd = team->members[i].line, .events = POLLIN};
    if (poll(team->polls, (nfds_t)team->started, LOOK_MS) == -1 && errno != EINTR)
        return tell(team, errno);
    pass_on_interruption(team);
    for (size_t i = 0; i < team->started; i++)
        if (team->polls[i].revents != 0 && hear(team, &team->members[i]) == -1)
            return -1;
    if (team->waiting > 0 && team->waiting == team->running)
        answer_all(team);
    show(team);
    return 0;
}

/* Leads until all have ended. Returns 0, or -1 (told). */
static int lead_all(struct team *team)
{
    int result = 0;

    progress_begin(&team->progress, false, clock_seconds());
    while (result == 0 && team->running > 0)
        result = lead_on(team);
    progress_end(&team->progress);
    return result;
}

/* Ends those that have not. */
static void end_all(struct team *team)
{
    signal_all(team, SIGKILL);
    for (size_t i = 0; i < team->started; i++) {
        if (team->members[i].line != -1)
            close_line(team, &team->members[i]);
        if (team->members[i].process != -1)
            reap(team->members[i].process);
    }
}

static int lead(struct team *team)
{
    int result = start_all(team);

    if (result == 0 && result_new(team->result, team->settings->rounds) == -1)
        result = tell(team, errno);
    if (result == 0)
        result = lead_all(team);
    end_all(team);
    if (result == 0)
        result_sum_up(team->result, team->settings->mode);
    return result;
}

int team_run(const struct load_settings *settings, struct target *target,
             struct load_result *result, char *problem)
{
    struct team team = {
        .settings = settings, .target = target, .result = result, .problem = problem};
    int outcome;

    signal(SIGCHLD, SIG_DFL); /* inherited as ignored, it would leave nothing to wait for */
    team.members = calloc(settings->processes, sizeof *team.members);
    team.polls = calloc(settings->processes, sizeof *team.polls);
    outcome = team.members != NULL && team.polls != NULL ? lead(&team) : tell(&team, errno);
    free(team.members);
    free(team.polls);
    return outcome;
}
