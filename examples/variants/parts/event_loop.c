/* event_loop.c: see event_loop.h. */
#include "parts/event_loop.h"

#include "base/timers.h"
#include "parts/single_process.h"
#include "parts/nonblocking.h"
#include "platform/readiness.h"
#include "process/log.h"
#include "process/signals.h"

#include <errno.h>
#include <string.h>

/* Sessions that take a step in one turn: enough that the wait is shared, few enough that a
 * signal and a new client need not wait for long. */
#define EVENTS_MAX 256

/* A process has one, as long as its server. */
static struct {
    struct readiness *readiness; /* owners: struct nonblocking; NULL for a listener */
    struct timers *timers;       /* owners: struct nonblocking */
    double now;                  /* of this turn */
    struct readiness_event events[EVENTS_MAX];
} loop;

/* ---- listeners ---- */

/* Watches the listeners while the gate is open. Returns 0, or -1 with errno. */
static int watch_listeners(struct server *server, bool open)
{
    static const unsigned wanted[] = {READINESS_NONE, READINESS_READ};

    for (size_t i = 0; i < server->listeners.count; i++) {
        struct listener *listener = &server->listeners.all[i];
        if (listener->watched == open)
            continue;
        if (readiness_watch(loop.readiness, listener->descriptor, wanted[!open], wanted[open],
                            NULL) == -1)
            return -1;
        listener->watched = open;
    }
    return 0;
}

/* Somebody else may have them open as well: to close them would not be enough (readiness.h). */
void event_loop_before_close(struct server *server)
{
    (void)watch_listeners(server, false);
}

static void note_listener(struct server *server, int descriptor)
{
    for (size_t i = 0; i < server->listeners.count; i++)
        if (server->listeners.all[i].descriptor == descriptor)
            server->listeners.all[i].ready = true;
}

/* ---- sessions ---- */

/* The session is done, or `signal` says that it has to be. */
void event_loop_stop_child(struct server *server, struct child *child, int signal)
{
    struct nonblocking *nonblocking = child->own;

    timers_stop(loop.timers, &nonblocking->timer);
    readiness_forget(loop.readiness, nonblocking->session.descriptor);
    nonblocking_close(nonblocking);
    server_session_ended(server, child, &nonblocking->session, signal);
    nonblocking_free(nonblocking);
}

static unsigned wanted_by(const struct session *session)
{
    return session->wants == SESSION_READ    ? READINESS_READ
           : session->wants == SESSION_WRITE ? READINESS_WRITE
                                             : READINESS_NONE;
}

/* Watches for what the session wants now. The timer is set only to an earlier time: at a time that
 * has become too early the session is looked at in vain, and the timer is set anew. Returns 0, or
 * -1 with errno. */
static int update_watch(struct nonblocking *nonblocking)
{
    unsigned wanted = wanted_by(&nonblocking->session);
    double due = nonblocking_due(nonblocking);

    if (due > 0 && (nonblocking->timer.due <= 0 || due < nonblocking->timer.due))
        timers_set(loop.timers, &nonblocking->timer, due);
    if (wanted != nonblocking->wanted &&
        readiness_watch(loop.readiness, nonblocking->session.descriptor, nonblocking->wanted,
                        wanted, nonblocking) == -1)
        return -1;
    nonblocking->wanted = wanted;
    return 0;
}

static void step(struct server *server, struct nonblocking *nonblocking, bool ready)
{
    bool goes_on = nonblocking_step(nonblocking, ready, loop.now);

    if (goes_on && update_watch(nonblocking) == 0)
        return;
    if (goes_on)
        session_end(&nonblocking->session, SESSION_ERROR);
    event_loop_stop_child(server, nonblocking->child, 0);
}

/* The descriptor is watched before the first step: where that fails, the client can be held. */
static void begin_session(struct server *server, const struct client *client)
{
    struct nonblocking *nonblocking =
        nonblocking_open(&server->options->service, client, loop.now);
    unsigned wanted;

    if (nonblocking == NULL) {
        server_hold(server, client, "malloc");
        return;
    }
    /* A greeting is written in the first step; what is waited for then is an answer. */
    wanted = nonblocking->session.wants == SESSION_PAUSE ? READINESS_NONE : READINESS_READ;
    if (readiness_watch(loop.readiness, client->descriptor, READINESS_NONE, wanted, nonblocking) ==
        -1) {
        server_hold(server, client, "watching a client");
        nonblocking_free(nonblocking);
        return;
    }
    nonblocking->wanted = wanted;
    nonblocking->child = server_began(server, single_process_number(server), client);
    nonblocking->child->own = nonblocking;
    step(server, nonblocking, true);
}

/* ---- the loop ---- */

/* Waits, and notes which listeners are ready. Returns how many events there are. */
static int wait_for_all(struct server *server)
{
    const struct timer *first = timers_first(loop.timers);
    struct waiting waiting = server_wait_begin(server, first != NULL ? first->due : 0);
    int found = watch_listeners(server, waiting.open);

    if (found == 0)
        found = readiness_wait(loop.readiness, loop.events, EVENTS_MAX, waiting.seconds,
                               signals_wait_mask());
    for (int i = 0; i < found; i++)
        if (loop.events[i].owner == NULL)
            note_listener(server, loop.events[i].descriptor);
    loop.now = server_wait_end(server, &waiting, found);
    return found;
}

/* The step sets the timer of a session that goes on. */
static void step_due(struct server *server)
{
    struct timer *first;

    while ((first = timers_first(loop.timers)) != NULL && first->due <= loop.now) {
        timers_stop(loop.timers, first);
        step(server, first->owner, false);
    }
}

static void turn(struct server *server)
{
    struct client client;
    int found = wait_for_all(server);

    for (int i = 0; i < found; i++)
        if (loop.events[i].owner != NULL)
            step(server, loop.events[i].owner, true);
    step_due(server);
    server_handle_requests(server);
    while (server_accept(server, &client))
        begin_session(server, &client);
}

int event_loop_serve(struct server *server, const struct readiness_mechanism *mechanism)
{
    size_t most = server->options->max_connections;
    int outcome = -1;

    loop.readiness = readiness_new(mechanism, most + EVENT_LOOP_RESERVED);
    loop.timers = timers_new(most);
    if (loop.readiness == NULL || loop.timers == NULL) {
        log_error("cannot set up the wait for %zu clients: %s", most, strerror(errno));
    } else {
        outcome = single_process_start(server);
        while (outcome == 0 && server_running(server))
            turn(server);
    }
    readiness_free(loop.readiness);
    timers_free(loop.timers);
    return outcome;
}
