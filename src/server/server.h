/*
 * server.h: what every server of the family does alike: accepting, admitting, counting, waiting,
 * stopping, and the lines of the log. A model (serve.h) runs the loop, starts and ends sessions:
 *
 *     server_announce(server);
 *     while (server_running(server)) {
 *         server_wait(server, until);              signals, time, ready descriptors
 *         ... end what has ended: server_ended
 *         server_handle_requests(server);          status, upgrade, what a stop asks of children
 *         while (server_accept(server, &client))   one admitted client after the other
 *             ... start it: server_began, or server_hold when that fails
 *     }
 *
 * The gate is open, and new clients may come in, while fewer than max_connections are live, no
 * failure is being waited out, no client is held (gate.h), and nobody has told the server to stop.
 * Else they are deferred: they stay in the kernel's backlog.
 *
 * A client that comes again as soon as its connection is over may be faster than the server, or the
 * program that has yet to end. So one that would be refused for others of its source waits a tenth
 * of a second for one of these to end. OVER_CAP_MAX clients at a time, a descriptor each: a source
 * that always has too many can have others refused at once, as they would be without this.
 *
 * Invariants: accepted == ended + refused + live + held. Each accepted connection ends as
 * one `end` or one `refuse` line. The loop sleeps whenever there is nothing to do.
 * Cost of a turn: linear in the listeners, constant in live children and sources.
 */
#ifndef SERVER_H
#define SERVER_H

#include "process/pidfile.h"
#include "server/children.h"
#include "server/gate.h"
#include "server/ledger.h"
#include "server/listeners.h"
#include "server/options.h"

#include <stdbool.h>
#include <stddef.h>
#include <sys/select.h>

enum refusal {
    REFUSED_DENIED,     /* -A, -X */
    REFUSED_PER_SOURCE, /* -C */
    REFUSED_STOPPING,   /* it was held when a stop cut the grace short, or waited by -C */
    REFUSALS
};

/* How a connection ended: enum session_ending, or what is no session's: */
enum {
    ENDED_SIGNAL = SESSION_ENDINGS, /* a signal ended its child */
    ENDED_EXIT_0,                   /* its program ended by itself, with status 0 or another */
    ENDED_EXIT_OTHER,
    ENDED_HOWS
};

struct statistics {
    unsigned long long accepted, ended, refused;
    unsigned long long ended_how[ENDED_HOWS], refused_why[REFUSALS];
    unsigned long long deferred;     /* accepted only after they had found the gate closed ... */
    unsigned long long deferred_cap; /* ... by max_connections; the others by a failure */
    unsigned long long in, out;      /* bytes, of exit records */
    unsigned long long upgrades;     /* by which another program took over in this process */
    unsigned long long since;        /* when it was first announced: time(2) */
    size_t peak;                     /* most live at once */
};

#define OVER_CAP_MAX 16

enum server_phase {
    SERVER_SERVING,
    SERVER_DRAINING,    /* listeners closed; children finish for the grace */
    SERVER_TERMINATING, /* children were told to end (signals_send), and have a second */
    SERVER_KILLING      /* children were sent SIGKILL */
};

struct serve_model;

struct server {
    const struct serve_model *model;
    void *own; /* the model's state */
    const struct options *options;
    struct listeners listeners;
    struct listeners status_listeners; /* -S: the model's to wait for; closed at the very end */
    struct children *children;
    struct statistics statistics;
    struct gate gate;
    struct {
        enum server_phase phase; /* how far it has come (requests.c) */
        double phase_ends; /* when the next phase begins: clock.h; 0: it does not by itself */
        double once_until; /* clock.h: until then a second request to stop is the first one again */
        int signal;        /* is still to be passed on to all live children; 0: none is */
        bool failed;       /* the server stops because it cannot go on */
    } stop;
    struct {
        bool was_closed;    /* the gate, at the last wait; ... */
        bool was_full;      /* ... it was so for max_connections */
        double hear_period; /* waits that do not sleep let signals in once in so many seconds ... */
        double heard;       /* ... and did so last at this time: clock.h */
        size_t titled_live; /* how many live children the title tells of */
    } wait;
    struct { /* who was accepted when their sources had as many as they may (-C), and is not counted
              * yet: refused at this time (clock.h), the first of them first */
        struct client client;
        double until;
    } over_cap[OVER_CAP_MAX];
    size_t over_cap_count;
    double cannot_execute;  /* when a program could not be executed last: clock.h; 0: they can */
    double started;         /* when it was first announced: clock.h; 0: not yet */
    struct pidfile *pidfile;
    int score;              /* of platform_prefer_children; 0: there is none */
    struct ledger ledger;   /* opened by the model, or left open by an earlier program */
    struct {                /* what an upgrade has replaced in this process (takeover.h) */
        int manager, syslog; /* its sockets to these two; 0: it had none */
    } earlier;
};

