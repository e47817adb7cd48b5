/*
 * serve_fork.c: a child process for each client. The heart of forkecho.
 *
 *   accept   The parent accepts a client that the gate lets in (server/gate.c).
 *   fork     It forks, closes its own copy of the client's socket, which would keep the connection
 *            open after the child has gone, and registers the child by its pid.
 *   serve    The child closes all that is not its business, gives up what it will not need, and
 *            echoes until its client has finished (echo/session.h).
 *   record   Its last act before it exits is one record on the ledger, a pipe to the parent: who it
 *            is, how many bytes, and how the session ended (server/ledger.h).
 *   reap     SIGCHLD has the parent read the records and reap their writers by pid, so that this
 *            costs the same beside ten thousand live children. One that was killed left no record:
 *            its client sees the end of the connection, as the kernel closes it; the parent finds
 *            it within about a second, and its `end` line says how=signal-9 (reaper.h).
 *
 * With `forkecho -- program` a child becomes that program, and writes no record (program.h).
 *
 * A signal handler only notes that its signal came. The loop reaps, at another point than it forks:
 * so a child is registered before it can be reaped. The signals that the server handles are blocked
 * except in server_wait, so none is missed between the look at its flag and the sleep. They stay
 * blocked in children that echo, so a signal to all processes of the server, such as Ctrl-C, ends
 * none of them. At SIGHUP the program on disk takes over this process, by exec, with all its
 * children (upgrade/upgrade.h).
 *
 * What fails, and what becomes of the client:
 *
 *   accept   The process or the system has no descriptor left (EMFILE, ENFILE), or no memory: the
 *            client stays in the kernel's queue, connected and not served. The gate closes, one
 *            line is logged for all failures that follow on each other, and the parent accepts
 *            again when a child has ended, which may have freed what was lacking, or a pause of
 *            0.05 to 1 s is over, which server_wait waits out. It neither spins nor ends. The same
 *            while memory is short, or the kernel has just ended a process of ours for want of it.
 *   fork     The client is held: the parent keeps its socket, accepts nobody else, and forks for it
 *            when a child has ended or the pause is over; a stop that ends children refuses it.
 *
 * What a compromised child may do. It runs as the parent's user, and unless that is root without
 * the right to open, fork or, except for the log with -vv, write files (process/confine.h). It has
 * its client, the standard descriptors, the ledger, and the parent's memory as it was at the fork,
 * but for the table of clients (on Linux). So it can
 *   - lie on the ledger, fill it, and clear O_NONBLOCK, which all its writers share: see reaper.h;
 *   - write to standard error where that is no file, and signal the parent and the other children,
 *     so that they end, as any process of that user can: a user of the server's own (-u) keeps
 *     other services out of its reach.
 * It cannot reach another client's socket or a listener. Where its user cannot read the program, as
 * it is installed (mode 711), Linux does not let it trace the parent either, or read its memory.
 *
 * System calls a connection with -v off, one listener, one client at a time, glibc (held by
 * tests/behaviour/test_costs.py; a busy parent reaps several children for one SIGCHLD; the sweep of
 * reaper.h, once a second, is not among them):
 *
 *   parent  2 pselect6, 1 rt_sigpending, 1 accept, 1 clone, 1 close, 1 rt_sigreturn,
 *           1 read, 1 wait4, 2 write
 *   child   1 set_robust_list, 2 dup2, 1 close_range, 4 prlimit64,
 *           2 read, 2 write, 1 close, 1 getpid, 1 exit_group
 *
 * Read next: reaper.h, session.h for the echo, and server/server.h for what all servers of the
 * family do alike, whatever their model. main.c calls serve() when all is set up.
 */
#include "base/clock.h"
#include "fork/program.h"
#include "fork/reaper.h"
#include "fork/status.h"
#include "platform/platform.h"
#include "process/confine.h"
#include "process/log.h"
#include "process/title.h"
#include "server/serve.h"
#include "upgrade/upgrade.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

