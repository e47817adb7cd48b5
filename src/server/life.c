/* life.c: a server from its opening to its close, and its clients, counted (server.h). */
#include "server/server.h"

#include "base/clock.h"
#include "platform/platform.h"
#include "process/daemon.h"
#include "process/log.h"
#include "process/manager.h"
#include "process/signals.h"
#include "process/title.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

struct server *server_open(const struct serve_model *model, const struct options *options,
                           struct pidfile *pidfile)
{
    struct server *server = platform_private_memory(sizeof *server);
    struct children *children = children_new(options->max_connections);

    if (server == NULL || children == NULL) {
        log_error("no memory for %zu connections (-c): %s", options->max_connections,
                  strerror(errno));
        return NULL;
    }
    server->model = model;
    server->options = options;
    server->pidfile = pidfile;
    server->children = children;
    title_open(options->program, NULL);
    return server;
}

/* Standard output then becomes /dev/null, as standard input is. */
static int print_addresses(const struct server *server)
{
    const struct listeners *const both[] = {&server->listeners, &server->status_listeners};
    char text[ADDRESS_TEXT_MAX];

    for (size_t kind = 0; server->options->print_address && kind < 2; kind++)
        for (size_t i = 0; i < both[kind]->count; i++)
            puts(address_text(&both[kind]->all[i].address.name.any, text));
    if (fflush(stdout) == EOF || ferror(stdout)) {
        log_error("cannot print the addresses (-1): %s", strerror(errno));
        return -1;
    }
    (void)dup2(STDIN_FILENO, STDOUT_FILENO);
    return 0;
}

int server_announce(struct server *server)
{
    size_t most = server->options->max_connections;
    bool monitored = server->status_listeners.count > 0;
    char text[LOG_LINE_MAX - 100], monitors[sizeof text / 3];

    listeners_text(&server->listeners, text, sizeof text - (monitored ? sizeof monitors : 0));
    listeners_text(&server->status_listeners, monitors, sizeof monitors);
    if (server->started > 0) { /* by an earlier program of this process */
        server->statistics.upgrades++;
        log_event(LOG_NORMAL, "takeover pid=%ld version=%s live=%zu max=%zu listen=%s",
                  (long)getpid(), VERSION, server->children->live, most, text);
    } else {
        if (print_addresses(server) == -1)
            return -1;
        log_event(LOG_NORMAL, "start pid=%ld max=%zu listen=%s%s%s", (long)getpid(), most, text,
                  monitored ? " monitors=" : "", monitors);
        if (daemon_ready() == -1)
            return -1;
        server->started = clock_seconds();
        server->statistics.since = (unsigned long long)time(NULL);
    }
    log_started();
    manager_state(MANAGER_READY);
    server->wait.titled_live = (size_t)-1;
    return 0;
}

void server_close(struct server *server)
{
    const struct statistics *count = &server->statistics;

    listeners_close(&server->listeners);
    listeners_close(&server->status_listeners);
    log_sum_up_all();
    if (server->started > 0)
        log_event(LOG_NORMAL,
                  "stop accepted=%llu ended=%llu refused=%llu in=%llu out=%llu secs=%.3f",
                  count->accepted, count->ended, count->refused, count->in, count->out,
                  clock_seconds() - server->started);
}

bool server_running(const struct server *server)
{
    return server->stop.phase == SERVER_SERVING || server->children->live > 0 ||
           server->gate.holding;
}

struct child *server_began(struct server *server, int64_t id, const struct client *client)
{
    char from[ADDRESS_TEXT_MAX];
    struct child *child = children_add(server->children, id, &client->peer, clock_seconds());
    size_t live = server->children->live;

    if (child != NULL) {
        child->ending = SESSION_ERROR; /* until its exit record says how, if it can be so */
        child->owes_header = server->options->command != NULL &&
                             access_names(&server->options->service.proxies, &client->peer);
    }
    if (live > server->statistics.peak)
        server->statistics.peak = live;
    if (log_shows(LOG_CLIENTS))
        log_event(LOG_CLIENTS, "accept pid=%lld from=%s live=%zu", (long long)id,
                  peer_text(&client->peer, from), live);
    return child;
}

/* A child could not become its program. The first failure of an episode is logged; a program that
 * was begun after it, and has run and ended, is the end of the episode. */
static void note_exec_failure(struct server *server, struct child *child, int error)
{
    child->exec_error = error;
    if (server->cannot_execute <= 0)
        log_error("cannot execute '%.200s': %s%s; clients are closed until it works again",
                  server->options->command[0], strerror(error),
                  error != ENOENT                 ? ""
                  : server->options->root != NULL ? " (it, its interpreter or loader, in the root)"
                                                  : " (it or its interpreter)");
    server->cannot_execute = clock_seconds();
}

