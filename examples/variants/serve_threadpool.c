/*
 * serve_threadpool.c: threads that are kept for the next client. What differs from
 * src/fork/serve_fork.c, and why:
 *
 *   start   The main thread accepts and admits, and gives the client to an idle thread
 *           (pool_thread.h); where none is idle it starts one more. So a client costs a wakeup
 *           in the place of fork or pthread_create, and there are as many threads as there
 *           ever were clients at once, which -c bounds. They stay until the server ends.
 *   end     As in serve_thread.c a thread writes an exit record to the ledger, but it is not
 *           joined: from then on it is idle. Only the main thread reads that, so it knows the
 *           idle ones without a lock. The last to become idle gets the next client: its stack
 *           and buffer are the likeliest to be in the processor's caches.
 *   socket  Closed by the main thread after the exit record. If the client's thread closed it, a
 *           shutdown meant for it could hit the next client with the same descriptor.
 *   stop    No signal ends one thread. Its socket is shut down, so that whatever it waits for
 *           returns. Once the last client has ended all are idle, and are ended and joined.
 *   log     `pid=` is the client's number: a thread has many clients, one after the other.
 */
#include "parts/single_process.h"
#include "parts/pool_thread.h"
#include "parts/wait_beside.h"
#include "process/log.h"
#include "server/serve.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

static struct ledger ledger; /* all threads write to it; the main one reads */
static struct pool_thread *idle; /* the main thread's, the last one to become idle first */

static void begin_client(struct server *server, const struct client *client)
{
    struct pool_thread *thread =
        idle != NULL ? idle : pool_thread_start(&server->options->service, ledger.write_end);

    if (thread == NULL) {
        server_hold(server, client, "pthread_create");
        return;
    }
    if (thread == idle)
        idle = thread->next;
    server_began(server, single_process_number(server), client)->own = thread;
    pool_thread_give(thread, single_process_number(server), client);
}

static void read_records(struct server *server)
{
    struct record record;

    while (ledger_read(&ledger, &record)) {
        struct child *child = server_exit_recorded(server, &record);
        struct pool_thread *thread = child != NULL ? child->own : NULL;
        if (thread == NULL)
            continue;
        close(thread->client.descriptor);
        server_ended(server, child, child->stop_signal);
        thread->next = idle;
        idle = thread;
    }
}

static void stop_thread(struct server *server, struct child *child, int signal)
{
    const struct pool_thread *thread = child->own;

    (void)server;
    (void)signal;
    shutdown(thread->client.descriptor, SHUT_RDWR);
}

/* All threads are idle by then. */
static void end_all(void)
{
    for (struct pool_thread *thread = idle, *next; thread != NULL; thread = next) {
        next = thread->next;
        pool_thread_end(thread);
    }
}

static int serve(struct server *server)
{
    struct client client;

    if (ledger_open(&ledger, LEDGER_WAITS) == -1) {
        log_error("cannot open the ledger: %s", strerror(errno));
        return -1;
    }
    if (single_process_start(server) == -1)
        return -1;
    while (server_running(server)) {
        wait_beside(server, 0, ledger.read_end);
        read_records(server);
        server_handle_requests(server);
        while (server_accept(server, &client))
            begin_client(server, &client);
    }
    end_all();
    return 0;
}

const struct serve_model serve_model = {
    .program = "threadpoolecho",
    .about = "TCP echo server (RFC 862): a thread for each connection, kept for the next one.",
    .no_upgrade = SINGLE_PROCESS_NO_UPGRADE,
    .serve = serve,
    .stop_child = stop_thread,
};