/* A server without listeners as yet, or NULL (logged). All arguments are kept. */
struct server *server_open(const struct serve_model *model, const struct options *options,
                           struct pidfile *pidfile);

/* Says that the server listens, and where: to the log, the service manager, the starting command,
 * and with -1 on standard output, which is ended by that. Returns 0, or -1 (logged). */
int server_announce(struct server *server);

/* Closes its listeners, and logs how it went where it was announced. */
void server_close(struct server *server);
bool server_running(const struct server *server); /* it serves, or has clients */

/* The words for an enum refusal and for how a connection ended: "denied", "eof" ... */
const char *server_refusal_name(int why);
const char *server_ending_name(int how);

/* Waits until a listener is ready, a signal comes, or it is `until` (clock.h; 0: no such time); or
 * until a descriptor of the model below `limit` is ready, in sets that come back as pselect's. */
void server_wait(struct server *server, double until);
void server_wait_for(struct server *server, double until, fd_set *readable, fd_set *writable,
                     int limit);

/* How a model has to wait that does not do so by pselect. */
struct waiting {
    double now;       /* when it begins */
    double seconds;   /* for so long at most; negative: without end */
    bool open;        /* the gate: only then listeners are waited for */
    bool just_opened; /* it was closed at the last wait */
};

/* Before such a wait, and after it, when the model has marked the listeners that are ready. `found`
 * is how many descriptors are; -1 with errno: the wait failed. Returns the time: clock.h. */
struct waiting server_wait_begin(struct server *server, double until);
double server_wait_end(struct server *server, const struct waiting *waiting, int found);

/* Once a turn: the status line (SIGUSR1), an upgrade (SIGHUP), or a drain where that says that its
 * terminal has gone. Passes the signal of a stop on to each live child, once (stop_child). */
void server_handle_requests(struct server *server);

/* The next client that may come in, accepted and admitted. False when there is none now. */
bool server_accept(struct server *server, struct client *client);

/* Whether a client that was accepted may come in; else it is closed, counted and logged. */
bool server_admit(struct server *server, const struct client *client);

/* Clients who wait for others of their source wait no longer: they are refused. */
void server_refuse_over_cap(struct server *server, enum refusal why);

/* `what` failed with errno, which closes the gate (gate.h): for an admitted client, held until
 * server_accept returns it again; and without a client. And one that cannot pass, by an `error`:
 * the server drains. */
void server_hold(struct server *server, const struct client *client, const char *what);
void server_start_failed(struct server *server, const char *what);
void server_stop_failed(struct server *server, const char *what, int error);

/* Registers child `id`, which serves an admitted client. */
struct child *server_began(struct server *server, int64_t id, const struct client *client);

/* Notes what a record says of a child, as far as it can be true. Returns the child, or NULL where
 * it does not end by this: the record is ignored (logged), or its program has begun. */
struct child *server_exit_recorded(struct server *server, const struct record *record);

/* A child was reaped. `signal` is what ended it, 0 when it ended by itself. Removes it. The second
 * notes its exit as well, for a session of this process, whose descriptor is closed. */
void server_ended(struct server *server, struct child *child, int signal);
void server_session_ended(struct server *server, struct child *child,
                          const struct session *session, int signal);

/* ---- for life.c, accept.c, wait.c and requests.c among each other: models need none of it ---- */

bool accept_is_open(const struct server *server, double now); /* the gate, at `now` */

/* Enters the next phase of a stop where a signal has asked for it, or it is due at `now`. */
void requests_handle_stop(struct server *server, double now);

#endif
