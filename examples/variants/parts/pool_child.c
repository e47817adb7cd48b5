/* pool_child.c: see pool_child.h. */
#include "parts/pool_child.h"

#include "base/clock.h"
#include "platform/platform.h"
#include "process/confine.h"
#include "process/log.h"
#include "process/signals.h"
#include "process/title.h"
#include "server/failures.h"

#include <errno.h>
#include <sys/select.h>
#include <time.h>
#include <unistd.h>

/* Until accept is tried again after it has failed. Seconds. */
#define ACCEPT_PAUSE 0.2

/* The one child that this process is, for the handler. */
static struct pool_child *self;
static volatile sig_atomic_t leaving;
static volatile sig_atomic_t verdict; /* POOL_ADMIT or POOL_REFUSE; 0: none yet */

void pool_child_prepare(struct pool_child *child, const struct pool *pool,
                        const struct server *server)
{
    child->options = server->options;
    child->listeners = server->listeners;
    child->blocks = pool_blocks(&server->listeners);
    child->parent = getpid();
    child->ledger = pool->ledger.write_end;
    child->lease = pool->lease_write;
}

/* ---- leaving ---- */

/* Closes all that keeps the addresses. Once: the numbers may be a client's afterwards. */
static void leave(void)
{
    if (leaving)
        return;
    leaving = 1;
    for (size_t i = 0; i < self->listeners.count; i++)
        close(self->listeners.all[i].descriptor);
    close(self->lease);
}

static void heed_leave(int number)
{
    int error = errno;

    (void)number;
    leave();
    errno = error;
}

static bool is_listener(const struct pool_child *child, int descriptor)
{
    for (size_t i = 0; i < child->listeners.count; i++)
        if (child->listeners.all[i].descriptor == descriptor)
            return true;
    return false;
}

/* Those from 3 to below the ledger's write end are the parent's, but for a few. */
static void close_others(const struct pool_child *child)
{
    for (int descriptor = STDERR_FILENO + 1; descriptor < child->ledger; descriptor++)
        if (descriptor != child->lease && !is_listener(child, descriptor))
            close(descriptor);
}

/* The word of the parent, and of nobody else: of a signal that is not from kill(2) the sender has
 * said himself who he is (rt_sigqueueinfo(2)). Where the queue is full, as RLIMIT_SIGPENDING allows
 * its user no more, Linux delivers one from kill(2) all the same, but no longer knows from whom
 * (process 0): that is believed as well, or the child would wait for ever. */
static void heed_verdict(int number, siginfo_t *from, void *context)
{
    (void)context;
    if (from->si_code == SI_USER && (from->si_pid == self->parent || from->si_pid == 0))
        verdict = number;
}

static sigset_t verdicts(void)
{
    sigset_t signals;

    sigemptyset(&signals);
    sigaddset(&signals, POOL_ADMIT);
    sigaddset(&signals, POOL_REFUSE);
    return signals;
}

/* Verdicts stay blocked until they are waited for. Whoever started us may have blocked
 * POOL_LEAVE. */
static void heed_signals(void)
{
    struct sigaction leave_at_once = {.sa_handler = heed_leave};
    struct sigaction take_verdict = {.sa_sigaction = heed_verdict, .sa_flags = SA_SIGINFO};
    sigset_t waited_for = verdicts(), told;

    signals_child();
    sigprocmask(SIG_BLOCK, &waited_for, NULL);
    sigemptyset(&leave_at_once.sa_mask);
    sigemptyset(&take_verdict.sa_mask);
    sigaction(POOL_LEAVE, &leave_at_once, NULL);
    sigaction(POOL_ADMIT, &take_verdict, NULL);
    sigaction(POOL_REFUSE, &take_verdict, NULL);
    sigemptyset(&told);
    sigaddset(&told, POOL_LEAVE);
    sigprocmask(SIG_UNBLOCK, &told, NULL);
}

void pool_child_start(struct pool_child *child)
{
    self = child;
    child->own = getpid();
    close_others(child);
    heed_signals();
    platform_signal_when_orphaned(POOL_LEAVE);
    if (getppid() != child->parent)
        leave();
    confine_child(log_shows(LOG_MESSAGES), child->ledger + 2); /* one client, wherever it lies */
}

