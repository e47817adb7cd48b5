/* pool.c: see pool.h. */
#include "parts/pool.h"

#include "base/clock.h"
#include "parts/pool_report.h"
#include "platform/platform.h"
#include "process/activation.h"
#include "process/log.h"
#include "process/signals.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sys/wait.h>
#include <unistd.h>

/* Surplus idle workers are let go slowly, a tenth of them at a time: the next burst is likely to
 * be like the last one. */
#define SHRINK_PERIOD 1.0 /* seconds */
#define SHRINK_SHARE 10

/* How long no worker is started after that has failed, or after an idle one has died: what kills
 * them all at their start then kills one at a time. Less than the gap between two episodes of
 * failures (server/gate.c), so a limit that stays is one episode. Seconds. */
#define START_PAUSE 0.5

/* How long the recall waits. Only a worker that was stopped takes as much. Seconds. */
#define RECALL_TIME 1.0

/* How long the parent leaves reports unread that nobody waits for. A pipe holds some hundred, and
 * a line of the log may come as much late. Seconds. */
#define NAP 0.002

/* Until reaping is tried again where it has failed: no SIGCHLD comes for that. Seconds. */
#define REAP_PAUSE 0.2

/* ---- its life ---- */

static int open_pipes(struct pool *pool)
{
    int ends[2];

    if (pipe(ends) == -1)
        return -1;
    pool->hold_read = ends[0];
    pool->hold_write = ends[1];
    (void)fcntl(ends[0], F_SETFD, FD_CLOEXEC);
    (void)fcntl(ends[1], F_SETFD, FD_CLOEXEC);
    return ledger_open(&pool->ledger, LEDGER_WAITS);
}

bool pool_blocks(const struct listeners *listeners)
{
    return listeners->count == 1 && activation_count() == 0;
}

struct pool *pool_open(struct server *server)
{
    const struct listeners *listeners = &server->listeners;
    struct pool *pool = platform_private_memory(sizeof *pool);

    if (pool == NULL)
        return NULL;
    pool->workers = children_new(server->options->max_connections);
    if (pool->workers == NULL || open_pipes(pool) == -1)
        return NULL;
    server->own = pool;
    if (pool_blocks(listeners)) {
        int descriptor = listeners->all[0].descriptor;
        (void)fcntl(descriptor, F_SETFL, fcntl(descriptor, F_GETFL) & ~O_NONBLOCK);
    }
    return pool;
}

size_t pool_workers(const struct pool *pool)
{
    return pool->workers->live;
}

/* ---- how many ---- */

static bool is_busy(const struct server *server, const struct child *worker)
{
    return children_find(server->children, worker->id) != NULL;
}

/* Workers that wait for a client, as far as the parent has heard. One that was told to leave
 * may be busy, and so be taken off twice: then there is one more for a while. */
static size_t spare(const struct pool *pool, const struct server *server)
{
    size_t others = server->children->live + pool->exiting;

    return pool_workers(pool) > others ? pool_workers(pool) - others : 0;
}

/* At a limit, a second idle worker is not worth trying again and again. */
bool pool_wants(const struct pool *pool, const struct server *server)
{
    return server->stop.phase == SERVER_SERVING &&
           pool_workers(pool) < server->options->max_connections &&
           spare(pool, server) < (pool->at_limit ? 1 : POOL_SPARE_LEAST) &&
           clock_seconds() >= pool->starts_at;
}

void pool_add(struct pool *pool, pid_t pid)
{
    const struct peer nobody = {.name.any.sa_family = AF_UNIX};

    children_add(pool->workers, pid, &nobody, clock_seconds());
    pool->at_limit = false;
}

void pool_start_failed(struct pool *pool, struct server *server)
{
    server_start_failed(server, "fork");
    pool->at_limit = true;
    pool->starts_at = clock_seconds() + START_PAUSE;
}

double pool_due(const struct pool *pool)
{
    const double times[] = {pool->starts_at, pool->shrinks_at, pool->listens_at, pool->reaps_at};

    return clock_earliest(times, sizeof times / sizeof times[0]);
}

static void ask_to_exit(struct pool *pool, struct child *worker)
{
    pool->exiting += worker->stop_signal == 0;
    worker->stop_signal = POOL_LEAVE;
    kill((pid_t)worker->id, POOL_LEAVE);
}

/* Lets up to `count` idle workers go. */
static void let_go(struct pool *pool, const struct server *server, size_t count)
{
    struct child *each = pool->workers->oldest;

    for (; each != NULL && count > 0; each = each->younger)
        if (each->stop_signal == 0 && !is_busy(server, each)) {
            ask_to_exit(pool, each);
            count--;
        }
}

