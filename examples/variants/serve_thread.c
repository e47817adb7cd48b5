/*
 * serve_thread.c: a thread for each client. What differs from src/serve_fork.c, and why:
 *
 *   start   pthread_create instead of fork: about a quarter of the price, since no mappings
 *           are copied. But all clients share one address space and one descriptor table:
 *           a crash ends them all, and each needs a descriptor of the whole process.
 *   end     A thread signs off on the same ledger, but nothing like SIGCHLD says so: the
 *           ledger is watched beside the listeners, and a thread is joined, not reaped.
 *           There is nothing to sweep: a thread cannot die alone.
 *   socket  Closed by the main thread after the join. Were it closed by the session's own,
 *           a shutdown meant for it could hit the next client with the same number.
 *   stop    No signal ends one thread. Its socket is shut down, so that whatever it waits
 *           for returns.
 *   log     `pid=` is the thread's number, as there is no process of its own.
 */
#include "descriptors.h"
#include "log.h"
#include "serve.h"
#include "signals.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define STACK_SIZE (128 * 1024) /* a session needs a few KiB; 10,000 threads share the rest */

struct worker {
    pthread_t thread;
    int64_t number;
    int ledger; /* the write end */
    struct session session;
    char buffer[];
};

static void *live(void *argument)
{
    struct worker *worker = argument;

    session_run(&worker->session);
    ledger_sign_off(worker->ledger, worker->number, &worker->session);
    return NULL;
}

/* Returns whether the worker's thread runs; errno says why not. */
static bool start_thread(struct worker *worker)
{
    pthread_attr_t attributes;

    pthread_attr_init(&attributes);
    pthread_attr_setstacksize(&attributes, STACK_SIZE);
    errno = pthread_create(&worker->thread, &attributes, live, worker);
    pthread_attr_destroy(&attributes);
    return errno == 0;
}

static void begin_thread(struct server *server, int ledger, const struct client *client)
{
    static int64_t number;
    const struct service *service = &server->options->service;
    struct worker *worker = malloc(sizeof *worker + session_buffer_size(service));

    if (worker != NULL) {
        worker->number = ++number;
        worker->ledger = ledger;
        session_open(&worker->session, service, client->descriptor, &client->peer, worker->buffer);
    }
    if (worker != NULL && start_thread(worker)) {
        server_began(server, number, client)->own = worker;
    } else {
        free(worker);
        server_hold(server, client, "pthread_create");
    }
}

static void join_signed_off(struct server *server, struct ledger *ledger)
{
    struct record record;

    while (ledger_take(ledger, &record)) {
        struct child *child = server_signed_off(server, &record);
        struct worker *worker = child != NULL ? child->own : NULL;
        if (worker == NULL)
            continue;
        pthread_join(worker->thread, NULL);
        close(worker->session.descriptor);
        free(worker);
        server_ended(server, child, child->told);
    }
}

static void tell_thread(struct server *server, struct child *child, int signal)
{
    const struct worker *worker = child->own;

    (void)server;
    child->told = signal;
    shutdown(worker->session.descriptor, SHUT_RDWR);
}

static int serve(struct server *server)
{
    struct ledger ledger;
    struct client client;
    fd_set readable;

    descriptors_raise_limit();
    signals_without_children();
    if (ledger_open(&ledger) == -1) {
        log_error("cannot open the ledger: %s", strerror(errno));
        return -1;
    }
    if (server_announce(server) == -1)
        return -1;
    while (server_running(server)) {
        FD_ZERO(&readable);
        FD_SET((unsigned)ledger.read_end, &readable);
        server_wait(server, 0, &readable, NULL, ledger.read_end + 1);
        join_signed_off(server, &ledger);
        if (signals_take(SIGUSR1))
            server_status(server, 0);
        server_pass_order(server, tell_thread);
        while (server_accept(server, &client))
            begin_thread(server, ledger.write_end, &client);
    }
    return 0;
}

const struct serve_model serve_model = {
    .program = "threadecho",
    .about = "TCP echo server (RFC 862): one thread for each connection.",
    .capacity = (size_t)-1,
    .serve = serve,
};
