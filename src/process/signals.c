/* signals.c: see signals.h. */
#include "process/signals.h"

#include <stddef.h>
#include <unistd.h>

static const int handled[] = {SIGTERM, SIGINT, SIGQUIT, SIGUSR1, SIGHUP, SIGCHLD};
enum { HANDLED = sizeof handled / sizeof handled[0] };

/* Signals that a write causes: to a pipe or socket without a reader, or beyond RLIMIT_FSIZE, where
 * it then fails; and to a terminal from the background (stty tostop), where it then succeeds. */
static const int ignored[] = {SIGPIPE, SIGXFSZ, SIGTTOU};

/* By number: those that are handled have numbers below 32 on every Unix. */
static volatile sig_atomic_t seen[32];
static sigset_t blocked, wait_mask;

/* What is not as by default, by us or by whoever started us: what a program's child has to undo. To
 * do that for all 64 takes 6 % of the processor time of a connection to a small program. */
static sigset_t changed;

#ifdef SIGRTMAX
#define LAST_SIGNAL SIGRTMAX
#else
#define LAST_SIGNAL 31
#endif

/* Whose SIGCHLDs have come. A wait delivers one, and signals_deliver another. */
#define DIED_MAX 4
static volatile sig_atomic_t died[DIED_MAX], died_count;

static void record(int number, siginfo_t *info, void *context)
{
    (void)context;
    seen[number] = 1;
    if (number == SIGCHLD && died_count < DIED_MAX)
        died[died_count++] = info->si_pid;
}

/* SA_NOCLDSTOP: a child that is stopped or continued has not ended. No signal blocks another: the
 * handler only records, and one wait delivers all that are pending. */
static int set_action(int number, struct sigaction *action)
{
    action->sa_flags |= SA_NOCLDSTOP;
    sigemptyset(&action->sa_mask);
    return sigaction(number, action, NULL);
}

static int handle(int number, void (*handler)(int))
{
    return set_action(number, &(struct sigaction){.sa_handler = handler});
}

static int ignore_signals(void)
{
    for (size_t i = 0; i < sizeof ignored / sizeof ignored[0]; i++)
        if (handle(ignored[i], SIG_IGN) == -1)
            return -1;
    return 0;
}

/* Whatever whoever started us has made of this signal. */
static int let_end(int number)
{
    sigset_t alone;

    sigemptyset(&alone);
    sigaddset(&alone, number);
    return handle(number, SIG_DFL) == -1 ? -1 : sigprocmask(SIG_UNBLOCK, &alone, NULL);
}

int signals_open(void)
{
    struct sigaction recording = {.sa_sigaction = record, .sa_flags = SA_SIGINFO};

    sigemptyset(&blocked);
    for (size_t i = 0; i < HANDLED; i++)
        sigaddset(&blocked, handled[i]);
    if (let_end(SIGNALS_STOP) == -1 || sigprocmask(SIG_BLOCK, &blocked, &wait_mask) == -1)
        return -1;
    for (size_t i = 0; i < HANDLED; i++) {
        sigdelset(&wait_mask, handled[i]); /* whoever started us may have blocked it */
        if (set_action(handled[i], &recording) == -1)
            return -1;
    }
    return ignore_signals();
}

const sigset_t *signals_wait_mask(void)
{
    return &wait_mask;
}

/* Takes one of those that are pending. 0, or an error. */
static int wait_for_pending(siginfo_t *info)
{
#if _POSIX_REALTIME_SIGNALS > 0
    return sigwaitinfo(&blocked, info) > 0 ? 0 : -1;
#else /* macOS, OpenBSD: without who has died */
    return sigwait(&blocked, &info->si_signo);
#endif
}

/* sigwaitinfo returns at once for each that is pending: cheaper than to unblock it, for which the
 * kernel sets up a call of the handler, and a call to return from it. */
void signals_deliver(void)
{
    siginfo_t info = {.si_pid = 0};
    sigset_t pending;

    if (sigpending(&pending) == -1)
        return;
    for (size_t i = 0; i < HANDLED; i++)
        if (sigismember(&pending, handled[i]) == 1 && wait_for_pending(&info) == 0)
            record(info.si_signo, &info, NULL);
}

bool signals_take(int number)
{
    if (seen[number] == 0)
        return false; /* nothing is written: after a fork that costs a copy of the page */
    seen[number] = 0;
    return true;
}

pid_t signals_take_child(void)
{
    return died_count > 0 ? (pid_t)died[--died_count] : 0;
}

void signals_send(pid_t child, int signal)
{
    kill(child, signal == SIGTERM ? SIGNALS_STOP : signal);
}

void signals_send_group(pid_t child, int signal)
{
    if (kill(-child, signal) == -1)
        kill(child, signal);
}

void signals_plan_reset(void)
{
    struct sigaction now;

    sigemptyset(&changed);
    for (int number = 1; number <= LAST_SIGNAL; number++) /* libc's own are not told: they are so */
        if (sigaction(number, NULL, &now) == 0 && now.sa_handler != SIG_DFL)
            sigaddset(&changed, number);
}

void signals_reset(void)
{
    sigset_t none;

    for (int number = 1; number <= LAST_SIGNAL; number++)
        if (sigismember(&changed, number) == 1)
            (void)handle(number, SIG_DFL);
    sigemptyset(&none);
    (void)sigprocmask(SIG_SETMASK, &none, NULL);
}

void signals_alone(void)
{
    (void)ignore_signals();
    (void)handle(SIGHUP, SIG_IGN);
    (void)handle(SIGUSR1, SIG_IGN);
    (void)let_end(SIGTERM);
}
