/*
 * server/gate.c: who comes in, and when: accepting, admitting, and what failures do to it.
 *
 * A failure that persists closes the gate until a child ends, which may free what was
 * missing, or until a pause is over. Failures that follow closely on each other are one
 * episode, told at its start and its end.
 */
#include "server/parts.h"

#include "base/clock.h"
#include "base/descriptors.h"
#include "platform/platform.h"
#include "process/log.h"
#include "server/failures.h"
#include "server/serve.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

/* A pause is twice as long each time the failure is still there, up to this: soon enough for
 * who waits, and no load. Seconds. */
#define PAUSE_LONGEST 1.0

/* Failures less than this apart belong to one episode. Seconds. */
#define EPISODE_GAP 1.0

/* ---- failures ---- */

void gate_pause(struct server *server, const char *what, const char *hint)
{
    int error = errno;
    double now = clock_seconds();

    server->failed_last = now;
    if (server->failures++ == 0) {
        server->failing_since = now;
        server->pause = PAUSE_FIRST;
        log_error("%s failed: %s%s%s; clients wait until it works again", what, strerror(error),
                  *hint != '\0' ? "; limits: " : "", hint);
    }
    server->closed_until = now + server->pause;
    if ((server->pause *= 2) > PAUSE_LONGEST)
        server->pause = PAUSE_LONGEST;
}

/* When the episode is over: nothing has failed for EPISODE_GAP in which it could have, a pause
 * not counted. A server at a limit, where each child that ends lets one more begin, is in one
 * episode and not in thousands. */
static double episode_ends(const struct server *server)
{
    double open_since = server->closed_until > server->failed_last ? server->closed_until
                                                                   : server->failed_last;

    return server->failures > 0 && !server->holding ? open_since + EPISODE_GAP : 0;
}

void gate_settle(struct server *server, double now)
{
    double end = episode_ends(server);

    if (end <= 0 || now < end)
        return;
    log_event(LOG_NORMAL, "resume failures=%lu secs=%.3f", server->failures,
              server->failed_last - server->failing_since);
    server->failures = 0;
}

void server_start_failed(struct server *server, const char *what)
{
    char limits[160];
    int error = errno;

    platform_process_limits(limits, sizeof limits);
    errno = error;
    gate_pause(server, what, limits);
}

void server_hold(struct server *server, const struct client *client, const char *what)
{
    int error = errno;

    server->holding = true;
    server->held = *client;
    /* It is open in more than one turn: a program that is started meanwhile must not have it. */
    (void)fcntl(client->descriptor, F_SETFD, FD_CLOEXEC);
    errno = error;
    server_start_failed(server, what);
}

/* Where a child has accepted, its error is only as true as the child: our own copies tell. */
static bool is_hopeless(const struct server *server, int error)
{
    if (failure_action(error) != FAILURE_STOP)
        return false;
    return !server->model->children_accept || !listeners_accepting(&server->listeners);
}

void server_accept_failed(struct server *server)
{
    const char *what = server->model->children_accept ? "a child's accept" : "accept";
    int error = errno;
    char limit[60] = "";

    if (error == EMFILE && !server->model->children_accept)
        snprintf(limit, sizeof limit, "RLIMIT_NOFILE %ld (ulimit -n)", descriptors_limit());
    errno = error;
    if (!is_hopeless(server, error)) {
        gate_pause(server, what, limit);
    } else if (server->phase == SERVER_SERVING) {
        log_error("%s failed: %s; stopping", what, strerror(error));
        stop_for_failure(server);
    }
}

/* ---- open or closed ---- */

bool gate_is_open(const struct server *server, double now)
{
    return server->phase == SERVER_SERVING && !server->holding && now >= server->closed_until &&
           children_live(server->children) < server->options->max_connections;
}

double gate_wakes(const struct server *server, double now)
{
    /* A held client makes no descriptor ready: one whose time has come is not to be slept over. */
    double over = server->holding ? now : 0;
    double times[] = {episode_ends(server),
                      now < server->closed_until ? server->closed_until : over};

    return clock_earliest(times, sizeof times / sizeof times[0]);
}

/* ---- accepting and admitting ---- */

static void refuse(struct server *server, const struct client *client, const char *why)
{
    char from[ADDRESS_TEXT_MAX];

    if (client->descriptor != -1)
        close(client->descriptor);
    server->statistics.refused++;
    log_refusal("refuse from=%s why=%s", peer_text(&client->peer, from), why);
}

/* The next connection of any listener that is ready, each of them once a turn. The one behind that
 * of the last client comes first: where there is room for one at a time, none starves the others. */
static bool accept_next(struct server *server, struct client *client)
{
    for (size_t i = 0; i < server->listeners.count; i++) {
        struct listener *listener =
            &server->listeners.all[server->turn++ % server->listeners.count];
        if (!listener->ready)
            continue;
        listener->ready = false;
        client->descriptor =
            listeners_accept(listener, server->options->service.idle, &client->peer);
        if (client->descriptor == -1) {
            if (failure_persists(errno, &server->retries))
                server_accept_failed(server);
            continue;
        }
        server->retries = 0;
        server->statistics.deferred += listener->late;
        server->statistics.deferred_cap += listener->late && server->was_full;
        return true;
    }
    return false;
}

/* The client that could not be started before, when it is time to try again. */
static bool take_held(struct server *server, struct client *client)
{
    if (server->phase >= SERVER_TERMINATING) {
        refuse(server, &server->held, "stopping");
        server->holding = false;
        return false;
    }
    if (clock_seconds() < server->closed_until)
        return false;
    *client = server->held;
    server->holding = false;
    return true;
}

/* Whether as many clients of that source are live as may be. An end that was not heard of yet may be
 * why this one comes. */
static bool source_is_full(struct server *server, const struct peer *peer)
{
    size_t most = server->options->max_per_source;

    if (most == 0 || children_from(server->children, peer) < most)
        return false;
    if (server->model->read_records != NULL)
        server->model->read_records(server);
    return children_from(server->children, peer) >= most;
}

bool server_admit(struct server *server, const struct client *client)
{
    server->statistics.accepted++;
    if (!access_permits(&server->options->access, &client->peer))
        refuse(server, client, "denied");
    else if (source_is_full(server, &client->peer))
        refuse(server, client, "max-per-source");
    else
        return true;
    return false;
}

static bool any_ready(const struct server *server)
{
    for (size_t i = 0; i < server->listeners.count; i++)
        if (server->listeners.all[i].ready)
            return true;
    return false;
}

bool server_accept(struct server *server, struct client *client)
{
    if (server->holding)
        return take_held(server, client);
    while (any_ready(server) && gate_is_open(server, clock_seconds()) &&
           accept_next(server, client))
        if (server_admit(server, client))
            return true;
    return false;
}
