/* pool_worker.c: see pool_worker.h. */
#include "parts/pool_worker.h"

#include "base/clock.h"
#include "base/descriptors.h"
#include "parts/pool_report.h"
#include "platform/waiting.h"
#include "process/confine.h"
#include "process/log.h"
#include "process/signals.h"
#include "process/title.h"

#include <errno.h>
#include <string.h>
#include <sys/select.h>
#include <time.h>
#include <unistd.h>

/* Until accept is tried again after it has failed. Seconds. */
#define ACCEPT_PAUSE 0.2

/* The worker that this process is, for the handlers. */
static struct pool_worker *self;
static volatile sig_atomic_t exiting;
static volatile sig_atomic_t reply; /* POOL_ADMIT or POOL_REFUSE; 0: none yet */

void pool_worker_prepare(struct pool_worker *worker, const struct pool *pool,
                         const struct server *server)
{
    worker->options = server->options;
    worker->listeners = server->listeners;
    worker->blocks = pool_blocks(&server->listeners);
    worker->parent = getpid();
    worker->ledger = pool->ledger.write_end;
    worker->hold = pool->hold_write;
}

/* ---- when it is to exit ---- */

/* Closes all that keeps the addresses. Once: the numbers may be a client's afterwards. */
static void close_listeners(void)
{
    if (exiting)
        return;
    exiting = 1;
    for (size_t i = 0; i < self->listeners.count; i++)
        close(self->listeners.all[i].descriptor);
    close(self->hold);
}

static void handle_leave(int number)
{
    int error = errno;

    (void)number;
    close_listeners();
    errno = error;
}

/* Leaves open the standard descriptors, the listeners, the pipes to the parent and, where it is
 * needed, the log. Returns the lowest number that is free then. */
static int keep_descriptors(struct pool_worker *worker)
{
    struct listeners *listeners = &worker->listeners;
    int kept[LISTENERS_MAX + 3], free;
    size_t count = 0;

    for (size_t i = 0; i < listeners->count; i++)
        kept[count++] = listeners->all[i].descriptor;
    kept[count++] = worker->ledger;
    kept[count++] = worker->hold;
    free = confine_descriptors(kept, count, log_shows(LOG_MESSAGES));
    for (size_t i = 0; i < listeners->count; i++)
        listeners->all[i].descriptor = kept[i];
    worker->ledger = kept[listeners->count];
    worker->hold = kept[listeners->count + 1];
    return free;
}

/* Believed from the parent alone: a signal that is not from kill(2) names any sender that it likes
 * (rt_sigqueueinfo(2)). Where the queue is full, as RLIMIT_SIGPENDING allows its user no more,
 * Linux delivers one from kill(2) all the same, but no longer says from whom (process 0): that is
 * believed as well, or the worker would wait for ever. */
static void handle_reply(int number, siginfo_t *from, void *context)
{
    (void)context;
    if (from->si_code == SI_USER && (from->si_pid == self->parent || from->si_pid == 0))
        reply = number;
}

static sigset_t replies(void)
{
    sigset_t signals;

    sigemptyset(&signals);
    sigaddset(&signals, POOL_ADMIT);
    sigaddset(&signals, POOL_REFUSE);
    return signals;
}

/* Replies stay blocked until they are waited for. Whoever started us may have blocked
 * POOL_LEAVE. */
static void open_signals(void)
{
    struct sigaction on_leave = {.sa_handler = handle_leave};
    struct sigaction on_reply = {.sa_sigaction = handle_reply, .sa_flags = SA_SIGINFO};
    sigset_t blocked = replies(), open;

    sigprocmask(SIG_BLOCK, &blocked, NULL);
    sigemptyset(&on_leave.sa_mask);
    sigemptyset(&on_reply.sa_mask);
    sigaction(POOL_LEAVE, &on_leave, NULL);
    sigaction(POOL_ADMIT, &on_reply, NULL);
    sigaction(POOL_REFUSE, &on_reply, NULL);
    sigemptyset(&open);
    sigaddset(&open, POOL_LEAVE);
    sigprocmask(SIG_UNBLOCK, &open, NULL);
}

void pool_worker_start(struct pool_worker *worker)
{
    int free;

    self = worker;
    worker->own = getpid();
    free = keep_descriptors(worker);
    open_signals();
    platform_signal_when_orphaned(POOL_LEAVE);
    if (getppid() != worker->parent)
        close_listeners();
    confine_child(log_shows(LOG_MESSAGES), free + 1); /* one client */
}

