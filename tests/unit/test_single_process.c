/* test_single_process.c: what servers do alike that have all clients in one process
 * (single_process.h). */
#include "suite.h"

#include "base/clock.h"
#include "parts/single_process.h"
#include "process/log.h"
#include "process/signals.h"
#include "server/serve.h"

#include <sys/resource.h>

#define CLIENTS 20

static const struct serve_model model = {0};
static struct options options;
static struct pidfile pidfile = {.descriptor = -1};
static struct capture capture;

/* A server that listens on a free port of loopback. */
static struct server *open_server(void)
{
    static char *arguments[] = {"oneecho", "-l", "127.0.0.1:0", "-c", "16", NULL};
    struct server *server;

    ck_assert_int_eq(options_read(&options, "oneecho", NULL, "", 5, arguments), OPTIONS_SERVE);
    log_open(LOG_NORMAL, -1);
    signals_open();
    server = server_open(&model, &options, &pidfile);
    ck_assert_ptr_nonnull(server);
    ck_assert_int_eq(listeners_open(&server->listeners, server->options), 0);
    return server;
}

/* Connects to it. Returns the client's end. */
static int connect_client(const struct server *server)
{
    const struct address *address = &server->listeners.all[0].address;
    int descriptor = socket(AF_INET, SOCK_STREAM, 0);

    ck_assert_int_eq(connect(descriptor, &address->name.any, address->length), 0);
    return descriptor;
}

/* The next client that is let in. */
static struct client accept_client(struct server *server)
{
    struct client client;

    while (!server_accept(server, &client))
        server_wait(server, clock_seconds() + 0.01);
    return client;
}

/* Catches two clients of one number: at the same time, after one has ended, or after another was
 * refused; the number is all that a log has to tell them apart. */
START_TEST(no_number_is_given_twice)
{
    struct server *server = open_server();
    int64_t last = 0;

    for (int i = 0; i < CLIENTS; i++) {
        int end = connect_client(server);
        struct client client = accept_client(server);
        int64_t number = single_process_number(server);
        struct child *child;
        ck_assert_int_gt(number, last);
        last = number;
        child = server_began(server, number, &client);
        ck_assert_ptr_nonnull(child);
        if (i % 2 == 0)
            server_ended(server, child, 0);
        if (i % 5 == 3) { /* another one of this source, which is served already, is refused */
            struct client more = {.descriptor = dup(client.descriptor), .peer = client.peer};
            options.max_per_source = 1;
            ck_assert(!server_admit(server, &more));
            options.max_per_source = 0;
        }
        close(client.descriptor);
        close(end);
    }
    ck_assert_uint_eq(server->children->live, CLIENTS / 2);
}
END_TEST

/* Catches a client that waited, since it could not be served at once, and is given the number of
 * the one after it. */
START_TEST(a_held_client_keeps_its_number)
{
    struct server *server = open_server();
    struct client client, again;
    int64_t number;

    connect_client(server);
    connect_client(server);
    client = accept_client(server);
    number = single_process_number(server);
    errno = EMFILE;
    server_hold(server, &client, "a test");
    again = accept_client(server);
    ck_assert_int_eq(again.descriptor, client.descriptor);
    ck_assert_int_eq(single_process_number(server), number);
    ck_assert_ptr_nonnull(server_began(server, number, &again));
    accept_client(server);
    ck_assert_int_ne(single_process_number(server), number);
}
END_TEST

/* Catches a server that stays at the soft limit of descriptors, of which each client needs one,
 * that keeps zombies, or that is not announced. */
START_TEST(a_start_raises_the_limit_leaves_no_zombie_and_is_logged)
{
    struct rlimit limit;
    struct server *server;
    int started;
    pid_t child;

    ck_assert_int_eq(getrlimit(RLIMIT_NOFILE, &limit), 0);
    limit.rlim_cur = 64;
    if (limit.rlim_max > 512)
        limit.rlim_max = 512;
    ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &limit), 0);
    server = open_server();
    capture_begin(&capture, STDERR_FILENO);
    started = single_process_start(server);
    capture_end(&capture);
    ck_assert_int_eq(started, 0);
    ck_assert_ptr_nonnull(strstr(capture.text, "start pid="));
    ck_assert_int_eq(lines_of(capture.text), 1);
    ck_assert_int_eq(getrlimit(RLIMIT_NOFILE, &limit), 0);
    ck_assert_uint_eq(limit.rlim_cur, limit.rlim_max);

    child = fork();
    if (child == 0)
        _exit(0);
    ck_assert_int_eq(waitpid(child, NULL, 0), -1); /* waits for its end all the same */
    ck_assert_int_eq(errno, ECHILD);
}
END_TEST

SUITE("single_process", no_number_is_given_twice, a_held_client_keeps_its_number,
      a_start_raises_the_limit_leaves_no_zombie_and_is_logged)