struct child *server_exit_recorded(struct server *server, const struct record *record)
{
    struct child *child = children_find(server->children, record->id);
    bool runs = server->options->command != NULL;
    bool begins = runs && record->kind == RECORD_CLIENT;
    const char *wrong = child == NULL          ? "is no live child"
                        : child->exit_recorded ? "has written its exit record already"
                        : record->kind != RECORD_EXIT && !begins ? "cannot write such a record"
                                                                 : NULL;
    long long id = record->id;

    if (wrong != NULL) {
        log_error("ignored a record on the ledger for %lld, which %s", id, wrong);
        return NULL;
    }
    /* A compromised child can name anybody: it is believed only where its peer is a proxy. */
    if (access_names(&server->options->service.proxies, &child->peer))
        (void)ledger_client(record, &child->client);
    if (begins) {
        child->owes_header = false;
        return NULL;
    }
    child->exit_recorded = true;
    children_leave_source(server->children, child);
    child->in = record->in;
    child->out = record->out;
    if (record->ending >= SESSION_EOF && record->ending < SESSION_ENDINGS)
        child->ending = (int)record->ending;
    if (record->problem > PROXY_RIGHT && record->problem < PROXY_PROBLEMS)
        child->problem = (int)record->problem;
    if (runs && record->error != 0)
        note_exec_failure(server, child, (int)record->error);
    return child;
}

void server_session_ended(struct server *server, struct child *child,
                          const struct session *session, int signal)
{
    struct record record = ledger_exit_record(child->id, session);

    (void)server_exit_recorded(server, &record);
    server_ended(server, child, signal);
}

/* Whether a child has become its program. */
static bool has_run(const struct server *server, const struct child *child)
{
    return server->options->command != NULL && !child->exit_recorded && !child->owes_header;
}

/* Whether the signal that ended it was that of -T, in its PROXY header. */
static bool is_late(const struct child *child)
{
    return child->owes_header && child->ending == SESSION_LIFETIME;
}

/* How a session ended that was no program's, for an `end` line. */
static void describe_session(const struct child *child, int signal, char how[160])
{
    const char *ending = session_ending_name(child->ending);

    if (signal != 0 && !is_late(child))
        snprintf(how, 160, " how=signal-%d", signal);
    else if (child->ending == SESSION_PROXY)
        snprintf(how, 160, " how=%s why=\"%s\"", ending, proxy_problem_text(child->problem));
    else if (child->exec_error != 0)
        snprintf(how, 160, " how=%s why=\"cannot execute: %s\"", ending,
                 strerror(child->exec_error));
    else
        snprintf(how, 160, " how=%s", ending);
}

static void log_end(const struct server *server, const struct child *child, int signal)
{
    bool named = child->client.name.any.sa_family != AF_UNSPEC;
    char from[ADDRESS_TEXT_MAX], via[ADDRESS_TEXT_MAX], before[64] = "in=- out=-", how[160] = "";

    if (!log_shows(LOG_CLIENTS))
        return;
    if (has_run(server, child))
        snprintf(before, sizeof before, signal != 0 ? "exit=signal-%d" : "exit=%d",
                 signal != 0 ? signal : child->ending);
    else if (child->exit_recorded)
        snprintf(before, sizeof before, "in=%llu out=%llu", (unsigned long long)child->in,
                 (unsigned long long)child->out);
    if (!has_run(server, child))
        describe_session(child, signal, how);
    log_event(LOG_CLIENTS, "end pid=%lld from=%s%s%s %s secs=%.3f%s live=%zu",
              (long long)child->id, peer_text(named ? &child->client : &child->peer, from),
              named ? " via=" : "", named ? peer_text(&child->peer, via) : "", before,
              clock_seconds() - child->since, how, server->children->live - 1);
}

const char *server_ending_name(int how)
{
    return how == ENDED_SIGNAL       ? "signal"
           : how == ENDED_EXIT_0     ? "exit-0"
           : how == ENDED_EXIT_OTHER ? "exit-other"
                                     : session_ending_name(how);
}

static int ending_of(const struct server *server, const struct child *child, int signal)
{
    if (signal != 0 && !is_late(child))
        return ENDED_SIGNAL;
    if (has_run(server, child))
        return child->ending == 0 ? ENDED_EXIT_0 : ENDED_EXIT_OTHER;
    return child->ending >= 0 && child->ending < SESSION_ENDINGS ? child->ending : SESSION_ERROR;
}

void server_ended(struct server *server, struct child *child, int signal)
{
    if (signal == SIGNALS_STOP && child->stop_signal != 0)
        signal = child->stop_signal;
    server->gate.killed |= signal == SIGKILL && child->stop_signal != SIGKILL;
    server->statistics.ended++;
    server->statistics.ended_how[ending_of(server, child, signal)]++;
    server->statistics.in += child->in;
    server->statistics.out += child->out;
    log_end(server, child, signal);
    if (has_run(server, child) && child->since > server->cannot_execute)
        server->cannot_execute = 0;
    children_remove(server->children, child);
    if (!server->gate.for_memory)
        server->gate.closed_until = 0; /* what it used may be what was missing */
}
