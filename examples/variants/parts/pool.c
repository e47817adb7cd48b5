/* pool.c: see pool.h. */
#include "parts/pool.h"

#include "base/clock.h"
#include "platform/platform.h"
#include "process/log.h"
#include "process/signals.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

/* Surplus idle children are let go slowly, a tenth of them at a time: the next burst is likely to
 * be like the last one. */
#define SHRINK_PERIOD 1.0 /* seconds */
#define SHRINK_SHARE 10

/* How long none is started once that has failed, or an idle one has died: what kills them all at
 * their start makes no more of them than that. Less than what parts two episodes of failures
 * (server/gate.c), so a limit that stays is one. Seconds. */
#define START_PAUSE 0.5

/* How long the recall waits. Only a child that was stopped takes as much. Seconds. */
#define RECALL_TIME 1.0

/* How long the parent leaves reports unread that nobody waits for. A pipe holds some hundred, and
 * a line of the log may come as much late. Seconds. */
#define NAP 0.002

/* Until children are reaped again where that has failed: no SIGCHLD tells of them once more.
 * Seconds. */
#define REAP_PAUSE 0.2

#define REPORTS_PORTION 2048 /* records read in one turn: more than a pipe of 64 KiB holds */

/* ---- its life ---- */

static int open_pipes(struct pool *pool)
{
    int lease[2];

    if (pipe(lease) == -1)
        return -1;
    pool->lease_read = lease[0];
    pool->lease_write = lease[1];
    (void)fcntl(lease[0], F_SETFD, FD_CLOEXEC);
    (void)fcntl(lease[1], F_SETFD, FD_CLOEXEC);
    if (ledger_open(&pool->ledger, LEDGER_WAITS) == 0)
        return 0;
    close(lease[0]);
    close(lease[1]);
    return -1;
}

bool pool_blocks(const struct listeners *listeners)
{
    return listeners->count == 1 && !listeners->handed_over;
}

struct pool *pool_open(struct server *server)
{
    const struct listeners *listeners = &server->listeners;
    struct pool *pool = platform_private_memory(sizeof *pool);

    if (pool == NULL)
        return NULL;
    pool->members = children_new(server->options->max_connections);
    if (pool->members == NULL || open_pipes(pool) == -1)
        return NULL;
    server->own = pool;
    if (pool_blocks(listeners)) {
        int descriptor = listeners->all[0].descriptor;
        (void)fcntl(descriptor, F_SETFL, fcntl(descriptor, F_GETFL) & ~O_NONBLOCK);
    }
    return pool;
}

void pool_close(struct pool *pool)
{
    ledger_close(&pool->ledger);
    close(pool->lease_read);
    if (pool->lease_write != -1)
        close(pool->lease_write);
}

size_t pool_members(const struct pool *pool)
{
    return children_live(pool->members);
}

bool pool_asks(const struct options *options, const struct peer *peer)
{
    return options->max_per_source > 0 && access_permits(&options->access, peer);
}

/* ---- how many ---- */

/* Children that wait for a client, as far as the parent has heard. One that was told to leave
 * may be busy, and so be taken off twice: then there is one more for a while. */
static size_t spare(const struct pool *pool, const struct server *server)
{
    size_t others = children_live(server->children) + pool->leaving;
    size_t members = children_live(pool->members);

    return members > others ? members - others : 0;
}

/* At a limit, idle ones are not worth trying again and again. */
bool pool_wants(const struct pool *pool, const struct server *server)
{
    return server->stop.phase == SERVER_SERVING &&
           children_live(pool->members) < server->options->max_connections &&
           spare(pool, server) < (pool->at_limit ? 1 : POOL_SPARE_LEAST) &&
           clock_seconds() >= pool->starts_at;
}

