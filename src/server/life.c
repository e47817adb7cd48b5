/* life.c: a server from its opening to its close, its clients, and its waits: server.h. */
#include "server/parts.h"

#include "base/clock.h"
#include "base/text.h"
#include "platform/platform.h"
#include "process/log.h"
#include "process/manager.h"
#include "process/signals.h"
#include "process/title.h"
#include "server/serve.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

/* ---- its life ---- */

struct server *server_open(const struct serve_model *model, const struct options *options,
                           struct daemon *starter, struct pidfile *pidfile)
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
    server->starter = starter;
    server->pidfile = pidfile;
    server->children = children;
    title_open(options->program, NULL);
    return server;
}

int server_listen(struct server *server)
{
    return listeners_open(&server->listeners, server->options);
}

/* On standard output, which then is at an end: it becomes /dev/null, as 0 is (inherited.h). */
static int print_addresses(const struct server *server)
{
    const struct listeners *listeners = &server->listeners;
    char text[ADDRESS_TEXT_MAX];

    for (size_t i = 0; server->options->print_address && i < listeners->count; i++)
        puts(address_text(&listeners->all[i].address.name.any, text));
    if (fflush(stdout) == EOF || ferror(stdout)) {
        log_error("cannot print the addresses (-1): %s", strerror(errno));
        return -1;
    }
    (void)dup2(STDIN_FILENO, STDOUT_FILENO);
    return 0;
}

/* The first words of a server that was started. */
static int announce_start(struct server *server, const char *listen)
{
    if (print_addresses(server) == -1)
        return -1;
    log_event(LOG_NORMAL, "start pid=%ld max=%zu listen=%s", (long)getpid(),
              server->options->max_connections, listen);
    if (daemon_ready(server->starter) == -1)
        return -1;
    server->started = clock_seconds();
    return 0;
}

int server_announce(struct server *server)
{
    char text[LOG_LINE_MAX - 100];

    listeners_text(&server->listeners, text, sizeof text);
    if (server->taken_over)
        log_event(LOG_NORMAL, "takeover pid=%ld version=%s live=%zu max=%zu listen=%s",
                  (long)getpid(), VERSION, children_live(server->children),
                  server->options->max_connections, text);
    else if (announce_start(server, text) == -1)
        return -1;
    log_started();
    manager_state(MANAGER_READY);
    server->titled_live = (size_t)-1;
    return 0;
}

void server_close(struct server *server)
{
    const struct statistics *count = &server->statistics;

    listeners_close(&server->listeners);
    log_settle_all();
    if (server->started > 0)
        log_event(LOG_NORMAL,
                  "stop accepted=%llu ended=%llu refused=%llu in=%llu out=%llu secs=%.3f",
                  count->accepted, count->ended, count->refused, count->in, count->out,
                  clock_seconds() - server->started);
}

bool server_running(const struct server *server)
{
    return server->phase == SERVER_SERVING || children_live(server->children) > 0 ||
           server->holding;
}

/* ---- its clients ---- */

struct child *server_began(struct server *server, int64_t id, const struct client *client)
{
    char from[ADDRESS_TEXT_MAX];
    struct child *child =
        children_add(server->children, id, &client->peer, clock_seconds());
    size_t live = children_live(server->children);

    if (live > server->statistics.peak)
        server->statistics.peak = live;
    if (log_shows(LOG_CLIENTS))
        log_event(LOG_CLIENTS, "accept pid=%lld from=%s live=%zu", (long long)id,
                  peer_text(&client->peer, from), live);
    return child;
}

/* A child can say anything. Only who is a proxy can have named a client, and only as an address. */
static void note_client(const struct server *server, struct child *child,
                        const struct record *record)
{
    struct peer client;

    if (ledger_client(record, &client) &&
        access_names(&server->options->service.proxies, &child->peer))
        child->client = client;
}

struct child *server_exit_recorded(struct server *server, const struct record *record)
{
    struct child *child = children_find(server->children, record->id);
    const char *wrong = child == NULL                 ? "is no live child"
                        : child->exit_recorded        ? "has written its exit record already"
                        : record->kind != RECORD_EXIT ? "cannot write such a record"
                                                      : NULL;

