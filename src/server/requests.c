/* requests.c: what signals ask of a server: to stop, a status line, an upgrade (server.h). */
#include "server/server.h"

#include "base/clock.h"
#include "process/log.h"
#include "process/log_sink.h"
#include "process/manager.h"
#include "process/signals.h"
#include "server/serve.h"

#include <signal.h>
#include <string.h>

#define TERMINATION_TIME 1.0 /* seconds that children have before SIGKILL */
#define SAME_REQUEST 1.0     /* seconds in which what asks for a stop is one request */

static void enter_phase(struct server *server, enum server_phase phase, double now)
{
    server->stop.phase = phase;
    server->stop.signal = phase == SERVER_TERMINATING ? SIGTERM
                          : phase == SERVER_KILLING   ? SIGKILL
                                                      : 0;
    server->stop.phase_ends = phase == SERVER_DRAINING      ? now + server->options->grace
                              : phase == SERVER_TERMINATING ? now + TERMINATION_TIME
                                                            : 0;
}

static void stop(struct server *server, enum server_phase phase, const char *why)
{
    bool serving = server->stop.phase == SERVER_SERVING;

    enter_phase(server, phase, clock_seconds());
    server_refuse_over_cap(server, REFUSED_STOPPING);
    if (serving && server->model->before_close != NULL)
        server->model->before_close(server);
    /* Who reads the line may bind the same port: the listeners are closed by then. */
    listeners_close(&server->listeners);
    manager_state(MANAGER_STOPPING);
    log_event(LOG_NORMAL, "drain why=%s live=%zu grace=%g", why, server->children->live,
              phase == SERVER_DRAINING ? server->options->grace : 0);
}

void server_stop_failed(struct server *server, const char *what, int error)
{
    if (server->stop.phase != SERVER_SERVING)
        return;
    log_error("%s failed: %s; stopping", what, strerror(error));
    server->stop.failed = true;
    stop(server, SERVER_DRAINING, "failure");
}

/* A graceful stop begins the drain; when it is asked for once more, it ends the drain. Not at once:
 * timeout(1) signals the server and then its group, and a wrapper passes on a Ctrl-C that the
 * terminal has sent to all. */
static void stop_gracefully(struct server *server, const char *why)
{
    double now = clock_seconds();

    if (server->stop.phase > SERVER_DRAINING || now < server->stop.once_until)
        return;
    server->stop.once_until = now + SAME_REQUEST;
    stop(server, server->stop.phase + 1, why);
}

void requests_handle_stop(struct server *server, double now)
{
    if (signals_take(SIGTERM))
        stop_gracefully(server, "SIGTERM");
    if (signals_take(SIGINT))
        stop_gracefully(server, "SIGINT");
    if (signals_take(SIGQUIT) && server->stop.phase != SERVER_KILLING)
        stop(server, SERVER_KILLING, "SIGQUIT");
    if (server->stop.phase_ends > 0 && now >= server->stop.phase_ends)
        enter_phase(server, server->stop.phase + 1, now);
}

/* Passes a stop on to the children, the oldest first, where it has come to that. */
static void stop_children(struct server *server)
{
    int signal = server->stop.signal;
    struct child *next;

    if (signal == 0)
        return;
    server->stop.signal = 0;
    for (struct child *each = server->children->oldest; each != NULL; each = next) {
        next = each->younger; /* `each` may be removed by this */
        each->stop_signal = signal;
        if (server->model->stop_child != NULL)
            server->model->stop_child(server, each, signal);
        else if (server->options->command != NULL)
            signals_send_group((pid_t)each->id, signal);
        else
            signals_send((pid_t)each->id, signal);
    }
}

/* `zombies` were found not yet reaped when it was asked for. */
static void log_status(const struct server *server, size_t zombies)
{
    const struct statistics *count = &server->statistics;
    const struct child *oldest = server->children->oldest;
    double now = clock_seconds();

    log_event(LOG_NORMAL, "status live=%zu peak=%zu accepted=%llu ended=%llu refused=%llu "
              "deferred=%llu in=%llu out=%llu zombies=%zu deferred-cap=%llu deferred-failure=%llu "
              "source-max=%zu oldest=%.3f uptime=%.3f",
              server->children->live, count->peak, count->accepted, count->ended,
              count->refused, count->deferred, count->in, count->out, zombies,
              count->deferred_cap, count->deferred - count->deferred_cap,
              server->children->most_from_one, oldest != NULL ? now - oldest->since : 0,
              now - server->started);
}

/* A server that somebody runs in a terminal ends with that. */
static void handle_hangup(struct server *server)
{
    if (log_sink_hung_up())
        stop_gracefully(server, "SIGHUP");
    else if (server->model->upgrade != NULL)
        server->model->upgrade(server);
    else
        log_error("cannot upgrade (SIGHUP): %s %s; restart it instead", server->options->program,
                  server->model->no_upgrade);
}

void server_handle_requests(struct server *server)
{
    const struct serve_model *model = server->model;

    if (signals_take(SIGUSR1))
        log_status(server, model->reap_all != NULL ? model->reap_all(server) : 0);
    if (signals_take(SIGHUP))
        handle_hangup(server);
    stop_children(server);
}
