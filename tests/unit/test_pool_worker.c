/* test_pool_worker.c: a child of a pool: how it accepts, reports and leaves (pool_worker.h). */
#include "suite.h"

#include "parts/pool_report.h"
#include "parts/pool_worker.h"
#include "process/log.h"
#include "process/signals.h"
#include "server/serve.h"

#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <sys/wait.h>

static const struct serve_model model = {.children_accept = true};
static struct options options;
static struct pidfile no_pidfile = {.descriptor = -1};
static struct server *server;
static struct pool *pool;
static struct pool_worker self;

/* Listens on as many addresses as that. */
static void open_pool(size_t listeners)
{
    options.program = "test";
    options.max_connections = 4;
    options.backlog = 16;
    options.facility = -1;
    options.listen_count = listeners;
    for (size_t i = 0; i < listeners; i++) {
        options.listen[i].text = "127.0.0.1:0";
        strcpy(options.listen[i].endpoint.host, "127.0.0.1");
        strcpy(options.listen[i].endpoint.port, "0");
    }
    log_open(LOG_NORMAL, -1);
    signals_open();
    server = server_open(&model, &options, &no_pidfile);
    ck_assert_ptr_nonnull(server);
    ck_assert_int_eq(listeners_open(&server->listeners, server->options), 0);
    pool = pool_open(server);
    ck_assert_msg(pool != NULL, "pool_open: %s", strerror(errno));
    pool_worker_prepare(&self, pool, server);
}

/* A child that sends each client a byte, and exits with how many it has had. */
static pid_t start_child(void)
{
    pid_t pid = fork();
    int served = 0;

    ck_assert_int_ne(pid, -1);
    if (pid != 0)
        return pid;
    pool_worker_start(&self);
    for (struct client client; pool_worker_accept(&self, &client); served++) {
        const struct session session = {.in = 1, .ending = SESSION_IDLE};
        if (write(client.descriptor, "x", 1) != 1)
            _exit(99);
        close(client.descriptor);
        pool_worker_report_exit(&self, &session);
    }
    _exit(served);
}

static int connect_to(size_t listener)
{
    const struct address *address = &server->listeners.all[listener].address;
    int descriptor = socket(AF_INET, SOCK_STREAM, 0);

    ck_assert_int_ne(descriptor, -1);
    ck_assert_int_eq(connect(descriptor, &address->name.any, address->length), 0);
    return descriptor;
}

/* Whether a client is served; else it is closed. */
static bool is_served(int descriptor)
{
    char byte = 0;
    ssize_t size = read(descriptor, &byte, 1);

    close(descriptor);
    return size == 1 && byte == 'x';
}

/* The next report. */
static struct record await_report(void)
{
    struct pollfd readable = {.fd = pool->ledger.read_end, .events = POLLIN};
    struct record record;

    while (!ledger_read(&pool->ledger, &record))
        ck_assert_int_eq(poll(&readable, 1, -1), 1);
    return record;
}

static void expect_arrival(pid_t pid)
{
    struct record record = await_report();
    struct peer client;

    ck_assert_int_eq(record.id, pid);
    ck_assert_int_eq((int)record.kind, RECORD_ARRIVAL);
    ck_assert(ledger_client(&record, &client));
    ck_assert_uint_eq(client.name.any.sa_family, AF_INET);
}

/* Tells it to leave. Returns its exit status. */
static int leave(pid_t pid)
{
    int status = 0;

    kill(pid, POOL_LEAVE);
    ck_assert_int_eq(waitpid(pid, &status, 0), pid);
    return WIFEXITED(status) ? WEXITSTATUS(status) : 256 + WTERMSIG(status);
}

/* Catches a child that serves one client and is gone, or none of the second listener's; and a
 * report that is lost, or another's. */
START_TEST(a_child_serves_one_client_after_the_other)
{
    for (size_t listeners = 1; listeners <= 3; listeners++) {
        pid_t pid;
        open_pool(listeners);
        pid = start_child();
        for (size_t i = 0; i < 12; i++) {
            struct record record;
            ck_assert(is_served(connect_to(i % listeners)));
            expect_arrival(pid);
            record = await_report();
            ck_assert_int_eq(record.ending, SESSION_IDLE);
            ck_assert_uint_eq(record.in, 1);
        }
        ck_assert_int_eq(leave(pid), 12);
    }
}
END_TEST

/* Catches a child that waits in accept, or for a reply, and does not hear that it is to leave: at
 * any moment, the one just before it waits included. */
START_TEST(a_child_leaves_whenever_it_is_told)
{
    open_pool(1);
    for (int i = 0; i < 200; i++) {
        pid_t pid = start_child();
        if (i % 2) {
            ck_assert(is_served(connect_to(0)));
            expect_arrival(pid);
            await_report();
        } else {
            /* Signalled at once it would die of that, as nobody has handled it yet. */
            char path[64];
            struct stat status;
            snprintf(path, sizeof path, "/proc/%ld/fd/%d", (long)pid, pool->ledger.read_end);
            while (lstat(path, &status) == 0)
                sched_yield();
        }
        ck_assert_int_ne(leave(pid), 99);
    }
}
END_TEST

