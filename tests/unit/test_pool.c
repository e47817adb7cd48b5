/* test_pool.c: children that accept by themselves, as their parent keeps them (pool.h). */
#include "suite.h"

#include "base/clock.h"
#include "parts/pool.h"
#include "parts/pool_report.h"
#include "process/log.h"
#include "process/signals.h"
#include "server/serve.h"

#include <signal.h>
#include <sys/wait.h>

static const struct serve_model model = {.children_accept = true, .before_close = pool_recall};
static struct options options;
static struct pidfile no_pidfile = {.descriptor = -1};
static struct server *server;
static struct pool *pool;
static struct capture errors;

/* A pool of a server without listeners. From here on the log is in `errors`. */
static void open_pool(size_t most)
{
    options.program = "test";
    options.max_connections = most;
    options.facility = -1;
    capture_begin(&errors, STDERR_FILENO);
    log_open(LOG_CLIENTS, -1);
    signals_open();
    server = server_open(&model, &options, &no_pidfile);
    ck_assert_ptr_nonnull(server);
    pool = pool_open(server);
    ck_assert_msg(pool != NULL, "pool_open: %s", strerror(errno));
}

static void expect_logged(const char *what)
{
    ssize_t size = pread(fileno(errors.file), errors.text, sizeof errors.text - 1, 0);

    ck_assert_int_ge(size, 0);
    errors.text[size] = '\0';
    ck_assert_msg(strstr(errors.text, what) != NULL, "\"%s\" was not logged:\n%s", what,
                  errors.text);
}

/* ---- children that only pretend ---- */

static volatile sig_atomic_t received;

static void note_signal(int number)
{
    received = number;
}

/* Waits for one signal of the pool, closes the hold pipe, and exits with the signal's number. */
static _Noreturn void pretend(int hold)
{
    const int numbers[] = {POOL_LEAVE, POOL_ADMIT, POOL_REFUSE};
    struct sigaction action = {.sa_handler = note_signal};
    sigset_t none;

    sigemptyset(&none);
    sigemptyset(&action.sa_mask);
    for (size_t i = 0; i < SUITE_LENGTH(numbers); i++)
        sigaction(numbers[i], &action, NULL);
    while (received == 0)
        sigsuspend(&none);
    close(hold);
    _exit(received);
}

/* One more worker of the pool. It is told nothing before it listens. */
static pid_t add_worker(void)
{
    int hold = pool->hold_write;
    sigset_t all, before;
    pid_t pid;

    sigfillset(&all);
    sigprocmask(SIG_BLOCK, &all, &before);
    pid = fork();
    if (pid == 0)
        pretend(hold);
    sigprocmask(SIG_SETMASK, &before, NULL);
    ck_assert_int_ne(pid, -1);
    pool_add(pool, pid);
    return pid;
}

/* Waits until a worker has ended, without reaping it. Returns its exit status, or 256 and the
 * signal that ended it. */
static int await_end(pid_t pid)
{
    siginfo_t info;

    ck_assert_int_eq(waitid(P_PID, (id_t)pid, &info, WEXITED | WNOWAIT), 0);
    return info.si_code == CLD_EXITED ? info.si_status : 256 + info.si_status;
}

static void put(pid_t pid, struct record record)
{
    record.id = pid;
    ck_assert_int_eq(ledger_write(pool->ledger.write_end, &record), 0);
    pool->listens_at = 0;
    pool_handle(pool, server);
}

static void arrive(pid_t pid, const char *address)
{
    struct peer peer = peer_at(address, 4242);
    struct record record = {.kind = RECORD_ARRIVAL};

    memcpy(record.client, &peer, sizeof record.client);
    put(pid, record);
}

static void write_exit(pid_t pid)
{
    put(pid, (struct record){.ending = SESSION_EOF, .in = 5, .out = 3});
}

static bool adds_up(void)
{
    const struct statistics *count = &server->statistics;
    size_t live = server->children->live;

    return count->accepted == count->ended + count->refused + live && live <= pool_workers(pool);
}

/* Ends and reaps all. */
static void close_pool(void)
{
    struct child *each = pool->workers->oldest;

    for (; each != NULL; each = each->younger) {
        kill((pid_t)each->id, SIGKILL);
        await_end((pid_t)each->id);
    }
    pool_reap(server);
    ck_assert_uint_eq(pool_workers(pool), 0);
    ck_assert(adds_up());
}

/* ---- how many ---- */

/* Catches a pool without idle children, one that outgrows its bound, and one that counts a busy
 * child as idle. */
