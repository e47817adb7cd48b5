/* status.c: see status.h. */
#include "fork/status.h"

#include "base/clock.h"
#include "base/descriptors.h"
#include "platform/platform.h"
#include "process/confine.h"
#include "process/title.h"
#include "server/http.h"
#include "server/metrics.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#define PAUSE 1.0 /* seconds after a failed accept */

static struct {
    struct {
        pid_t pid;
        double since; /* when it was forked: clock.h */
    } children[STATUS_CHILDREN_MAX]; /* those that answer, the first that came first ... */
    size_t count;                    /* ... and how many there are */
    double paused_until;             /* accept has failed: clock.h; 0: it has not */
    unsigned retries;                /* for failure_action */
} status;

/* ---- the child: system calls alone, as all of an echo child ---- */

static int monitor; /* its socket */
static volatile sig_atomic_t answering;

static void send_all(const char *text, size_t size)
{
    ssize_t sent;

    for (; size > 0; text += sent, size -= (size_t)sent)
        if ((sent = send(monitor, text, size, MSG_NOSIGNAL)) == -1)
            return;
}

static void send_error(int error)
{
    char text[HTTP_ERROR_MAX];
    size_t size = http_error(error, text);

    send_all(text, size);
}

/* SIGALRM, when its time is over or another monitor has come. What is sent here goes into an empty
 * socket. */
static void end_late(int number)
{
    (void)number;
    if (!answering)
        send_error(408);
    _exit(EXIT_SUCCESS);
}

static void limit_time(void)
{
    struct sigaction late = {.sa_handler = end_late};
    sigset_t alone;

    sigemptyset(&late.sa_mask);
    sigemptyset(&alone);
    sigaddset(&alone, SIGALRM);
    (void)sigaction(SIGALRM, &late, NULL);
    (void)sigprocmask(SIG_UNBLOCK, &alone, NULL);
    alarm(STATUS_SECONDS);
}

/* Reads until it is known what to answer. Returns that: http_parse; 0: the monitor has gone. */
static int read_request(struct http_request *request)
{
    char bytes[HTTP_REQUEST_MAX];
    size_t size = 0;
    ssize_t got;
    int answer;

    do {
        got = read(monitor, bytes + size, sizeof bytes - size);
        if (got <= 0)
            return got == 0 && size > 0 ? 400 : 0;
        size += (size_t)got;
        answer = http_parse(bytes, size, request);
    } while (answer == 0);
    return answer;
}

static void send_page(const struct metrics *metrics, const struct http_request *request)
{
    char head[HTTP_HEAD_MAX], page[METRICS_PAGE_MAX];
    size_t size = metrics_write(metrics, request->page, page);
    size_t head_size = http_head(request->page, size, head);

    send_all(head, head_size);
    if (!request->head)
        send_all(page, size);
}

/* What a monitor goes on sending is read: a close while some of it is unread would send a reset,
 * which can destroy the answer (RFC 9112, 9.6). With MSG_DONTWAIT, what has come by now. */
static void read_rest(int flags)
{
    char rest[HTTP_REQUEST_MAX];

    shutdown(monitor, SHUT_WR);
    while (recv(monitor, rest, sizeof rest, flags) > 0)
        ;
}

/* The whole life of a child. */
static _Noreturn void run_child(const struct metrics *metrics, int descriptor)
{
    struct http_request request;
    int answer;

    monitor = descriptor;
    (void)confine_descriptors(&monitor, 1, false);
    title_set("status");
    confine_child(false, 0);
    session_set_timeouts(monitor, 0); /* which it has of -t, by its listener */
    limit_time();
    answer = read_request(&request);
    answering = 1;
    if (answer == 200)
        send_page(metrics, &request);
    else if (answer != 0)
        send_error(answer);
    if (answer != 0)
        read_rest(answer == 200 ? MSG_DONTWAIT : 0);
    _exit(EXIT_SUCCESS);
}