/* Catches a listener that outlives its children's leave: the hold is not at its end then. */
START_TEST(leaving_closes_listeners_and_hold_pipe)
{
    struct pollfd hold;
    pid_t pid;
    int waiting;

    open_pool(2);
    pid = start_child();
    ck_assert(is_served(connect_to(0)));
    hold = (struct pollfd){.fd = pool->hold_read, .events = POLLIN};
    close(pool->hold_write);
    ck_assert_int_eq(poll(&hold, 1, 0), 0);
    ck_assert_int_eq(leave(pid), 1);
    ck_assert_int_eq(poll(&hold, 1, 0), 1);
    waiting = connect_to(1);
    listeners_close(&server->listeners);
    ck_assert(!is_served(waiting)); /* reset: nobody listens any more */
}
END_TEST

/* A signal from somebody who is not the parent. */
static void stray(pid_t pid, int number)
{
    pid_t other = fork();

    if (other == 0)
        _exit(kill(pid, number));
    ck_assert_int_eq(waitpid(other, NULL, 0), other);
}

/* A child of a pool that asks its parent about each client. */
static pid_t start_asking_child(void)
{
    options.max_per_source = 1;
    open_pool(1);
    return start_child();
}

/* Catches a client that is served before the parent has said so, or although it has said no; and a
 * signal of somebody else's that is taken for its word. */
START_TEST(a_child_does_what_the_reply_says)
{
    pid_t pid = start_asking_child();

    for (int i = 0; i < 20; i++) {
        bool yes = i % 3 > 0;
        int client = connect_to(0);
        expect_arrival(pid);
        stray(pid, yes ? POOL_REFUSE : POOL_ADMIT);
#ifdef SIGRTMIN /* elsewhere signals are not queued */
        /* Not by kill: who sends such a one may name the parent as its sender. */
        sigqueue(pid, yes ? POOL_REFUSE : POOL_ADMIT, (union sigval){0});
#endif
        ck_assert_int_eq(recv(client, &(char){0}, 1, MSG_DONTWAIT), -1);
        ck_assert_int_eq(errno, EAGAIN);
        kill(pid, yes ? POOL_ADMIT : POOL_REFUSE);
        ck_assert_int_eq(is_served(client), yes);
        if (yes)
            await_report();
        stray(pid, yes ? POOL_ADMIT : POOL_REFUSE);
    }
    ck_assert_int_eq(leave(pid), 13);
}
END_TEST

/* Catches a reply that a stray signal swallows, which is pending already as the child's turn to
 * run comes late: the child waits for ever, and its client with it. */
START_TEST(a_stray_signal_swallows_no_reply)
{
#ifdef SIGRTMIN
    pid_t pid = start_asking_child();

    for (int i = 0; i < 20; i++) {
        bool yes = i % 3 > 0;
        int client = connect_to(0);
        expect_arrival(pid);
        kill(pid, SIGSTOP);
        ck_assert_int_eq(waitpid(pid, NULL, WUNTRACED), pid);
        stray(pid, POOL_ADMIT);
        stray(pid, POOL_REFUSE);
        kill(pid, yes ? POOL_ADMIT : POOL_REFUSE);
        kill(pid, SIGCONT);
        ck_assert_int_eq(is_served(client), yes);
        if (yes)
            await_report();
    }
    ck_assert_int_eq(leave(pid), 13);
#endif
}
END_TEST

/* Catches a denied client that is served, or that is asked for. */
START_TEST(a_child_reads_the_lists_itself)
{
    char problem[BLOCK_PROBLEM_MAX];
    struct block block;
    pid_t pid;

    options.max_per_source = 1;
    ck_assert_int_eq(block_parse("127.0.0.0/8", &block, problem), 0);
    ck_assert_int_eq(access_add(&options.access, ACCESS_DENY, &block), 0);
    open_pool(1);
    pid = start_child();
    for (int i = 0; i < 5; i++) {
        ck_assert(!is_served(connect_to(0)));
        expect_arrival(pid);
    }
    ck_assert_int_eq(leave(pid), 0);
}
END_TEST

/* Catches a child whose parent is gone, and that waits for ever for the next client, or for a
 * reply. */
START_TEST(a_child_does_not_outlive_its_parent_for_long)
{
#ifdef __linux__
    for (int asks = 0; asks < 2; asks++) {
        struct pollfd hold;
        pid_t parent;
        options.max_per_source = (size_t)asks;
        open_pool(1);
        hold = (struct pollfd){.fd = pool->hold_read, .events = POLLIN};
        parent = fork();
        if (parent == 0) {
            self.parent = getpid();
            start_child();
            pause();
        }
        if (asks) {
            connect_to(0);
            await_report(); /* and no reply will come */
        }
        kill(parent, SIGKILL);
        ck_assert_int_eq(waitpid(parent, NULL, 0), parent);
        close(pool->hold_write);
        ck_assert_int_eq(poll(&hold, 1, -1), 1); /* closed by the child, by then or before */
    }
#endif
}
END_TEST

SUITE("pool_worker", a_child_serves_one_client_after_the_other, a_child_leaves_whenever_it_is_told,
      leaving_closes_listeners_and_hold_pipe, a_child_does_what_the_reply_says,
      a_stray_signal_swallows_no_reply,
      a_child_reads_the_lists_itself, a_child_does_not_outlive_its_parent_for_long)
