/* server.c: see server.h. */
#include "server.h"

#include "clock.h"
#include "failures.h"
#include "log.h"
#include "platform.h"
#include "signals.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

/* A failure is waited out for this long at first, then twice as long each time it is still
 * there, up to the longest: soon enough for who waits, and no load. Seconds. */
#define PAUSE_FIRST 0.05
#define PAUSE_LONGEST 1.0

/* Failures less than this apart belong to one episode. Seconds. */
#define EPISODE_GAP 1.0

/* Accepts in a row that may fail with FAILURE_RETRY before that counts as persistent. */
#define RETRIES_MAX 32

/* Between SIGTERM and SIGKILL to children that outlived the grace. Seconds. */
#define TERMINATION_TIME 1.0

struct server *server_open(const struct options *options)
{
    struct server *server = platform_private_memory(sizeof *server);
    struct children *children = children_new(options->max_connections);

    if (server == NULL || children == NULL) {
        log_error("no memory for %zu connections (-c): %s", options->max_connections,
                  strerror(errno));
        return NULL;
    }
    server->options = options;
    server->children = children;
    return listeners_open(&server->listeners, options) == 0 ? server : NULL;
}

int server_announce(struct server *server)
{
    const struct listeners *listeners = &server->listeners;
    char text[LOG_LINE_MAX - 100];

    for (size_t i = 0; server->options->print_address && i < listeners->count; i++)
        puts(address_text(&listeners->all[i].address.name.any, text));
    if (fflush(stdout) == EOF) {
        log_error("cannot print the addresses (-1): %s", strerror(errno));
        return -1;
    }
    listeners_text(listeners, text, sizeof text);
    log_event(LOG_NORMAL, "start pid=%ld max=%zu listen=%s", (long)getpid(),
              server->options->max_connections, text);
    /* Descriptor 0 is /dev/null: descriptors.h. */
    (void)dup2(STDIN_FILENO, STDOUT_FILENO);
    server->started = clock_seconds();
    return 0;
}

void server_close(struct server *server)
{
    const struct statistics *count = &server->statistics;

    listeners_close(&server->listeners);
    if (server->started > 0)
        log_event(LOG_NORMAL, "stop accepted=%llu ended=%llu refused=%llu in=%llu out=%llu secs=%.3f",
                  count->accepted, count->ended, count->refused, count->in, count->out,
                  clock_seconds() - server->started);
}

bool server_running(const struct server *server)
{
    return server->phase == SERVER_SERVING || children_live(server->children) > 0 ||
           server->holding;
}

/* ---- stopping ---- */

static void enter_phase(struct server *server, enum server_phase phase)
{
    double now = clock_seconds();

    if (server->phase == SERVER_SERVING)
        listeners_close(&server->listeners);
    server->phase = phase;
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
    log_event(LOG_NORMAL, "drain why=%s live=%zu grace=%g", why, children_live(server->children),
              phase == SERVER_DRAINING ? server->options->grace : 0);
}

/* A polite signal starts the drain; one more ends the patience. */
static void heed_polite(struct server *server, const char *why)
{
    if (server->phase == SERVER_SERVING)
        stop(server, SERVER_DRAINING, why);
    else if (server->phase == SERVER_DRAINING)
        stop(server, SERVER_TERMINATING, why);
}

static void heed_signals(struct server *server)
{
    if (signals_take(SIGTERM))
        heed_polite(server, "SIGTERM");
    if (signals_take(SIGINT))
        heed_polite(server, "SIGINT");
    if (signals_take(SIGQUIT) && server->phase != SERVER_KILLING)
        stop(server, SERVER_KILLING, "SIGQUIT");
}

void server_pass_order(struct server *server,
                       void (*tell)(struct server *server, struct child *child, int signal))
{
    int order = server->order;

    server->order = 0;
    if (order == 0)
        return;
    for (struct child *each = children_oldest(server->children), *next; each != NULL; each = next) {
        next = each->younger;
        tell(server, each, order);
    }
}

/* ---- failures ---- */

/* Closes the gate for a while. Says so at the start of an episode, with `hint`. */
static void pause_gate(struct server *server, const char *what, const char *hint)
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

/* When the episode is over: nothing has failed for EPISODE_GAP. A server at a limit, where
 * each child that ends lets one more begin, is in one episode and not in thousands. */
static double episode_ends(const struct server *server)
{
    return server->failures > 0 && !server->holding ? server->failed_last + EPISODE_GAP : 0;
}

static void end_episode(struct server *server, double now)
{
    double end = episode_ends(server);

    if (end <= 0 || now < end || now < server->closed_until)
        return;
    log_event(LOG_NORMAL, "resume failures=%lu secs=%.3f", server->failures,
              server->failed_last - server->failing_since);
    server->failures = 0;
}

void server_hold(struct server *server, const struct client *client, const char *what)
{
    char limits[160];
    int error = errno;

    platform_process_limits(limits, sizeof limits);
    server->holding = true;
    server->held = *client;
    errno = error;
    pause_gate(server, what, limits);
}