START_TEST(some_are_idle_up_to_the_bound)
{
    pid_t pids[8];
    size_t count = 0;

    open_pool(8);
    for (; pool_wants(pool, server); count++)
        pids[count] = add_worker();
    ck_assert_uint_eq(count, POOL_SPARE_LEAST);
    for (size_t busy = 0; busy < 8; busy++) {
        arrive(pids[busy], "192.0.2.1");
        for (; pool_wants(pool, server); count++)
            pids[count] = add_worker();
        ck_assert_uint_eq(count, busy + 1 + POOL_SPARE_LEAST < 8 ? busy + 1 + POOL_SPARE_LEAST : 8);
    }
    ck_assert_uint_eq(pool_workers(pool), 8);
    write_exit(pids[0]);
    ck_assert(!pool_wants(pool, server));
    close_pool();
}
END_TEST

/* Catches a fork that is tried at each turn while it fails, and never again once it works. */
START_TEST(a_start_that_fails_is_tried_after_a_pause)
{
    open_pool(8);
    errno = EAGAIN;
    pool_start_failed(pool, server);
    expect_logged("fork failed: ");
    ck_assert(!pool_wants(pool, server));
    ck_assert_double_gt(pool_due(pool), clock_seconds());
    pool->starts_at = clock_seconds();
    ck_assert(pool_wants(pool, server));
    add_worker();
    errno = EAGAIN;
    pool_start_failed(pool, server);
    pool->starts_at = 0;
    ck_assert(!pool_wants(pool, server)); /* at a limit one idle child is enough */
    close_pool();
}
END_TEST

/* Catches a busy parent that wakes for each report, and one that sleeps while it is needed. */
START_TEST(reports_that_nobody_waits_for_wait)
{
    struct record record = {.ending = SESSION_EOF};
    pid_t pid;

    open_pool(8);
    pid = add_worker();
    for (size_t i = 0; i < POOL_SPARE_LEAST; i++) {
        ck_assert_int_eq(pool_listens_to(pool), pool->ledger.read_end);
        add_worker();
    }
    arrive(pid, "192.0.2.1");
    ck_assert_int_eq(pool_listens_to(pool), -1);
    ck_assert_double_gt(pool_due(pool), clock_seconds() - 1);
    pool->listens_at = clock_seconds() + 100;
    record.id = pid;
    ck_assert_int_eq(ledger_write(pool->ledger.write_end, &record), 0);
    pool_handle(pool, server);
    ck_assert_uint_eq(server->statistics.ended, 0);
    pool->listens_at = clock_seconds();
    pool_handle(pool, server);
    ck_assert_uint_eq(server->statistics.ended, 1);
    pool->listens_at = clock_seconds();
    pool_handle(pool, server); /* there was nothing more */
    ck_assert_int_eq(pool_listens_to(pool), pool->ledger.read_end);
    options.max_per_source = 8;
    arrive(pid, "192.0.2.1");
    ck_assert_int_eq(pool_listens_to(pool), pool->ledger.read_end);
    close_pool();
}
END_TEST

/* Catches a pool that is let go at once, or never. */
START_TEST(what_is_surplus_is_let_go_slowly)
{
    pid_t pids[40];
    int gone = 0;

    open_pool(40);
    for (size_t i = 0; i < 40; i++)
        pids[i] = add_worker();
    arrive(pids[0], "192.0.2.1"); /* the oldest: it is busy, and stays */
    ck_assert_double_gt(pool->shrinks_at, clock_seconds());
    pool->shrinks_at = clock_seconds();
    pool_handle(pool, server);
    for (size_t i = 1; i <= 3; i++) /* 39 are idle, 16 are kept: a tenth of 23 */
        gone += await_end(pids[i]) == POOL_LEAVE;
    ck_assert_int_eq(gone, 3);
    ck_assert_uint_eq(pool->exiting, 3);
    pool_reap(server);
    ck_assert_uint_eq(pool_workers(pool), 37);
    ck_assert_uint_eq(pool->exiting, 0);
    ck_assert_double_eq(pool->starts_at, 0); /* no accident */
    close_pool();
}
END_TEST

/* ---- what they report ---- */

/* Catches a client that is not registered, or whose bytes or end are another's. */
START_TEST(a_client_arrives_and_ends)
{
    struct child *child;
    pid_t one, other;

    open_pool(8);
    one = add_worker();
    other = add_worker();
    arrive(one, "192.0.2.1");
    arrive(other, "2001:db8::1");
    ck_assert_ptr_nonnull(child = children_find(server->children, one));
    ck_assert_int_eq(child->peer.name.any.sa_family, AF_INET);
    ck_assert_uint_eq(server->children->live, 2);
    write_exit(one);
    ck_assert_ptr_null(children_find(server->children, one));
    ck_assert_uint_eq(server->statistics.in, 5);
    ck_assert_uint_eq(server->statistics.out, 3);
    arrive(one, "local");
    ck_assert_uint_eq(server->statistics.accepted, 3);
    expect_logged("how=eof");
    close_pool();
}
END_TEST

