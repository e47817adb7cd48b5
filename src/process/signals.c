/* signals.c: see signals.h. */
#include "process/signals.h"

#include <stddef.h>

static const int handled[] = {SIGTERM, SIGINT, SIGQUIT, SIGUSR1, SIGHUP, SIGCHLD};
enum { HANDLED = sizeof handled / sizeof handled[0] };

/* Signals that a write causes: to a pipe or socket without a reader, or beyond RLIMIT_FSIZE, where
 * it then fails; and to a terminal from the background (stty tostop), where it then succeeds. */
static const int ignored[] = {SIGPIPE, SIGXFSZ, SIGTTOU};

/* By number: those that are handled have numbers below 32 on every Unix. */
static volatile sig_atomic_t seen[32];
static sigset_t blocked, wait_mask;

static void record(int number)
{
    seen[number] = 1;
}

static int handle(int number, void (*handler)(int))
{
    /* SA_NOCLDSTOP: a child that is stopped or continued has not ended. No signal blocks another:
     * the handler only records, and one wait delivers all that are pending. */
    struct sigaction action = {.sa_handler = handler, .sa_flags = SA_NOCLDSTOP};

    sigemptyset(&action.sa_mask);
    return sigaction(number, &action, NULL);
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
    sigemptyset(&blocked);
    for (size_t i = 0; i < HANDLED; i++)
        sigaddset(&blocked, handled[i]);
    if (let_end(SIGNALS_STOP) == -1 || sigprocmask(SIG_BLOCK, &blocked, &wait_mask) == -1)
        return -1;
    for (size_t i = 0; i < HANDLED; i++) {
        sigdelset(&wait_mask, handled[i]); /* whoever started us may have blocked it */
        if (handle(handled[i], record) == -1)
            return -1;
    }
    return ignore_signals();
}

const sigset_t *signals_wait_mask(void)
{
    return &wait_mask;
}

/* sigwait returns at once for each that is pending: cheaper than to unblock it, for which the
 * kernel sets up a call of the handler, and a call to return from it. */
void signals_deliver(void)
{
    sigset_t pending;
    int number;

    if (sigpending(&pending) == -1)
        return;
    for (size_t i = 0; i < HANDLED; i++)
        if (sigismember(&pending, handled[i]) == 1 && sigwait(&blocked, &number) == 0)
            record(number);
}

bool signals_take(int number)
{
    if (seen[number] == 0)
        return false; /* nothing is written: after a fork that costs a copy of the page */
    seen[number] = 0;
    return true;
}

void signals_send(pid_t child, int signal)
{
    kill(child, signal == SIGTERM ? SIGNALS_STOP : signal);
}

void signals_alone(void)
{
    (void)ignore_signals();
    (void)handle(SIGHUP, SIG_IGN);
    (void)handle(SIGUSR1, SIG_IGN);
    (void)let_end(SIGTERM);
}