/* What a child is given. */
struct child_args {
    const struct options *options; /* what to do for its client: an echo, or a program */
    size_t connections;            /* for a program: how many of its source are live */
    char *buffer;                  /* for the session */
    int ledger;                    /* the write end */
    char from[ADDRESS_TEXT_MAX];   /* its client as text, for its title */
    char title[TITLE_MAX];         /* where the parent's title lies, and then its own (title.h) */
    char small[MESSAGE_SIZE_MAX];  /* a buffer that begins where the child writes anyway */
};

/* ---- the child ---- */

/* The whole life of a child. Its exit status is how the session ended, also where the ledger could
 * not take the record. */
static _Noreturn void run_child(const struct child_args *args, const struct client *client)
{
    const bool logs = log_shows(LOG_MESSAGES); /* what its client sends (-vv) */
    int kept[3] = {client->descriptor, args->ledger}; /* and room for the log's */
    struct session session;
    struct record record;

    if (args->options->command != NULL)
        program_run(args->options, client, args->connections, args->buffer, args->ledger);
    (void)confine_descriptors(kept, 2, logs);
    title_set(args->from);
    confine_child(logs, 0);
    session_open(&session, &args->options->service, kept[0], &client->peer, args->buffer);
    session_run(&session);
    /* With -C, which limits the clients of one address, a source, the exit closes it, after the
     * record. Else a client who sees that his connection is over, and comes again at once, could be
     * refused, as this one would still count. */
    if (args->options->max_per_source == 0)
        close(session.descriptor);
    record = ledger_exit_record(getpid(), &session);
    (void)ledger_write(kept[1], &record);
    _exit((int)session.ending);
}

/* ---- the parent ---- */

static void start_child(struct server *server, struct child_args *args, const struct client *client)
{
    pid_t pid;

    if (server->options->command != NULL)
        args->connections = children_from(server->children, &client->peer) + 1;
    peer_text(&client->peer, args->from); /* here: the code for it costs a child page faults */
    pid = platform_fork();
    if (pid == 0)
        run_child(args, client);
    if (pid == -1) {
        server_hold(server, client, "fork");
        return;
    }
    close(client->descriptor);
    server_began(server, pid, client);
}

/* One turn of the loop, after a wait. */
static void turn(struct server *server, struct child_args *args)
{
    struct client client;

    reaper_turn(server);
    status_turn(server);            /* monitors that ask (-S) */
    server_handle_requests(server); /* the status line, an upgrade, what a stop asks of children */
    while (server_accept(server, &client))
        start_child(server, args, &client);
    program_turn(server); /* ends those whose time is over */
    upgrade_turn(server);
}

static int serve(struct server *server)
{
    struct child_args args; /* not initialized: fork copies what the parent has written */

    args.options = server->options;
    args.buffer = session_only_buffer(&server->options->service, args.small);
    if (args.buffer == NULL || reaper_open(server) == -1) {
        log_error("cannot set up the ledger and a buffer: %s", strerror(errno));
        return -1;
    }
    args.ledger = server->ledger.write_end;
    if (program_open(server) == -1)
        return -1;
    if (server->options->command == NULL && !log_shows(LOG_MESSAGES) &&
        session_only_calls(&server->options->service))
        platform_withhold_memory();
    title_open(server->options->program, args.title);
    if (server_announce(server) == -1)
        return -1;
    while (server_running(server) || upgrade_tester() != 0) {
        const double times[] = {reaper_due(), program_due(), upgrade_due()};
        status_wait(server, clock_earliest(times, sizeof times / sizeof times[0]));
        turn(server, &args);
    }
    status_turn(server); /* ends those that still answer */
    title_open(server->options->program, NULL);
    return 0;
}

const struct serve_model serve_model = {
    .program = "forkecho",
    .operands = "[-- program [argument]...]",
    .about = "TCP echo server (RFC 862), or any program; a child process for each connection.",
    .serve = serve,
    .answers_monitors = true,
    .read_records = reaper_catch_up,
    .reap_all = reaper_reap_all,
    .upgrade = upgrade_begin,
};