/* Catches a link-local client whose zone is lost: it would be another's. */
START_TEST(a_client_keeps_its_zone)
{
    struct record record = {.kind = RECORD_ARRIVAL};
    struct peer peer = peer_at("fe80::1", 1);
    pid_t pid;

    open_pool(2);
    pid = add_worker();
    peer.name.v6.sin6_scope_id = 7;
    memcpy(record.client, &peer, sizeof record.client);
    put(pid, record);
    ck_assert_uint_eq(server->children->oldest->peer.name.v6.sin6_scope_id, 7);
    close_pool();
}
END_TEST

/* Catches a count that drifts for ever, and a source that is locked out, by one client whose end
 * went unsaid; and a child that then waits for a reply that never comes. */
START_TEST(a_child_that_arrives_again_has_lost_its_client)
{
    pid_t pid;

    open_pool(4);
    pid = add_worker();
    arrive(pid, "192.0.2.1");
    arrive(pid, "192.0.2.2");
    ck_assert_uint_eq(server->statistics.accepted, 2);
    ck_assert_uint_eq(server->statistics.ended, 1);
    ck_assert_uint_eq(server->children->live, 1);
    expect_logged("from=192.0.2.1:4242 in=- out=- ");
    close_pool();
}
END_TEST

/* Catches a parent that a compromised child can move to count what is not, to leave a client
 * uncounted, or to crash. */
START_TEST(reports_that_cannot_be_are_ignored)
{
    struct record nobody = {.kind = RECORD_ARRIVAL, .client = {0xff, 0xff}};
    pid_t pid;

    open_pool(4);
    pid = add_worker();
    arrive(getpid(), "192.0.2.1");
    expect_logged("which is no child");
    write_exit(pid);
    expect_logged("no live child");
    put(pid, nobody);
    expect_logged("who has no address");
    ck_assert_uint_eq(server->statistics.accepted, 0);
    arrive(pid, "192.0.2.1");
    put(pid, (struct record){.ending = INT64_MIN});
    ck_assert_uint_eq(server->statistics.ended, 1);
    ck_assert_int_eq(write(pool->ledger.write_end, "junk", 4), 4);
    put(pid, (struct record){.kind = RECORD_ACCEPT_FAILED, .error = INT64_MAX});
    expect_logged("4 bytes on the ledger");
    ck_assert_int_eq(server->stop.phase, SERVER_SERVING);
    close_pool();
}
END_TEST

/* Catches failures of accept that nobody hears of, one that cannot pass and is waited for, a
 * child that has the server stop by a lie, and a stop that leaves the listeners with children. */
START_TEST(a_child_that_cannot_accept_is_an_episode)
{
    pid_t pid;

    open_pool(4);
    pid = add_worker();
    put(pid, (struct record){.kind = RECORD_ACCEPT_FAILED, .error = EMFILE});
    put(pid, (struct record){.kind = RECORD_ACCEPT_FAILED, .error = EMFILE});
    expect_logged("a child's accept failed: Too many open files; clients wait"); /* its own limit */
    ck_assert_uint_eq(server->gate.failures, 2);
    ck_assert(server->gate.closed_until >= server->gate.failed_last + GATE_PAUSE_FIRST);
    put(pid, (struct record){.kind = RECORD_ACCEPT_FAILED, .error = ENOTSOCK});
    ck_assert(!server->stop.failed); /* all our listeners listen */
    server->listeners.all[server->listeners.count++].descriptor = open("/dev/null", O_RDONLY);
    put(pid, (struct record){.kind = RECORD_ACCEPT_FAILED, .error = ENOTSOCK});
    ck_assert(server->stop.failed);
    expect_logged("; stopping");
    ck_assert_int_eq(await_end(pid), POOL_LEAVE);
    close_pool();
}
END_TEST

/* Catches a child that waits for ever, one that serves whom it must not, and a cap that is none. */
START_TEST(who_asks_is_told)
{
    pid_t first, second;

    options.max_per_source = 1;
    open_pool(4);
    first = add_worker();
    second = add_worker();
    arrive(first, "192.0.2.1");
    ck_assert_int_eq(await_end(first), POOL_ADMIT);
    arrive(second, "192.0.2.1");
    ck_assert_int_eq(await_end(second), POOL_REFUSE);
    ck_assert_uint_eq(server->statistics.refused, 1);
    close_pool();
}
END_TEST

