/*
 * server.h: what every server of the family does alike: the gate, accepting and admitting,
 * counting, stopping, and the lines that tell of it.
 *
 * A model (serve.h) runs the loop, and starts and ends sessions its own way:
 *
 *     server_announce(server);
 *     while (server_running(server)) {
 *         server_wait(...);                        signals, time, ready descriptors
 *         ... end what has ended: server_ended
 *         server_handle_requests(server)           status, upgrade, what a stop asks of children
 *         while (server_accept(server, &client))   one admitted client after the other
 *             ... start it: server_began, or server_hold when that fails
 *     }
 *
 * server_wait waits by pselect. A model that waits another way does so between
 * server_wait_begin and server_wait_end (event_loop.c).
 *
 * The gate is open while fewer than max_connections are live, no failure is being waited
 * out, and nobody has told the server to stop. While it is closed, new clients are
 * deferred: they stay in the kernel's backlog, and nothing is lost.
 *
 * Invariants: accepted == ended + refused + live + held. Each accepted connection ends as
 * one `end` or one `refuse` line. The loop sleeps whenever there is nothing to do: each
 * failure that persists closes the gate until a child ends or a pause is over.
 *
 * Cost of a turn: linear in the listeners, constant in live children and sources.
 */
#ifndef SERVER_H
#define SERVER_H

#include "base/address.h"
#include "process/daemon.h"
#include "process/pidfile.h"
#include "server/children.h"
#include "server/ledger.h"
#include "server/listeners.h"
#include "server/options.h"

#include <stdbool.h>
#include <stddef.h>
#include <sys/select.h>

/* An accepted connection that a model is to serve; the descriptor is the model's to close. Where
 * it is a child's alone, which has accepted by itself, it is -1. */
struct client {
    int descriptor;
    struct peer peer;
};

struct statistics {
    unsigned long long accepted, ended, refused;
    unsigned long long deferred;     /* accepted only after they had found the gate closed ... */
    unsigned long long deferred_cap; /* ... by max_connections; the others by a failure */
    unsigned long long in, out;  /* bytes, of exit records */
    size_t peak;                 /* most live at once */
};

/* How far a stop has come. */
enum server_phase {
    SERVER_SERVING,
    SERVER_DRAINING,    /* listeners closed; children finish for the grace */
    SERVER_TERMINATING, /* children were sent SIGTERM, and have a second */
    SERVER_KILLING      /* children were sent SIGKILL */
};

struct serve_model;

struct server {
    const struct serve_model *model;
    void *own; /* the model's state */
    const struct options *options;
    struct listeners listeners;
    struct children *children;
    struct statistics statistics;
    double hear_period; /* while no wait sleeps, signals are let in so often; 0: after each wait */
    double heard;       /* when they were let in last */
    double started; /* when it was announced; 0: not yet */
    struct daemon *starter;  /* who waits to hear that it listens; the caller's */
    struct pidfile *pidfile; /* the caller's */

    bool taken_over;               /* from an earlier program of this process (takeover.h) ... */
    int ledger_read, ledger_write; /* ... whose children sign off here, and which leaves ... */
    int manager, syslog;           /* ... the sockets to these two; 0: it had none */

    size_t titled_live;     /* how many live the title tells */

    enum server_phase phase;
    double phase_ends; /* when the next phase begins; 0: it does not by itself */
    int order;         /* the signal to pass on to all live children; 0: none */
    bool failed;       /* it stops because it cannot go on */

    bool was_closed;        /* the gate was closed at the last look ... */
    bool was_full;          /* ... since there were max_connections */
    double closed_until;    /* a failure is waited out; 0: none */
    double pause;           /* for how long the next time */
    double failing_since;   /* an episode of failures began; 0: none is on */
    double failed_last;     /* the last failure of it */
    unsigned long failures; /* in this episode */
    unsigned retries;       /* accepts in a row that failed with FAILURE_RETRY */
    size_t turn;            /* of the listeners: who is asked next */

    bool holding; /* `held` was accepted, but could not be started yet */
    struct client held;
};

/* A server with a table for its children and no listener. Returns it, in memory that children
 * do not inherit, or NULL (logged). All arguments are kept. */
struct server *server_open(const struct serve_model *model, const struct options *options,
                           struct daemon *starter, struct pidfile *pidfile);

/* Opens its listeners. Returns 0, or -1 (said). */
int server_listen(struct server *server);

/*
 * Once all is set up: tells that the server listens, and where: in the log, to the service
 * manager and to the starting command, and with -1 on standard output, which ends with that,
 * so that whoever reads it sees the end. Returns 0, or -1 (said).
 */
int server_announce(struct server *server);

/* Closes the listeners, if they still are open, and tells how it went, if it was announced. */
void server_close(struct server *server);

/* Whether there is still something to wait for. */
bool server_running(const struct server *server);

/*
 * Waits until a listener or one of the model's own descriptors is ready, a signal comes, or
 * it is `until` (clock.h; 0: no such time). `readable` and `writable` hold the model's own
 * descriptors, all below `limit`, or are NULL; they come back as pselect leaves them.
 */
void server_wait(struct server *server, double until, fd_set *readable, fd_set *writable,
                 int limit);

/* The same for a model that has at most one descriptor of its own, and reads from it after each
 * wait, ready or not; -1: none. */
void server_wait_beside(struct server *server, double until, int descriptor);

/* How a model has to wait that waits its own way. */
struct waiting {
    double now;       /* when it begins */
    double seconds;   /* for so long at most; negative: without end */
    bool open;        /* the gate: listeners are waited for as well; else they are not */
    bool just_opened; /* it was closed at the last wait: who is there by now was deferred */
};

/* What server_wait does before it waits. `until` as there. No listener is marked as ready then:
 * the model marks those that it finds so (listeners.h). */
struct waiting server_wait_begin(struct server *server, double until);

/* What it does after that: heeds signals and time. `found` is how many descriptors are ready, or
 * -1 with errno where the wait failed, which is said. Returns the time: clock.h. */
double server_wait_end(struct server *server, const struct waiting *waiting, int found);

/* Whether a client that was just accepted may come in. If not it is refused: closed, counted
 * and said. */
bool server_admit(struct server *server, const struct client *client);

/* The next client that may come in. False when there is none now. */
bool server_accept(struct server *server, struct client *client);

/* A client that was let in is being served, as child `id`. Registers it. */
struct child *server_began(struct server *server, int64_t id, const struct client *client);

/* A client that was let in cannot be served now because `what` failed with errno: keeps it,
 * closes the gate, and hands it out again when a child has ended or a pause is over. */
void server_hold(struct server *server, const struct client *client, const char *what);

/* One more child could not be started because `what` failed with errno, and no client waits for
 * it: closes the gate until a pause is over. */
void server_start_failed(struct server *server, const char *what);

/* The same where accept failed with errno, in a way that persists (failures.h); where it cannot
 * pass, the server stops. */
void server_accept_failed(struct server *server);

/* Takes in what an exit record says of a child, once and as far as it can be true. Returns the
 * child, or NULL where the record is ignored (logged). */
struct child *server_exit_recorded(struct server *server, const struct record *record);

/* A child was reaped. `signal` is what ended it, 0 when it ended by itself. Removes it. */
void server_ended(struct server *server, struct child *child, int signal);

/* Once a turn, handles what signals ask of the server. SIGUSR1: the status line. SIGHUP: an
 * upgrade; or a drain, where it says that the terminal has gone from which the server was started.
 * A stop that has come to its end: passes the signal on to each live child, once, the oldest
 * first (serve.h, stop_child). */
void server_handle_requests(struct server *server);

#endif