static void shrink(struct pool *pool, const struct server *server)
{
    size_t idle = spare(pool, server);
    double now = clock_seconds();

    if (idle <= POOL_SPARE_MOST || server->stop.phase != SERVER_SERVING) {
        pool->shrinks_at = 0;
        return;
    }
    if (now < pool->shrinks_at)
        return;
    if (pool->shrinks_at > 0)
        let_go(pool, server, (idle - POOL_SPARE_MOST + SHRINK_SHARE - 1) / SHRINK_SHARE);
    pool->shrinks_at = now + SHRINK_PERIOD;
}

/* ---- what they report ---- */

static bool read_reports(struct pool *pool, struct server *server)
{
    return pool_report_read(&pool->ledger, pool->workers, server);
}

int pool_listens_to(const struct pool *pool)
{
    return pool->listens_at <= 0 ? pool->ledger.read_end : -1;
}

/* After a turn in which it `has_read` reports the parent may nap. A growing pool needs it awake. */
static void plan_nap(struct pool *pool, const struct server *server, bool has_read)
{
    bool needed = server->options->max_per_source > 0 || server->stop.phase != SERVER_SERVING ||
                  spare(pool, server) < POOL_SPARE_LEAST;
    double now = clock_seconds();

    if (has_read && !needed)
        pool->listens_at = now + NAP;
    else if (needed || now >= pool->listens_at)
        pool->listens_at = 0;
}

/* ---- how they end ---- */

static void reap_worker(struct pool *pool, struct server *server, struct child *worker, int status)
{
    struct child *child = children_find(server->children, worker->id);
    int signal = WIFSIGNALED(status) ? WTERMSIG(status) : 0;

    if (child != NULL) {
        server_ended(server, child, signal); /* its client has no other end */
    } else if (worker->stop_signal == 0 && server->stop.phase == SERVER_SERVING) {
        /* Nobody asked it to leave, and no client can have ended it: others may end that way. */
        log_error("child %ld %s %d while it was idle; another takes its place", (long)worker->id,
                  signal != 0 ? "was ended by signal" : "has ended with status",
                  signal != 0 ? signal : WEXITSTATUS(status));
        pool->starts_at = clock_seconds() + START_PAUSE;
    }
    pool->exiting -= worker->stop_signal != 0;
    children_remove(pool->workers, worker);
}

size_t pool_reap(struct server *server)
{
    struct pool *pool = server->own;
    size_t reaped = 0;
    pid_t pid;
    int status;

    (void)read_reports(pool, server);
    while ((pid = waitpid(-1, &status, WNOHANG)) > 0 || (pid == -1 && errno == EINTR)) {
        struct child *worker = pid > 0 ? children_find(pool->workers, pid) : NULL;
        if (worker == NULL) /* process 1 is handed the orphans of others */
            continue;
        (void)read_reports(pool, server); /* all that this one has reported is there by now */
        reap_worker(pool, server, worker, status);
        reaped++;
    }
    pool->reaps_at = pid == -1 && pool_workers(pool) > 0 ? clock_seconds() + REAP_PAUSE : 0;
    return reaped;
}

/* ---- a stop ---- */

void pool_recall(struct server *server)
{
    struct pool *pool = server->own;
    struct pollfd end = {.fd = pool->hold_read, .events = POLLIN}; /* nobody has it open any more */

    (void)read_reports(pool, server);
    close(pool->hold_write);
    for (struct child *each = pool->workers->oldest; each != NULL; each = each->younger)
        ask_to_exit(pool, each);
    if (clock_poll(&end, 1, RECALL_TIME) != 1)
        log_error("not all children have closed the listeners in %g s; are some stopped?",
                  RECALL_TIME);
}

/* A stop goes to idle workers as well: each may have a client that it has not reported yet. The
 * busy ones get it by server_handle_requests. */
static void stop_idle(struct pool *pool, const struct server *server)
{
    struct child *each = server->stop.signal != 0 ? pool->workers->oldest : NULL;

    for (; each != NULL; each = each->younger)
        if (!is_busy(server, each))
            signals_send((pid_t)each->id, server->stop.signal);
}

/* ---- a turn ---- */

void pool_handle(struct pool *pool, struct server *server)
{
    bool has_read = clock_seconds() >= pool->listens_at && read_reports(pool, server);

    plan_nap(pool, server, has_read);
    if (signals_take(SIGCHLD) || (pool->reaps_at > 0 && clock_seconds() >= pool->reaps_at))
        (void)pool_reap(server);
    stop_idle(pool, server);
    shrink(pool, server);
    if (pool->starts_at > 0 && clock_seconds() >= pool->starts_at)
        pool->starts_at = 0;
}