    if (wrong != NULL) {
        log_error("ignored a record on the ledger for %lld, which %s", (long long)record->id, wrong);
        return NULL;
    }
    child->exit_recorded = true;
    children_leave_source(server->children, child);
    child->in = record->in;
    child->out = record->out;
    child->ending = record->ending >= SESSION_EOF && record->ending < SESSION_ENDINGS
                        ? (int)record->ending
                        : SESSION_ERROR;
    child->problem = record->problem > PROXY_RIGHT && record->problem < PROXY_PROBLEMS
                         ? (int)record->problem
                         : PROXY_RIGHT;
    note_client(server, child, record);
    return child;
}

/* Room for "from=CLIENT via=PROXY", and for `signal-N` or `proxy why="..."`. */
#define PARTIES_MAX (2 * ADDRESS_TEXT_MAX + 16)
#define HOW_MAX 96

/* Whom a child served: its peer, or whom that named as its client. */
static char *parties_text(const struct child *child, char *text)
{
    char peer[ADDRESS_TEXT_MAX], client[ADDRESS_TEXT_MAX];

    peer_text(&child->peer, peer);
    if (child->client.name.any.sa_family == AF_UNSPEC)
        snprintf(text, PARTIES_MAX, "from=%s", peer);
    else
        snprintf(text, PARTIES_MAX, "from=%s via=%s", peer_text(&child->client, client), peer);
    return text;
}

static char *how_text(const struct child *child, int signal, char *text)
{
    const char *ending = session_ending_name(child->ending);

    if (signal != 0)
        snprintf(text, HOW_MAX, "signal-%d", signal);
    else if (child->ending == SESSION_PROXY)
        snprintf(text, HOW_MAX, "%s why=\"%s\"", ending, proxy_problem_text(child->problem));
    else
        snprintf(text, HOW_MAX, "%s", ending);
    return text;
}

static void log_end(const struct server *server, const struct child *child, int signal)
{
    char parties[PARTIES_MAX], bytes[64] = "in=- out=-", how[HOW_MAX];

    if (child->exit_recorded)
        snprintf(bytes, sizeof bytes, "in=%llu out=%llu", (unsigned long long)child->in,
                 (unsigned long long)child->out);
    log_event(LOG_CLIENTS, "end pid=%lld %s %s secs=%.3f how=%s live=%zu", (long long)child->id,
              parties_text(child, parties), bytes, clock_seconds() - child->since,
              how_text(child, signal, how), children_live(server->children) - 1);
}

void server_ended(struct server *server, struct child *child, int signal)
{
    server->statistics.ended++;
    server->statistics.in += child->in;
    server->statistics.out += child->out;
    if (log_shows(LOG_CLIENTS))
        log_end(server, child, signal);
    children_remove(server->children, child);
    /* What it used may be what was missing. */
    server->closed_until = 0;
}

/* ---- telling ---- */

void life_status(const struct server *server, size_t zombies)
{
    const struct statistics *count = &server->statistics;
    const struct child *oldest = children_oldest(server->children);
    double now = clock_seconds();

    log_event(LOG_NORMAL,
              "status live=%zu peak=%zu accepted=%llu ended=%llu refused=%llu deferred=%llu "
              "in=%llu out=%llu zombies=%zu deferred-cap=%llu deferred-failure=%llu "
              "source-max=%zu oldest=%.3f uptime=%.3f",
              children_live(server->children), count->peak, count->accepted, count->ended,
              count->refused, count->deferred, count->in, count->out, zombies,
              count->deferred_cap, count->deferred - count->deferred_cap,
              children_most_from_one(server->children), oldest != NULL ? now - oldest->since : 0,
              now - server->started);
}

/* For ps(1): how many are served, of how many, and where. */
static void update_title(struct server *server)
{
    char title[TITLE_MAX], where[TITLE_MAX];
    struct text text = text_in(title, sizeof title);
    size_t live = children_live(server->children);

    if (live == server->titled_live && server->listeners.count > 0)
        return;
    server->titled_live = live;
    text_add_number(&text, live);
    if (server->phase == SERVER_SERVING) {
        listeners_text(&server->listeners, where, sizeof where);
        text_add(&text, " live of ");
        text_add_number(&text, server->options->max_connections);
        text_add(&text, " on ");
        text_add(&text, where);
    } else {
        text_add(&text, " live, stopping");
    }
    title_set(title);
}

