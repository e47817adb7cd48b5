/* accept.c: which clients come in: accepting, admitting, refusing and holding (server.h). */
#include "server/server.h"

#include "base/clock.h"
#include "platform/platform.h"
#include "process/log.h"
#include "server/serve.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

#define OVER_CAP_TIME 0.1 /* seconds that a connection may take to end when its client has gone */
#define MEMORY_KEPT (4U << 20)     /* bytes: with less of it left, memory is short */
#define MEMORY_OF_ONE (256U << 10) /* bytes: twice what the child of a client takes at first */
#define ROOM_MAX 4096              /* clients: a limit may be set later, or not be read just now */

bool accept_is_open(const struct server *server, double now)
{
    return server->stop.phase == SERVER_SERVING && !server->gate.holding &&
           now >= server->gate.closed_until &&
           server->children->live < server->options->max_connections;
}

void server_start_failed(struct server *server, const char *what)
{
    int error = errno;
    char limits[160];

    platform_process_limits(limits, sizeof limits);
    gate_pause(&server->gate, error, what, limits);
}

void server_hold(struct server *server, const struct client *client, const char *what)
{
    server->gate.holding = true;
    server->gate.held = *client;
    server_start_failed(server, what);
    /* It is open in more than one turn: a program that is started meanwhile must not have it. */
    (void)fcntl(client->descriptor, F_SETFD, FD_CLOEXEC);
}

/* Returns whether another accept may succeed at once. */
static bool handle_failure(struct server *server, int error)
{
    enum failure_action action = failure_action(error, &server->gate.retries);
    char limit[60] = "";

    if (error == EMFILE)
        snprintf(limit, sizeof limit, "RLIMIT_NOFILE %ld (ulimit -n)", sysconf(_SC_OPEN_MAX));
    if (action == FAILURE_STOP)
        server_stop_failed(server, "accept", error);
    else if (action == FAILURE_PAUSE)
        gate_pause(&server->gate, error, "accept", limit);
    return action == FAILURE_RETRY;
}

const char *server_refusal_name(int why)
{
    static const char *const names[REFUSALS] = {"denied", "max-per-source", "stopping"};

    return names[why];
}

static void refuse(struct server *server, const struct client *client, enum refusal why)
{
    char from[ADDRESS_TEXT_MAX];

    if (client->descriptor != -1)
        listener_refuse(client->descriptor, &client->peer);
    server->statistics.refused++;
    server->statistics.refused_why[why]++;
    if (log_shows_refusal())
        log_event(LOG_CLIENTS, "refuse from=%s why=%s", peer_text(&client->peer, from),
                  server_refusal_name((int)why));
}

/* One of those that are counted may have ended, with its exit record still unread. */
static bool source_is_full(struct server *server, const struct peer *peer)
{
    size_t most = server->options->max_per_source;

    if (most > 0 && children_from(server->children, peer) >= most &&
        server->model->read_records != NULL)
        server->model->read_records(server);
    return most > 0 && children_from(server->children, peer) >= most;
}

bool server_admit(struct server *server, const struct client *client)
{
    enum refusal why = !access_permits(&server->options->access, &client->peer) ? REFUSED_DENIED
                       : source_is_full(server, &client->peer) ? REFUSED_PER_SOURCE
                                                               : REFUSALS;

    server->statistics.accepted++;
    if (why != REFUSALS)
        refuse(server, client, why);
    return why == REFUSALS;
}

/* Keeps a client whose source has as many as it may, if there is room (server.h). */
static bool keep_over_cap(struct server *server, const struct client *client)
{
    size_t next = server->over_cap_count;

    if (next == OVER_CAP_MAX || !source_is_full(server, &client->peer) ||
        !access_permits(&server->options->access, &client->peer))
        return false;
    server->over_cap_count++;
    server->over_cap[next].client = *client;
    server->over_cap[next].until = clock_seconds() + OVER_CAP_TIME;
    (void)fcntl(client->descriptor, F_SETFD, FD_CLOEXEC); /* as one that is held */
    return true;
}

