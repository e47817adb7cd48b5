/*
 * serve_thread.c: a thread for each client. What differs from src/fork/serve_fork.c, and why:
 *
 *   start   pthread_create instead of fork: about a quarter of the price, since no mappings
 *           are copied. But all clients share one address space and one descriptor table:
 *           a crash ends them all, and each needs a descriptor of the whole process.
 *   end     A thread writes its exit record to the same ledger, but nothing like SIGCHLD says
 *           so: the main thread waits for the ledger beside the listeners, and joins the thread.
 *           There is nothing to sweep: a thread cannot die alone.
 *   socket  Closed by the main thread after the join. If the client's thread closed it, a
 *           shutdown meant for it could hit the next client with the same descriptor.
 *   stop    No signal ends one thread. Its socket is shut down, so that whatever it waits
 *           for returns.
 *   log     `pid=` is the thread's number, as there is no process of its own.
 */
#include "parts/single_process.h"
#include "parts/wait_beside.h"
#include "process/log.h"
#include "server/serve.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define STACK_SIZE (128 * 1024) /* a session needs a few KiB; 10,000 threads share the rest */

struct client_thread {
    pthread_t thread;
    int64_t number;
    struct session session;
    char buffer[];
};

static struct ledger ledger; /* all threads write to it; the main one reads */
static pthread_attr_t small_stack;

static void *run_thread(void *argument)
{
    struct client_thread *thread = argument;
    struct record record;

    session_run(&thread->session);
    record = ledger_exit_record(thread->number, &thread->session);
    while (ledger_write(ledger.write_end, &record) == -1)
        continue; /* the main thread joins none before it has read that */
    return NULL;
}

static void begin_thread(struct server *server, const struct client *client)
{
    const struct service *service = &server->options->service;
    struct client_thread *thread = malloc(sizeof *thread + session_buffer_size(service));

    if (thread != NULL) {
        thread->number = single_process_number(server);
        session_open(&thread->session, service, client->descriptor, &client->peer, thread->buffer);
        errno = pthread_create(&thread->thread, &small_stack, run_thread, thread);
    }
    if (thread == NULL || errno != 0) {
        server_hold(server, client, "pthread_create");
        free(thread);
        return;
    }
    server_began(server, single_process_number(server), client)->own = thread;
}

static void join_ended(struct server *server)
{
    struct record record;

    while (ledger_read(&ledger, &record)) {
        struct child *child = server_exit_recorded(server, &record);
        struct client_thread *thread = child != NULL ? child->own : NULL;
        if (thread == NULL)
            continue;
        pthread_join(thread->thread, NULL);
        close(thread->session.descriptor);
        free(thread);
        server_ended(server, child, child->stop_signal);
    }
}

static void stop_thread(struct server *server, struct child *child, int signal)
{
    const struct client_thread *thread = child->own;

    (void)server;
    (void)signal;
    shutdown(thread->session.descriptor, SHUT_RDWR);
}

static int serve(struct server *server)
{
    struct client client;

    pthread_attr_init(&small_stack);
    pthread_attr_setstacksize(&small_stack, STACK_SIZE);
    if (ledger_open(&ledger, LEDGER_WAITS) == -1) {
        log_error("cannot open the ledger: %s", strerror(errno));
        return -1;
    }
    if (single_process_start(server) == -1)
        return -1;
    while (server_running(server)) {
        wait_beside(server, 0, ledger.read_end);
        join_ended(server);
        server_handle_requests(server);
        while (server_accept(server, &client))
            begin_thread(server, &client);
    }
    return 0;
}

const struct serve_model serve_model = {
    .program = "threadecho",
    .about = "TCP echo server (RFC 862): one thread for each connection.",
    .no_upgrade = SINGLE_PROCESS_NO_UPGRADE,
    .serve = serve,
    .stop_child = stop_thread,
};