/* ---- how they end ---- */

/* Catches a slot that is lost with the child, a wrong end, and a crash that is taken for one of an
 * idle child. */
START_TEST(a_busy_child_that_dies_ends_its_client)
{
    pid_t pid;

    open_pool(4);
    pid = add_worker();
    arrive(pid, "192.0.2.1");
    kill(pid, SIGKILL);
    await_end(pid);
    ck_assert_uint_eq(pool_reap(server), 1);
    ck_assert_uint_eq(server->statistics.ended, 1);
    expect_logged("how=signal-9");
    ck_assert_double_eq(pool->starts_at, 0);
    close_pool();
}
END_TEST

/* Catches an end that is counted as a crash since the last report was not yet read. */
START_TEST(the_last_word_of_a_dead_child_counts)
{
    struct record record = {.ending = SESSION_RESET};
    pid_t pid;

    open_pool(4);
    pid = add_worker();
    arrive(pid, "192.0.2.1");
    record.id = pid;
    ck_assert_int_eq(ledger_write(pool->ledger.write_end, &record), 0);
    kill(pid, SIGKILL);
    await_end(pid);
    pool_reap(server);
    expect_logged("how=reset");
    expect_logged("while it was idle");
    close_pool();
}
END_TEST

/* Catches children that die at their start and are replaced as fast as that goes. */
START_TEST(an_idle_child_that_dies_is_replaced_after_a_pause)
{
    pid_t pid;

    open_pool(4);
    pid = add_worker();
    kill(pid, SIGKILL);
    await_end(pid);
    pool_reap(server);
    expect_logged("while it was idle");
    ck_assert(!pool_wants(pool, server));
    ck_assert_double_gt(pool_due(pool), clock_seconds());
    close_pool();
}
END_TEST

/* Catches a drain that is announced while a child still has the listeners, and one child that is
 * not told. */
START_TEST(the_recall_ends_when_all_have_let_go)
{
    pid_t pids[5];

    open_pool(8);
    for (size_t i = 0; i < 5; i++)
        pids[i] = add_worker();
    arrive(pids[0], "192.0.2.1");
    pool_recall(server);
    for (size_t i = 0; i < 5; i++)
        ck_assert_int_eq(await_end(pids[i]), POOL_LEAVE);
    close_pool();
}
END_TEST

/* Catches a stop that one stopped child holds up. */
START_TEST(the_recall_does_not_wait_for_ever)
{
    double start = clock_seconds();
    pid_t pid;

    open_pool(8);
    pid = add_worker();
    kill(pid, SIGSTOP);
    pool_recall(server);
    ck_assert_double_ge(clock_seconds() - start, 0.9);
    expect_logged("not all children have closed the listeners");
    close_pool();
}
END_TEST

/* Catches a stop that an idle child does not get, as it may have a client of which nobody has
 * heard; or that is sent as what a worker leaves to its parent. */
START_TEST(a_stop_ends_busy_and_idle)
{
    static const struct {
        enum server_phase phase;
        int signal, ends;
    } stops[] = {{SERVER_TERMINATING, SIGTERM, SIGNALS_STOP}, {SERVER_KILLING, SIGKILL, SIGKILL}};

    for (size_t i = 0; i < SUITE_LENGTH(stops); i++) {
        pid_t busy, idle;

        open_pool(8);
        busy = add_worker();
        idle = add_worker();
        arrive(busy, "192.0.2.1");
        server->stop.phase = stops[i].phase;
        server->stop.signal = stops[i].signal;
        pool_handle(pool, server);
        server_handle_requests(server);
        ck_assert_int_eq(await_end(busy), 256 + stops[i].ends);
        ck_assert_int_eq(await_end(idle), 256 + stops[i].ends);
        close_pool();
    }
}
END_TEST

SUITE("pool", some_are_idle_up_to_the_bound, a_start_that_fails_is_tried_after_a_pause,
      reports_that_nobody_waits_for_wait, what_is_surplus_is_let_go_slowly,
      a_client_arrives_and_ends, a_client_keeps_its_zone,
      reports_that_cannot_be_are_ignored,
      a_child_that_arrives_again_has_lost_its_client, a_child_that_cannot_accept_is_an_episode,
      who_asks_is_told, a_busy_child_that_dies_ends_its_client,
      the_last_word_of_a_dead_child_counts, an_idle_child_that_dies_is_replaced_after_a_pause,
      the_recall_ends_when_all_have_let_go, the_recall_does_not_wait_for_ever,
      a_stop_ends_busy_and_idle)