static struct client take_over_cap(struct server *server, size_t i)
{
    struct client client = server->over_cap[i].client;

    for (server->over_cap_count--; i < server->over_cap_count; i++)
        server->over_cap[i] = server->over_cap[i + 1];
    return client;
}

static void refuse_first_over_cap(struct server *server, enum refusal why)
{
    struct client client = take_over_cap(server, 0);

    server->statistics.accepted++;
    refuse(server, &client, why);
}

void server_refuse_over_cap(struct server *server, enum refusal why)
{
    while (server->over_cap_count > 0)
        refuse_first_over_cap(server, why);
}

/* The first that may come in now. Those whose time is over are refused. */
static bool admit_over_cap(struct server *server, struct client *client)
{
    double now = clock_seconds();

    for (size_t i = 0; i < server->over_cap_count && accept_is_open(server, now); i++)
        if (children_from(server->children, &server->over_cap[i].client.peer) <
            server->options->max_per_source) {
            *client = take_over_cap(server, i);
            server->gate.room -= server->gate.room > 0;
            return server_admit(server, client);
        }
    while (server->over_cap_count > 0 && now >= server->over_cap[0].until)
        refuse_first_over_cap(server, REFUSED_PER_SOURCE);
    return false;
}

/* So that the kernel need not end one, while memory is short one client a pause comes in. */
static bool is_memory_left(struct gate *gate)
{
    unsigned long long left;

    if (gate->room > 0)
        return true;
    left = platform_memory_left();
    gate->room = left < MEMORY_KEPT ? 1 : 1 + (left - MEMORY_KEPT) / MEMORY_OF_ONE;
    if (gate->room > ROOM_MAX)
        gate->room = ROOM_MAX;
    if (left < MEMORY_KEPT)
        gate_pause(gate, ENOMEM, "the next client", "");
    return left >= MEMORY_KEPT;
}

/* The next connection of any listener that is ready. They are asked in turn: none starves. */
static bool accept_next(struct server *server, struct client *client)
{
    for (size_t i = 0; i < server->listeners.count; i++) {
        struct listener *listener =
            &server->listeners.all[server->listeners.next++ % server->listeners.count];
        if (!listener->ready)
            continue;
        if (!is_memory_left(&server->gate))
            return false;
        listener->ready = false;
        client->descriptor = listener_accept(listener, server->options, &client->peer);
        if (client->descriptor != -1) {
            server->gate.retries = 0;
            server->statistics.deferred += listener->late;
            server->statistics.deferred_cap += listener->late && server->wait.was_full;
            return true;
        }
        if (!handle_failure(server, errno))
            return false; /* the gate is closed for all of them */
    }
    return false;
}

/* What the kernel ends for want of memory makes room for one: without a pause, each client that
 * comes would end another. */
static void pause_for_killed(struct gate *gate)
{
    if (gate->killed && platform_memory_ran_out())
        gate_pause(gate, ENOMEM, "a child", "");
    gate->killed = false;
}

bool server_accept(struct server *server, struct client *client)
{
    struct gate *gate = &server->gate;

    if (server->stop.phase == SERVER_SERVING)
        pause_for_killed(gate);
    if (gate->holding && server->stop.phase >= SERVER_TERMINATING) {
        gate->holding = false;
        refuse(server, &gate->held, REFUSED_STOPPING);
    } else if (gate->holding && clock_seconds() >= gate->closed_until) {
        gate->holding = false;
        *client = gate->held;
        return true;
    }
    if (server->over_cap_count > 0 && admit_over_cap(server, client))
        return true;
    while (accept_is_open(server, clock_seconds()) && accept_next(server, client))
        if (!keep_over_cap(server, client) && server_admit(server, client)) {
            gate->room--;
            return true;
        }
    return false;
}