/* ---- reporting ---- */

/* False when there is no parent any more who would read it. */
static bool report(const struct pool_worker *worker, struct record *record)
{
    record->id = worker->own;
    return ledger_write(worker->ledger, record) == 0;
}

void pool_worker_report_exit(const struct pool_worker *worker, const struct session *session)
{
    struct record record = ledger_exit_record(0, session);

    if (!report(worker, &record))
        close_listeners();
}

/* Whether the parent admits the client. False also when the parent is gone. */
static bool await_reply(const struct pool_worker *worker)
{
    sigset_t leave_signal, before, waiting;

    sigemptyset(&leave_signal);
    sigaddset(&leave_signal, POOL_LEAVE);
    sigprocmask(SIG_BLOCK, &leave_signal, &before);
    waiting = before;
    sigdelset(&waiting, POOL_LEAVE);
    sigdelset(&waiting, POOL_ADMIT);
    sigdelset(&waiting, POOL_REFUSE);
    while (reply == 0 && getppid() == worker->parent)
        sigsuspend(&waiting);
    sigprocmask(SIG_SETMASK, &before, NULL);
    return reply == POOL_ADMIT;
}

/* Lets in stray replies that are pending: they fill the queue, and where there is no queue one
 * would swallow the parent's reply. */
static void discard_replies(void)
{
    sigset_t signals = replies();

    sigprocmask(SIG_UNBLOCK, &signals, NULL);
    sigprocmask(SIG_BLOCK, &signals, NULL);
    reply = 0;
}

/* Reports whom it has accepted. Returns whether that client may come in. */
static bool may_come(const struct pool_worker *worker, const struct client *client)
{
    struct record arrival = {.kind = RECORD_ARRIVAL};
    bool waits = pool_report_needs_reply(worker->options, &client->peer);

    if (waits)
        discard_replies();
    memcpy(arrival.client, &client->peer, sizeof arrival.client);
    if (!report(worker, &arrival)) {
        close_listeners(); /* nobody counts any more: this client, which has been accepted, is the last */
        return access_permits(&worker->options->access, &client->peer);
    }
    return waits ? await_reply(worker)
                 : access_permits(&worker->options->access, &client->peer);
}

/* ---- accepting ---- */

/* The listener to accept from. Where there are several the first that is ready, in turn; NULL when
 * none is, or the worker is to leave. */
static struct listener *ready_listener(struct pool_worker *worker)
{
    struct listeners *listeners = &worker->listeners;
    int limit = 0;
    fd_set ready;

    if (worker->blocks)
        return &listeners->all[0];
    FD_ZERO(&ready);
    for (size_t i = 0; i < listeners->count; i++) {
        FD_SET(DESCRIPTORS_BIT(listeners->all[i].descriptor), &ready);
        if (listeners->all[i].descriptor >= limit)
            limit = listeners->all[i].descriptor + 1;
    }
    if (select(limit, &ready, NULL, NULL, NULL) == -1)
        return NULL; /* EINTR, or EBADF: told to leave */
    for (size_t i = 0; i < listeners->count; i++) {
        struct listener *next = &listeners->all[listeners->next++ % listeners->count];
        if (FD_ISSET(DESCRIPTORS_BIT(next->descriptor), &ready))
            return next;
    }
    return NULL;
}

/* The parent logs it; the worker tries again, but not at once. */
static void handle_failure(struct pool_worker *worker, int error)
{
    const struct timespec pause = clock_timespec(ACCEPT_PAUSE);
    struct record record = {.kind = RECORD_ACCEPT_FAILED, .error = error};

    if (exiting || failure_action(error, &worker->retries) == FAILURE_RETRY)
        return;
    if (!report(worker, &record))
        close_listeners();
    (void)nanosleep(&pause, NULL); /* POOL_LEAVE ends it */
}

bool pool_worker_accept(struct pool_worker *worker, struct client *client)
{
    title_set("idle");
    while (!exiting) {
        struct listener *listener = ready_listener(worker);
        if (listener == NULL)
            continue;
        client->descriptor =
            listener_accept(listener, worker->options, &client->peer);
        if (client->descriptor == -1) {
            handle_failure(worker, errno);
            continue;
        }
        worker->retries = 0;
        if (may_come(worker, client))
            return true;
        close(client->descriptor);
    }
    return false;
}