/* Keeps the service manager informed. Returns when to do so again; 0: no such time. */
static double tell_manager(const struct server *server, double now)
{
    char text[MANAGER_STATUS_MAX];

    if (!manager_listens())
        return 0;
    snprintf(text, sizeof text, "%zu live, %llu ended, %llu refused",
             children_live(server->children), server->statistics.ended,
             server->statistics.refused);
    return manager_tell(text, now);
}

/* ---- waiting ---- */

/* When the wait must end although nothing happens: the earliest of `until` and our own
 * times; 0 when there is none. */
static double wake_time(const struct server *server, double until, double now)
{
    double times[] = {until, server->phase_ends, gate_wakes(server, now), log_settle(now),
                      tell_manager(server, now)};

    return clock_earliest(times, sizeof times / sizeof times[0]);
}

static int watch_listeners(const struct listeners *listeners, fd_set *readable, int limit)
{
    for (size_t i = 0; i < listeners->count; i++) {
        FD_SET((unsigned)listeners->all[i].descriptor, readable);
        if (listeners->all[i].descriptor >= limit)
            limit = listeners->all[i].descriptor + 1;
    }
    return limit;
}

static void note_ready(struct server *server, const fd_set *readable)
{
    for (size_t i = 0; i < server->listeners.count; i++) {
        struct listener *listener = &server->listeners.all[i];
        listener->ready = FD_ISSET((unsigned)listener->descriptor, readable);
    }
}

/* Clients that wait at the very moment the gate opens again have been deferred. */
static void note_late(struct server *server, bool just_opened)
{
    for (size_t i = 0; i < server->listeners.count; i++) {
        struct listener *listener = &server->listeners.all[i];
        if (just_opened || !listener->ready)
            listener->late = listener->ready;
    }
}

struct waiting server_wait_begin(struct server *server, double until)
{
    double now = clock_seconds(), wake = wake_time(server, until, now);
    bool open = !server->model->children_accept && gate_is_open(server, now);
    bool just_opened = open && server->was_closed;
    bool at_once = just_opened || server->order != 0 || (wake > 0 && wake <= now);
    double seconds = at_once ? 0 : wake > 0 ? wake - now : -1;

    update_title(server);
    for (size_t i = 0; i < server->listeners.count; i++)
        server->listeners.all[i].ready = false;
    server->was_closed = !open;
    if (!open)
        server->was_full = children_live(server->children) >= server->options->max_connections;
    return (struct waiting){now, seconds, open, just_opened};
}

double server_wait_end(struct server *server, const struct waiting *waiting, int found)
{
    double now;

    if (found == -1) {
        gate_pause(server, "the wait", "");
        clock_sleep(PAUSE_FIRST);
    }
    /* A wait that sleeps lets signals in; one that does not may not (signals.h). */
    if ((found > 0 || waiting->seconds == 0) &&
        waiting->now - server->heard >= server->hear_period) {
        signals_hear();
        server->heard = waiting->now;
    } else if (found == -1) {
        signals_hear();
    }
    note_late(server, waiting->just_opened);
    now = clock_seconds(); /* ThreadSanitizer runs a handler that came in the wait here */
    stop_heed_signals(server);
    gate_settle(server, now);
    stop_settle(server, now);
    return now;
}

void server_wait(struct server *server, double until, fd_set *readable, fd_set *writable,
                 int limit)
{
    struct waiting waiting = server_wait_begin(server, until);
    struct timespec timeout = clock_timespec(waiting.seconds);
    fd_set none;
    int found;

    if (readable == NULL) {
        FD_ZERO(&none);
        readable = &none;
    }
    if (waiting.open)
        limit = watch_listeners(&server->listeners, readable, limit);
    found = pselect(limit, readable, writable, NULL, waiting.seconds < 0 ? NULL : &timeout,
                    signals_wait_mask());
    if (found == -1) {
        FD_ZERO(readable);
        if (writable != NULL)
            FD_ZERO(writable);
        found = errno == EINTR ? 0 : -1;
    }
    if (found > 0 && waiting.open)
        note_ready(server, readable);
    (void)server_wait_end(server, &waiting, found);
}

void server_wait_beside(struct server *server, double until, int descriptor)
{
    fd_set readable;

    FD_ZERO(&readable);
    if (descriptor != -1)
        FD_SET((unsigned)descriptor, &readable);
    server_wait(server, until, &readable, NULL, descriptor + 1);
}
