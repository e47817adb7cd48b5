/*
 * server/stop.c: ending it: from serving to draining, terminating and killing.
 *
 * Each phase is entered once, by a signal or because the one before took too long. What it
 * asks of the children is an order that the model passes on (server_pass_order).
 */
#include "server/parts.h"

#include "base/clock.h"
#include "process/log.h"
#include "process/manager.h"
#include "process/signals.h"
#include "server/serve.h"

#include <signal.h>

/* Between SIGTERM and SIGKILL to children that outlived the grace. Seconds. */
#define TERMINATION_TIME 1.0

static void enter_phase(struct server *server, enum server_phase phase)
{
    double now = clock_seconds();
    enum server_phase before = server->phase;

    server->phase = phase;
    if (before == SERVER_SERVING) {
        if (server->model->before_close != NULL)
            server->model->before_close(server);
        listeners_close(&server->listeners);
    }
    switch (phase) {
    case SERVER_DRAINING:
        server->phase_ends = now + server->options->grace;
        break;
    case SERVER_TERMINATING:
        server->phase_ends = now + TERMINATION_TIME;
        server->order = SIGTERM;
        break;
    case SERVER_KILLING:
        server->phase_ends = 0;
        server->order = SIGKILL;
        break;
    case SERVER_SERVING:
        break;
    }
}

static void stop(struct server *server, enum server_phase phase, const char *why)
{
    /* Who reads the line may bind the same port: the listeners are closed by then. */
    enter_phase(server, phase);
    manager_state(MANAGER_STOPPING);
    log_event(LOG_NORMAL, "drain why=%s live=%zu grace=%g", why, children_live(server->children),
              phase == SERVER_DRAINING ? server->options->grace : 0);
}

void stop_for_failure(struct server *server)
{
    server->failed = true;
    stop(server, SERVER_DRAINING, "failure");
}

void stop_settle(struct server *server, double now)
{
    if (server->phase_ends > 0 && now >= server->phase_ends)
        enter_phase(server, server->phase + 1);
}

/* A polite signal starts the drain; one more ends the patience. */
static void heed_polite(struct server *server, const char *why)
{
    if (server->phase == SERVER_SERVING)
        stop(server, SERVER_DRAINING, why);
    else if (server->phase == SERVER_DRAINING)
        stop(server, SERVER_TERMINATING, why);
}

void stop_heed_signals(struct server *server)
{
    if (signals_take(SIGTERM))
        heed_polite(server, "SIGTERM");
    if (signals_take(SIGINT))
        heed_polite(server, "SIGINT");
    if (signals_take(SIGQUIT) && server->phase != SERVER_KILLING)
        stop(server, SERVER_KILLING, "SIGQUIT");
}

/* A server that somebody runs in a terminal ends with that. */
static void heed_hangup(struct server *server)
{
    if (log_hung_up())
        heed_polite(server, "SIGHUP");
    else if (server->model->upgrade != NULL)
        server->model->upgrade(server);
    else
        log_error("cannot upgrade (SIGHUP): %s %s; restart it instead", server->options->program,
                  server->model->no_upgrade);
}

static void stop_child(struct server *server, struct child *child, int signal)
{
    child->stop_signal = signal;
    if (server->model->stop_child != NULL)
        server->model->stop_child(server, child, signal);
    else
        kill((pid_t)child->id, signal);
}

static void pass_order(struct server *server)
{
    int order = server->order;

    server->order = 0;
    if (order == 0)
        return;
    for (struct child *each = children_oldest(server->children), *next; each != NULL; each = next) {
        next = each->younger;
        stop_child(server, each, order);
    }
}

void server_handle_requests(struct server *server)
{
    const struct serve_model *model = server->model;

    if (signals_take(SIGUSR1))
        life_status(server, model->reap_all != NULL ? model->reap_all(server) : 0);
    if (signals_take(SIGHUP))
        heed_hangup(server);
    pass_order(server);
}