static void heed_accept_failure(struct server *server)
{
    switch (failure_action(errno)) {
    case FAILURE_RETRY:
        if (errno == EAGAIN || errno == EWOULDBLOCK || ++server->retries < RETRIES_MAX)
            return;
        server->retries = 0;
        pause_gate(server, "accept", "");
        return;
    case FAILURE_PAUSE:
        pause_gate(server, "accept", errno == EMFILE ? "RLIMIT_NOFILE (ulimit -n)" : "");
        return;
    case FAILURE_STOP:
        log_error("accept failed: %s; stopping", strerror(errno));
        server->failed = true;
        stop(server, SERVER_DRAINING, "failure");
        return;
    }
}

/* ---- the gate ---- */

static bool gate_is_open(const struct server *server, double now)
{
    return server->phase == SERVER_SERVING && !server->holding && now >= server->closed_until &&
           children_live(server->children) < server->options->max_connections;
}

/* When the wait must end although nothing happens: the earliest of `until` and our own
 * times; 0 when there is none. */
static double wake_time(struct server *server, double until, double now)
{
    double times[] = {until, server->phase_ends, episode_ends(server),
                      now < server->closed_until ? server->closed_until : 0, log_settle(now)};
    double earliest = 0;

    for (size_t i = 0; i < sizeof times / sizeof times[0]; i++)
        if (times[i] > 0 && (earliest <= 0 || times[i] < earliest))
            earliest = times[i];
    return earliest;
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

/* Notes which listeners are ready. Clients that wait at the very moment the gate opens again
 * have been deferred. */
static void note_ready(struct server *server, const fd_set *readable, bool just_opened)
{
    for (size_t i = 0; i < server->listeners.count; i++) {
        struct listener *listener = &server->listeners.all[i];
        listener->ready = readable != NULL && FD_ISSET((unsigned)listener->descriptor, readable);
        if (just_opened || !listener->ready)
            listener->late = listener->ready;
    }
}

void server_wait(struct server *server, double until, fd_set *readable, fd_set *writable,
                 int limit)
{
    double now = clock_seconds(), wake = wake_time(server, until, now);
    bool open = gate_is_open(server, now), just_opened = open && server->was_closed;
    struct timespec timeout = clock_timespec(just_opened ? 0 : wake - now);
    fd_set none;
    int ready;

    if (readable == NULL) {
        FD_ZERO(&none);
        readable = &none;
    }
    if (open)
        limit = watch_listeners(&server->listeners, readable, limit);
    server->was_closed = !open;
    ready = pselect(limit, readable, writable, NULL, just_opened || wake > 0 ? &timeout : NULL,
                    signals_wait_mask());
    if (ready == -1) {
        if (errno != EINTR) {
            log_error("pselect failed: %s", strerror(errno));
            clock_sleep(PAUSE_FIRST);
        }
        FD_ZERO(readable);
        if (writable != NULL)
            FD_ZERO(writable);
    }
    if (ready > 0)
        signals_hear();
    note_ready(server, open && ready > 0 ? readable : NULL, just_opened);
    now = clock_seconds(); /* ThreadSanitizer runs a handler that came in pselect here */
    heed_signals(server);
    end_episode(server, now);
    if (server->phase_ends > 0 && now >= server->phase_ends)
        enter_phase(server, server->phase + 1);
}

/* ---- accepting and admitting ---- */

static void refuse(struct server *server, const struct client *client, const char *why)
{
    char from[ADDRESS_TEXT_MAX];

    close(client->descriptor);
    server->statistics.refused++;
    log_refusal("refuse from=%s why=%s", peer_text(&client->peer, from), why);
}

/* The next connection of any listener that is ready, each of them once a turn. */
static bool accept_next(struct server *server, struct client *client)
{
    for (size_t i = 0; i < server->listeners.count; i++) {
        struct listener *listener = &server->listeners.all[i];
        if (!listener->ready)
            continue;
        listener->ready = false;
        client->descriptor =
            listeners_accept(listener, server->options->service.idle, &client->peer);
        if (client->descriptor == -1) {
            heed_accept_failure(server);
            continue;
        }
        server->retries = 0;
        server->statistics.accepted++;
        server->statistics.deferred += listener->late;
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

bool server_accept(struct server *server, struct client *client)
{
    size_t most = server->options->max_per_source;

    if (server->holding)
        return take_held(server, client);
    while (gate_is_open(server, clock_seconds()) && accept_next(server, client)) {
        if (!access_permits(&server->options->access, &client->peer))
            refuse(server, client, "denied");
        else if (most > 0 && children_from(server->children, &client->peer) >= most)
            refuse(server, client, "max-per-source");
        else
            return true;
    }
    return false;
}

/* ---- counting ---- */

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

struct child *server_signed_off(struct server *server, const struct record *record)
{
    struct child *child = children_find(server->children, record->id);

    if (child == NULL || child->signed_off) {
        log_error("ignored a record on the ledger for %lld, which is %s", (long long)record->id,
                  child == NULL ? "no live child" : "signed off already");
        return NULL;
    }
    child->signed_off = true;
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

    if (child->signed_off)
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

void server_status(const struct server *server, size_t zombies)
{
    const struct statistics *count = &server->statistics;

    log_event(LOG_NORMAL,
              "status live=%zu peak=%zu accepted=%llu ended=%llu refused=%llu deferred=%llu "
              "in=%llu out=%llu zombies=%zu",
              children_live(server->children), count->peak, count->accepted, count->ended,
              count->refused, count->deferred, count->in, count->out, zombies);
}