/* ---- reporting ---- */

/* False when there is no parent any more who would read it. */
static bool report(const struct pool_child *child, struct record *record)
{
    record->id = child->own;
    return ledger_write(child->ledger, record) == 0;
}

void pool_child_report_exit(const struct pool_child *child, const struct session *session)
{
    struct record record = ledger_exit_record(0, session);

    if (!report(child, &record))
        leave();
}

/* What the parent decides. False also when it is gone. */
static bool await_verdict(const struct pool_child *child)
{
    sigset_t told, before, waiting;

    sigemptyset(&told);
    sigaddset(&told, POOL_LEAVE);
    sigprocmask(SIG_BLOCK, &told, &before);
    waiting = before;
    sigdelset(&waiting, POOL_LEAVE);
    sigdelset(&waiting, POOL_ADMIT);
    sigdelset(&waiting, POOL_REFUSE);
    while (verdict == 0 && getppid() == child->parent)
        sigsuspend(&waiting);
    sigprocmask(SIG_SETMASK, &before, NULL);
    return verdict == POOL_ADMIT;
}

/* Lets in what is pending: strays fill the queue, and where there is none swallow the verdict. */
static void forget_verdicts(void)
{
    sigset_t signals = verdicts();

    sigprocmask(SIG_UNBLOCK, &signals, NULL);
    sigprocmask(SIG_BLOCK, &signals, NULL);
    verdict = 0;
}

/* Says whom it has accepted. Returns whether that client may come in. */
static bool may_come(const struct pool_child *child, const struct client *client)
{
    struct record arrival = {.kind = RECORD_ARRIVAL};
    bool asks = pool_asks(child->options, &client->peer);

    if (asks)
        forget_verdicts();
    ledger_put_client(&arrival, &client->peer);
    if (!report(child, &arrival)) {
        leave(); /* nobody counts any more: this one, which was let in by the kernel, is the last */
        return access_permits(&child->options->access, &client->peer);
    }
    return asks ? await_verdict(child)
                : access_permits(&child->options->access, &client->peer);
}

/* ---- accepting ---- */

/* The listener to accept from. Where there are several the first that is ready, in turn; NULL when
 * none is, or the child is to leave. */
static struct listener *ready_listener(struct pool_child *child)
{
    static size_t turn;
    struct listeners *listeners = &child->listeners;
    int limit = 0;
    fd_set ready;

    if (child->blocks)
        return &listeners->all[0];
    FD_ZERO(&ready);
    for (size_t i = 0; i < listeners->count; i++) {
        FD_SET((unsigned)listeners->all[i].descriptor, &ready);
        if (listeners->all[i].descriptor >= limit)
            limit = listeners->all[i].descriptor + 1;
    }
    if (select(limit, &ready, NULL, NULL, NULL) == -1)
        return NULL; /* EINTR, or EBADF: told to leave */
    for (size_t i = 0; i < listeners->count; i++) {
        struct listener *next = &listeners->all[++turn % listeners->count];
        if (FD_ISSET((unsigned)next->descriptor, &ready))
            return next;
    }
    return NULL;
}

/* The parent tells who reads the log; the child tries again, but not at once. */
static void heed_failure(struct pool_child *child, int error)
{
    const struct timespec pause = clock_timespec(ACCEPT_PAUSE);
    struct record record = {.kind = RECORD_ACCEPT_FAILED, .error = error};

    if (leaving || !failure_persists(error, &child->retries))
        return;
    if (!report(child, &record))
        leave();
    (void)nanosleep(&pause, NULL); /* POOL_LEAVE ends it */
}

bool pool_child_accept(struct pool_child *child, struct client *client)
{
    title_set("idle");
    while (!leaving) {
        struct listener *listener = ready_listener(child);
        if (listener == NULL)
            continue;
        client->descriptor =
            listener_accept(listener, child->options->service.idle, &client->peer);
        if (client->descriptor == -1) {
            heed_failure(child, errno);
            continue;
        }
        child->retries = 0;
        if (may_come(child, client))
            return true;
        close(client->descriptor);
    }
    return false;
}
