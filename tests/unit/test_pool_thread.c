/* test_pool_thread.c: a thread that serves one client after the other (pool_thread.h). */
#include "suite.h"

#include "parts/pool_thread.h"

#include <poll.h>
#include <sched.h>

static const struct service service; /* plain echo without limits */
static struct ledger ledger;

static int threads_of_this_process(void)
{
    DIR *list = opendir("/proc/self/task");
    int count = 0;

    if (list == NULL)
        return -1;
    for (const struct dirent *entry; (entry = readdir(list)) != NULL;)
        count += entry->d_name[0] != '.';
    closedir(list);
    return count;
}

static struct pool_thread *new_thread(void)
{
    struct pool_thread *thread = pool_thread_start(&service, ledger.write_end);

    ck_assert_msg(thread != NULL, "pool_thread_start: %s", strerror(errno));
    return thread;
}

static void open_ledger(void)
{
    ck_assert_int_eq(ledger_open(&ledger, LEDGER_WAITS), 0);
}

/* Gives a thread one end of a connection. Returns the other. */
static int give(struct pool_thread *thread, int64_t number, struct client *client)
{
    int ends[2];

    ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM, 0, ends), 0);
    *client = (struct client){ends[0], peer_at("local", 0)};
    pool_thread_give(thread, number, client);
    return ends[1];
}

static void expect_echo(int end, const char *text)
{
    char back[64] = "";
    size_t length = strlen(text);

    ck_assert_int_eq(write(end, text, length), (ssize_t)length);
    ck_assert_int_eq(recv(end, back, length, MSG_WAITALL), (ssize_t)length);
    ck_assert_str_eq(back, text);
}

/* The next exit record. */
static struct record await_record(void)
{
    struct pollfd readable = {.fd = ledger.read_end, .events = POLLIN};
    struct record record;

    while (!ledger_read(&ledger, &record))
        ck_assert_int_eq(poll(&readable, 1, -1), 1);
    return record;
}

/* Catches a thread that serves once and is gone, one that serves a client twice, or writes a record
 * as the one before. */
START_TEST(a_thread_serves_one_client_after_the_other)
{
    struct pool_thread *thread;
    struct client client;

    open_ledger();
    thread = new_thread();
    for (int64_t number = 1; number <= 100; number++) {
        int end = give(thread, number, &client);
        struct record record;
        expect_echo(end, "hello");
        close(end);
        record = await_record();
        ck_assert_int_eq(record.id, number);
        ck_assert_uint_eq(record.in, 5);
        ck_assert_uint_eq(record.out, 5);
        ck_assert_int_eq(record.ending, SESSION_EOF);
        ck_assert_int_eq(thread->client.descriptor, client.descriptor);
        close(client.descriptor);
    }
    pool_thread_end(thread);
}
END_TEST

/* Catches a thread that waits for another one's client, or takes it. */
START_TEST(workers_serve_at_the_same_time_each_its_own)
{
    enum { WORKERS = 20 };
    struct pool_thread *threads[WORKERS];
    struct client clients[WORKERS];
    int ends[WORKERS];
    bool exit_recorded[WORKERS] = {false};

    open_ledger();
    for (int i = 0; i < WORKERS; i++)
        threads[i] = new_thread();
    for (int i = WORKERS - 1; i >= 0; i--)
        ends[i] = give(threads[i], i, &clients[i]);
    for (int i = 0; i < WORKERS; i++)
        expect_echo(ends[i], "at the same time");
    for (int i = 0; i < WORKERS; i++)
        close(ends[i]);
    for (int i = 0; i < WORKERS; i++) {
        struct record record = await_record();
        ck_assert_int_lt(record.id, WORKERS);
        ck_assert(!exit_recorded[record.id]);
        exit_recorded[record.id] = true;
        close(clients[record.id].descriptor);
        pool_thread_end(threads[record.id]);
    }
}
END_TEST

/* Catches a client that is lost since the thread is told to leave just after: what was given is
 * served. And a thread that is left, or a descriptor. */
START_TEST(an_end_loses_neither_client_nor_thread)
{
    int before_threads = threads_of_this_process(), before_descriptors;

    open_ledger();
    before_descriptors = open_descriptors();
    for (int64_t number = 1; number <= 50; number++) {
        struct pool_thread *thread = new_thread();
        struct client client;
        int end = give(thread, number, &client);
        close(end);
        ck_assert_int_eq(await_record().id, number);
        close(client.descriptor);
        pool_thread_end(thread);
        pool_thread_end(new_thread()); /* one that never had a client */
    }
    ck_assert_int_eq(open_descriptors(), before_descriptors);
    if (before_threads > 0) /* where there is a /proc; its thread is gone a moment after the join */
        while (threads_of_this_process() > before_threads)
            sched_yield();
}
END_TEST

SUITE("pool_thread", a_thread_serves_one_client_after_the_other,
      workers_serve_at_the_same_time_each_its_own, an_end_loses_neither_client_nor_thread)
