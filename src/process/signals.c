/* signals.c: see signals.h. */
#include "process/signals.h"

#include <stddef.h>
#include <sys/select.h>

static const int handled[] = {SIGTERM, SIGINT, SIGQUIT, SIGUSR1, SIGHUP, SIGCHLD};
enum { HANDLED = sizeof handled / sizeof handled[0] };

/* Signals that a write causes: to a pipe or socket without a reader, or beyond RLIMIT_FSIZE, where
 * it then fails; and to a terminal from the background (stty tostop), where it then succeeds. */
static const int ignored[] = {SIGPIPE, SIGXFSZ, SIGTTOU};
enum { IGNORED = sizeof ignored / sizeof ignored[0] };

static volatile sig_atomic_t seen[HANDLED];
static sigset_t blocked, wait_mask;

static void record(int number)
{
    for (size_t i = 0; i < HANDLED; i++)
        if (handled[i] == number)
            seen[i] = 1;
}

static int ignore_signals(void)
{
    struct sigaction ignore = {.sa_handler = SIG_IGN};

    for (size_t i = 0; i < IGNORED; i++)
        if (sigaction(ignored[i], &ignore, NULL) == -1)
            return -1;
    return 0;
}

/* SIGNALS_STOP ends a child, whatever whoever started us has made of it. */
static int default_for_children(void)
{
    struct sigaction standard = {.sa_handler = SIG_DFL};
    sigset_t stop;

    sigemptyset(&stop);
    sigaddset(&stop, SIGNALS_STOP);
    sigdelset(&wait_mask, SIGNALS_STOP);
    return sigaction(SIGNALS_STOP, &standard, NULL) == -1 ? -1
                                                          : sigprocmask(SIG_UNBLOCK, &stop, NULL);
}

int signals_open(void)
{
    /* SA_NOCLDSTOP: a child that is stopped or continued has not ended. */
    struct sigaction action = {.sa_handler = record, .sa_flags = SA_NOCLDSTOP};

    sigemptyset(&blocked);
    for (size_t i = 0; i < HANDLED; i++)
        sigaddset(&blocked, handled[i]);
    if (sigprocmask(SIG_BLOCK, &blocked, &wait_mask) == -1)
        return -1;
    /* Whoever started us may have blocked some of them. */
    for (size_t i = 0; i < HANDLED; i++)
        sigdelset(&wait_mask, handled[i]);
    if (default_for_children() == -1)
        return -1;
    /* No signal blocks another: the handler only records, and one wait delivers all that are
     * pending. */
    sigemptyset(&action.sa_mask);
    for (size_t i = 0; i < HANDLED; i++)
        if (sigaction(handled[i], &action, NULL) == -1)
            return -1;
    return ignore_signals();
}

void signals_without_children(void)
{
    struct sigaction ignore = {.sa_handler = SIG_IGN, .sa_flags = SA_NOCLDWAIT};

    sigaction(SIGCHLD, &ignore, NULL);
}

const sigset_t *signals_wait_mask(void)
{
    return &wait_mask;
}

static bool has_handled(const sigset_t *signals)
{
    for (size_t i = 0; i < HANDLED; i++)
        if (sigismember(signals, handled[i]) == 1)
            return true;
    return false;
}

/* By sigwait, which returns at once for one that is pending: cheaper than to unblock it, which makes
 * the kernel set up a call of the handler, and a call to return from it. */
void signals_deliver(void)
{
    sigset_t pending;
    int number;

    sigemptyset(&pending);
    while (sigpending(&pending) == 0 && has_handled(&pending) && sigwait(&blocked, &number) == 0)
        record(number);
}

bool signals_take(int number)
{
    for (size_t i = 0; i < HANDLED; i++)
        if (handled[i] == number && seen[i]) {
            seen[i] = 0;
            return true;
        }
    return false;
}

void signals_alone(void)
{
    struct sigaction standard = {.sa_handler = SIG_DFL};
    sigset_t ends;

    (void)ignore_signals();
    signal(SIGHUP, SIG_IGN);
    signal(SIGUSR1, SIG_IGN);
    sigaction(SIGTERM, &standard, NULL);
    sigemptyset(&ends);
    sigaddset(&ends, SIGTERM);
    sigprocmask(SIG_UNBLOCK, &ends, NULL);
}