void pool_add(struct pool *pool, pid_t pid)
{
    const struct peer nobody = {.name.any.sa_family = AF_UNIX};

    children_add(pool->members, pid, &nobody, clock_seconds());
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

int pool_listens_to(const struct pool *pool)
{
    return pool->listens_at <= 0 ? pool->ledger.read_end : -1;
}

/* After a turn that has read reports, or has not, the parent may nap, or has napped. A growing
 * pool needs it awake. */
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

static void tell_to_leave(struct pool *pool, struct child *member)
{
    pool->leaving += member->stop_signal == 0;
    member->stop_signal = POOL_LEAVE;
    kill((pid_t)member->id, POOL_LEAVE);
}

/* Lets up to `count` idle children go. */
static void let_go(struct pool *pool, const struct server *server, size_t count)
{
    struct child *each = children_oldest(pool->members);

    for (; each != NULL && count > 0; each = each->younger)
        if (each->stop_signal == 0 && children_find(server->children, each->id) == NULL) {
            tell_to_leave(pool, each);
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
    if (pool->shrinks_at > 0 && now >= pool->shrinks_at)
        let_go(pool, server, (idle - POOL_SPARE_MOST + SHRINK_SHARE - 1) / SHRINK_SHARE);
    else if (pool->shrinks_at > 0)
        return;
    pool->shrinks_at = now + SHRINK_PERIOD;
}

/* ---- what they report ---- */

/* A child has accepted: admits its client, and answers where that is waited for. */
static void heed_arrival(const struct record *record, struct server *server)
{
    struct client client = {.descriptor = -1};
    struct child *earlier = children_find(server->children, record->id);
    bool may_come;

    if (!ledger_client(record, &client.peer)) {
        log_error("ignored a client on the ledger from %lld, who has no address",
                  (long long)record->id);
        return;
    }
    /* It has one at a time, so the earlier one is gone, however that went unsaid. */
    if (earlier != NULL) {
        earlier->ending = SESSION_ERROR;
        server_ended(server, earlier, 0);
    }
    may_come = server_admit(server, &client);
    if (may_come)
        server_began(server, record->id, &client);
    if (pool_asks(server->options, &client.peer))
        kill((pid_t)record->id, may_come ? POOL_ADMIT : POOL_REFUSE);
}

static void heed_report(struct pool *pool, struct server *server, const struct record *record)
{
    struct child *child;

    if (children_find(pool->members, record->id) == NULL) {
        log_error("ignored a record on the ledger for %lld, which is no child",
                  (long long)record->id);
    } else if (record->kind == RECORD_ARRIVAL) {
        heed_arrival(record, server);
    } else if (record->kind == RECORD_ACCEPT_FAILED) {
        errno = record->error > 0 && record->error < INT16_MAX ? (int)record->error : EIO;
        server_accept_failed(server);
    } else if ((child = server_exit_recorded(server, record)) != NULL) {
        server_ended(server, child, 0);
    }
}

/* Returns whether there were any. */
static bool read_reports(struct pool *pool, struct server *server)
{
    struct record record;
    int portion = REPORTS_PORTION;

    while (portion-- > 0 && ledger_read(&pool->ledger, &record))
        heed_report(pool, server, &record);
    if (pool->ledger.junk > 0)
        log_error("ignored %lu bytes on the ledger that are no record", pool->ledger.junk);
    pool->ledger.junk = 0;
    return portion < REPORTS_PORTION - 1;
}

/* ---- how they end ---- */

/* A client whose child is gone has no other end. */
static void end_client(struct server *server, pid_t pid, int status)
{
    struct child *child = children_find(server->children, pid);

    if (child == NULL)
        return;
    child->ending = SESSION_ERROR;
    server_ended(server, child, WIFSIGNALED(status) ? WTERMSIG(status) : 0);
}

/* Nobody asked it to go, and no client can have made it: others may go the same way. */
static void regret_idle(struct pool *pool, pid_t pid, int status)
{
    if (WIFSIGNALED(status))
        log_error("child %ld was ended by signal %d while it was idle; another takes its place",
                  (long)pid, WTERMSIG(status));
    else
        log_error("child %ld has ended with status %d while it was idle; another takes its place",
                  (long)pid, WEXITSTATUS(status));
    pool->starts_at = clock_seconds() + START_PAUSE;
}

static void bury(struct pool *pool, struct server *server, struct child *member, int status)
{
    pid_t pid = (pid_t)member->id;

    if (member->stop_signal == 0 && server->stop.phase == SERVER_SERVING &&
        children_find(server->children, pid) == NULL)
        regret_idle(pool, pid, status);
    end_client(server, pid, status);
    pool->leaving -= member->stop_signal != 0;
    children_remove(pool->members, member);
}

size_t pool_reap(struct server *server)
{
    struct pool *pool = server->own;
    size_t reaped = 0;
    pid_t pid;
    int status;

    (void)read_reports(pool, server);
    while ((pid = waitpid(-1, &status, WNOHANG)) > 0 || (pid == -1 && errno == EINTR)) {
        struct child *member = pid > 0 ? children_find(pool->members, pid) : NULL;
        if (member == NULL) /* process 1 is handed the orphans of others */
            continue;
        /* All that it has reported is there by now. */
        (void)read_reports(pool, server);
        bury(pool, server, member, status);
        reaped++;
    }
    pool->reaps_at = pid == -1 && pool_members(pool) > 0 ? clock_seconds() + REAP_PAUSE : 0;
    return reaped;
}

/* ---- a stop ---- */

void pool_recall(struct server *server)
{
    struct pool *pool = server->own;
    struct pollfd lease = {.fd = pool->lease_read, .events = POLLIN};
    double end = clock_seconds() + RECALL_TIME, left = RECALL_TIME;
    int found = 0;

    (void)read_reports(pool, server);
    close(pool->lease_write);
    pool->lease_write = -1;
    for (struct child *each = children_oldest(pool->members); each != NULL; each = each->younger)
        tell_to_leave(pool, each);
    while (found == 0 && left > 0) {
        found = poll(&lease, 1, clock_milliseconds(left));
        if (found == -1 && errno == EINTR)
            found = 0;
        left = end - clock_seconds();
    }
    if (found != 1)
        log_error("not all children have closed the listeners in %g s; are some stopped?",
                  RECALL_TIME);
}

/* A stop goes to those that are idle as well: each may have a client of which nothing was heard
 * yet. Those that are known to have one get it by server_handle_requests. */
static void stop_idle(struct pool *pool, const struct server *server)
{
    struct child *each = server->stop.signal != 0 ? children_oldest(pool->members) : NULL;

    for (; each != NULL; each = each->younger)
        if (children_find(server->children, each->id) == NULL)
            kill((pid_t)each->id, server->stop.signal);
}

void pool_heed(struct pool *pool, struct server *server)
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