/* ---- the parent ---- */

/* None can be forked. */
static void turn_away(const struct client *client)
{
    char text[HTTP_ERROR_MAX];

    (void)!send(client->descriptor, text, http_error(503, text), MSG_DONTWAIT | MSG_NOSIGNAL);
    listener_refuse(client->descriptor, &client->peer);
}

/* Whether another one may answer. Where one has to end for that, it does so by its SIGALRM, and is
 * a stranger to the sweep that reaps it. */
static bool has_room(double now)
{
    if (status.count == STATUS_CHILDREN_MAX)
        (void)status_reap(); /* a SIGCHLD may be still to come */
    if (status.count == STATUS_CHILDREN_MAX && now >= status.children[0].since + STATUS_PATIENCE) {
        kill(status.children[0].pid, SIGALRM);
        status_forget(status.children[0].pid);
    }
    return status.count < STATUS_CHILDREN_MAX;
}

static void start_child(const struct server *server, const struct client *client)
{
    struct metrics metrics;
    double now = clock_seconds();
    pid_t pid = -1;

    if (has_room(now)) {
        metrics_take(&metrics, server);
        pid = platform_fork();
    }
    if (pid == 0)
        run_child(&metrics, client->descriptor);
    if (pid == -1) {
        turn_away(client);
        return;
    }
    close(client->descriptor);
    status.children[status.count].pid = pid;
    status.children[status.count++].since = now;
}

static void answer(const struct server *server, struct listener *listener)
{
    struct client client;

    client.descriptor = listener_accept(listener, server->options, &client.peer);
    if (client.descriptor == -1) {
        if (failure_action(errno, &status.retries) != FAILURE_RETRY)
            status.paused_until = clock_seconds() + PAUSE;
        return;
    }
    status.retries = 0;
    if (access_permits(&server->options->access, &client.peer))
        start_child(server, &client);
    else
        listener_refuse(client.descriptor, &client.peer);
}

void status_wait(struct server *server, double until)
{
    struct listeners *listeners = &server->status_listeners;
    fd_set readable;
    int limit = 0;
    bool answers;

    FD_ZERO(&readable);
    if (status.paused_until > 0 && clock_seconds() >= status.paused_until)
        status.paused_until = 0;
    answers = status.paused_until <= 0 && server_running(server);
    for (size_t i = 0; answers && i < listeners->count; i++) {
        FD_SET(DESCRIPTORS_BIT(listeners->all[i].descriptor), &readable);
        if (listeners->all[i].descriptor >= limit)
            limit = listeners->all[i].descriptor + 1;
    }
    server_wait_for(server, clock_earlier(until, status.paused_until), &readable, NULL, limit);
    for (size_t i = 0; i < listeners->count; i++)
        listeners->all[i].ready =
            answers && FD_ISSET(DESCRIPTORS_BIT(listeners->all[i].descriptor), &readable);
}

/* The server is about to end, and nothing of it is to be left. */
static void end_children(void)
{
    while (status.count > 0)
        kill(status.children[--status.count].pid, SIGKILL);
}

void status_turn(struct server *server)
{
    struct listeners *listeners = &server->status_listeners;

    if (!server_running(server))
        end_children();
    for (size_t i = 0; server_running(server) && i < listeners->count; i++)
        if (listeners->all[i].ready)
            answer(server, &listeners->all[i]);
}

void status_forget(pid_t pid)
{
    size_t i = 0;

    while (i < status.count && status.children[i].pid != pid)
        i++;
    if (i < status.count)
        status.count--;
    for (; i < status.count; i++)
        status.children[i] = status.children[i + 1];
}

bool status_reap(void)
{
    size_t before = status.count;

    for (size_t i = before; i-- > 0;)
        if (waitpid(status.children[i].pid, NULL, WNOHANG) != 0)
            status_forget(status.children[i].pid);
    return status.count < before;
}
