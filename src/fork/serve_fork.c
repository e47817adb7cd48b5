/*
 * serve_fork.c: a child process for each client. The heart of forkecho.
 *
 * The parent accepts, forks, registers the child and closes its own copy of the client's
 * socket. The child closes what is not its business, echoes until its client has finished,
 * signs off on the ledger (ledger.h) and exits. SIGCHLD tells the parent to look:
 *
 *   reap   each pid that the ledger names, by waitpid(pid). One that has signed off but is
 *          not quite gone is kept on a short list for the next SIGCHLD.
 *   sweep  waitpid(-1), for a child that died without signing off: at once when a SIGCHLD
 *          has no other explanation, else within SWEEP_PERIOD, since signals merge and a
 *          crash may hide behind a child that signed off. Its cost is linear in the live
 *          children, but it is paid at most once a period, and in portions.
 *
 * Reaping so costs the same with one live child and with ten thousand, and no zombie lives
 * longer than about a second, whatever killed it.
 *
 * Signals are blocked except in server_wait, so a child is registered before its SIGCHLD
 * can be heeded, and no child can run a handler of the parent's.
 *
 * System calls a connection with -v off, one listener, one client at a time, glibc (held by
 * tests/behaviour/test_costs.py; a busy parent reaps several children for one SIGCHLD):
 *
 *   parent  2 pselect6, 1 rt_sigpending, 1 accept, 1 clone, 1 close, 1 rt_sigreturn,
 *           1 read, 1 wait4
 *   child   1 set_robust_list, 3 close, 1 rt_sigaction, 1 rt_sigprocmask, 4 prlimit64, 2 read,
 *           2 write, 1 getpid, 1 exit_group
 *
 * The child's closes are the listener, the read end of the ledger and its client; none of
 * the rest can be spared: set_robust_list is libc's, and getpid is what waitpid will need.
 *
 * Read next: server.h for the gate, session.h for the echo, children.h for the table.
 */
#include "base/clock.h"
#include "platform/platform.h"
#include "process/confine.h"
#include "process/log.h"
#include "process/signals.h"
#include "process/title.h"
#include "server/serve.h"
#include "upgrade/upgrade.h"

#include <errno.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#define SWEEP_PERIOD 1.0 /* seconds within which a child that died unsigned is found */
#define LEDGER_PORTION 2048 /* records read in one turn: more than a pipe of 64 KiB holds */
#define SWEEP_PORTION 256 /* children reaped by one sweep; the next turn goes on */

/* Children that signed off and had not yet exited when the parent looked: about as many as
 * processors. What does not fit is left to the sweep. */
#define LEAVING_MAX 256

/* What is aligned to this in serve() makes all frames below it begin on a fresh page: what
 * parent and child do around a fork then dirties one page of the stack, wherever the kernel
 * has put the stack, and costs each one page fault. */
#define STACK_PAGE 4096

/* A child that has signed off and was not gone when the parent looked. It is looked for again at
 * each SIGCHLD until the sweep is due that finds it anyway: it may never have meant to leave,
 * for a subverted child can sign off for another. */
struct leaving {
    pid_t pid;
    double until;
};

/* What the parent needs for reaping; in private memory, as its pages change all the time. */
struct reaper {
    struct ledger ledger;
    struct leaving leaving[LEAVING_MAX];
    size_t leaving_count;
    unsigned long reaped; /* in all */
    bool late_signal; /* the last reaping may have taken a child before its own SIGCHLD */
    double sweep_at;  /* when to sweep; 0: no child can be dead and unknown */
    struct upgrade upgrade;
};

/* What a child starts with. Nothing else of the parent's memory is its business. */
struct birth {
    const struct service *service;
    int ledger;   /* the write end; all descriptors from 3 to below it are the parent's alone */
    char *buffer; /* for the session */
    bool logs;    /* it writes to the log, as -vv has it */
    bool per_source; /* sources have a limit (-C) */
    int upgrade;  /* a descriptor of an upgrade that is under way; 0: none */
    char *title;  /* how the next child is to be called, of TITLE_MAX characters */
};

/* ---- the child ---- */

/* Closes all that is not the child's: what lies below the ledger's write end. A client may lie
 * there too, where something was closed since the start (-d: the way to who started it). */
static void close_others(int ledger, int client)
{
    int first = STDERR_FILENO + 1;

    if (client < ledger) {
        if (client > first)
            platform_close_range(first, client - 1);
        first = client + 1;
    }
    if (first < ledger)
        platform_close_range(first, ledger - 1);
}

/* The whole life of a child. Its exit status tells how the session ended also where the
 * ledger could not. */
static _Noreturn void live(const struct birth *birth, const struct client *client)
{
    struct session session;

    close_others(birth->ledger, client->descriptor);
    if (birth->upgrade > 0)
        close(birth->upgrade);
    signals_child();
    title_take(birth->title);
    confine_child(birth->logs, 0);
    session_open(&session, birth->service, client->descriptor, &client->peer, birth->buffer);
    session_run(&session);
    /* With -C the exit closes it: a client who knows that this connection is over, and comes again
     * at once, is not to find it counted. Without, the client waits for nothing. */
    if (!birth->per_source)
        close(client->descriptor);
    (void)ledger_write_exit(birth->ledger, getpid(), &session);
    _exit((int)session.ending);
}

/* ---- the parent ---- */

static void begin_child(struct server *server, struct birth *birth, const struct client *client)
{
    char from[ADDRESS_TEXT_MAX];
    pid_t pid;

    title_compose(birth->title, peer_text(&client->peer, from));
    pid = platform_fork();
    if (pid == 0)
        live(birth, client);
    if (pid == -1) {
        server_hold(server, client, "fork");
        return;
    }
    close(client->descriptor);
    server_began(server, pid, client);
}

/* waitpid without waiting: a pid, 0 when there is nothing to reap now, -1 when there is no
 * such child. */
static pid_t try_wait(pid_t pid, int *status)
{
    pid_t reaped;

    do
        reaped = waitpid(pid, status, WNOHANG);
    while (reaped == -1 && errno == EINTR);
    return reaped;
}

/* A child was reaped: the last that is heard of it. */
static void bury(struct server *server, struct reaper *reaper, struct child *child, int status)
{
    bool crashed = WIFSIGNALED(status) && !child->exit_recorded;

    if (!child->exit_recorded)
        child->ending = WIFEXITED(status) ? WEXITSTATUS(status) : (int)SESSION_ERROR;
    server_ended(server, child, crashed ? WTERMSIG(status) : 0);
    reaper->reaped++;
}

/* Has a sweep find within the period what nothing else does. */
static void plan_sweep(struct reaper *reaper, double now)
{
    if (reaper->sweep_at <= 0)
        reaper->sweep_at = now + SWEEP_PERIOD;
}

/* Reaps those that have signed off, as far as they have exited. */
static void reap_leaving(struct server *server, struct reaper *reaper)
{
    double now = reaper->leaving_count > 0 ? clock_seconds() : 0;
    size_t kept = 0;

    for (size_t i = 0; i < reaper->leaving_count; i++) {
        struct leaving leaving = reaper->leaving[i];
        int status;
        pid_t reaped = try_wait(leaving.pid, &status);
        struct child *child = children_find(server->children, leaving.pid);
        if (reaped == 0 && now < leaving.until)
            reaper->leaving[kept++] = leaving;
        else if (reaped == 0)
            plan_sweep(reaper, now);
        else if (child != NULL) /* -1: somebody else has reaped it; it is gone all the same */
            bury(server, reaper, child, reaped > 0 ? status : 0);
    }
    reaper->leaving_count = kept;
}

/* Notes who has signed off; each of them is about to exit, or has. As much as the pipe can
 * hold and no more: a subverted child could go on writing as fast as this reads. */
static void read_ledger(struct server *server)
{
    struct reaper *reaper = server->own;
    struct record record;
    int portion = LEDGER_PORTION;

    while (portion-- > 0 && ledger_read(&reaper->ledger, &record)) {
        if (server_exit_recorded(server, &record) == NULL)
            continue;
        if (reaper->leaving_count == LEAVING_MAX)
            reap_leaving(server, reaper);
        if (reaper->leaving_count < LEAVING_MAX)
            reaper->leaving[reaper->leaving_count++] =
                (struct leaving){(pid_t)record.id, clock_seconds() + SWEEP_PERIOD};
    }
    if (reaper->ledger.junk > 0)
        log_error("ignored %lu bytes on the ledger that are no record", reaper->ledger.junk);
    if (portion < 0 || reaper->ledger.junk >= LEDGER_JUNK_MAX)
        reaper->sweep_at = clock_seconds();
    reaper->ledger.junk = 0;
}

/* The pid may be given to another child now. */
static void forget_leaving(struct reaper *reaper, pid_t pid)
{
    for (size_t i = 0; i < reaper->leaving_count; i++)
        if (reaper->leaving[i].pid == pid)
            reaper->leaving[i] = reaper->leaving[--reaper->leaving_count];
}

/* Reaps whatever has died, up to a portion. Returns whether there may be more. */
static bool sweep(struct server *server, struct reaper *reaper)
{
    size_t swept = 0;
    pid_t pid = 0;
    int status;

    while (swept < SWEEP_PORTION && (pid = try_wait(-1, &status)) > 0) {
        struct child *child = children_find(server->children, pid);
        if (upgrade_reaped(&reaper->upgrade, pid, status))
            continue;
        /* It may have signed off since the ledger was read; what it said is there by now. */
        if (child != NULL && !child->exit_recorded) {
            read_ledger(server);
            /* That may have made room among the leaving, and so buried this one. */
            child = children_find(server->children, pid);
        }
        forget_leaving(reaper, pid);
        /* Process 1 is handed the orphans of others: they are reaped, and that is all. */
        if (child != NULL)
            bury(server, reaper, child, status);
        swept++;
    }
    reaper->sweep_at = swept == SWEEP_PORTION ? clock_seconds() : 0;
    /* Whose children cannot be waited for tries again: no SIGCHLD will tell of them once more. */
    if (pid == -1 && children_live(server->children) > 0)
        plan_sweep(reaper, clock_seconds());
    return swept == SWEEP_PORTION;
}

/* Reaps all that has died. Returns how many children of ours that were. */
static size_t sweep_all(struct server *server)
{
    struct reaper *reaper = server->own;
    unsigned long before = reaper->reaped;

    while (sweep(server, reaper))
        continue;
    return reaper->reaped - before;
}

/* The one child that is not a client's: it would wait for a sweep otherwise. One that cannot be
 * waited for (-1) is gone all the same, and its answer says the rest: no upgrade is on for ever. */
static void reap_tester(struct upgrade *upgrade)
{
    int status = 0;

    if (upgrade->tester != 0 && !upgrade->ended && try_wait(upgrade->tester, &status) != 0)
        (void)upgrade_reaped(upgrade, upgrade->tester, status);
}

/*
 * A SIGCHLD came. Where it explains itself by the ledger, a crash may still have merged
 * with it: a sweep is due within the period. Where it does not, either its child was
 * reaped before the signal was looked at (it can be pending once), or it died unsigned.
 */
static void heed_child_signal(struct server *server, struct reaper *reaper)
{
    unsigned long before = reaper->reaped;

    reap_tester(&reaper->upgrade);
    read_ledger(server);
    reap_leaving(server, reaper);
    /* Where children are being killed, each SIGCHLD may hide one that died unsigned. */
    if ((reaper->reaped == before && !reaper->late_signal) ||
        server->stop.phase >= SERVER_TERMINATING)
        sweep(server, reaper);
    else
        plan_sweep(reaper, clock_seconds());
    reaper->late_signal = reaper->reaped != before;
}

static void begin_upgrade(struct server *server)
{
    struct reaper *reaper = server->own;

    upgrade_begin(&reaper->upgrade, server, &reaper->ledger);
}

/* Has children close the upgrade's descriptor. A page that they share is left alone. */
static void note_upgrade(const struct reaper *reaper, struct birth *birth)
{
    if (birth->upgrade != reaper->upgrade.said)
        birth->upgrade = reaper->upgrade.said;
}

/* One turn of the loop, after a wait. */
static void turn(struct server *server, struct reaper *reaper, struct birth *birth)
{
    struct client client;

    if (signals_take(SIGCHLD))
        heed_child_signal(server, reaper);
    if (reaper->sweep_at > 0 && clock_seconds() >= reaper->sweep_at)
        sweep(server, reaper);
    server_handle_requests(server);
    note_upgrade(reaper, birth);
    while (server_accept(server, &client))
        begin_child(server, birth, &client);
    if (reaper->upgrade.ended)
        read_ledger(server);
    upgrade_settle(&reaper->upgrade, server, &reaper->ledger);
    note_upgrade(reaper, birth);
}

/* Opens the ledger. The listeners are open, and nothing else is: so its write end is above
 * all that a child has to close, and clients' descriptors come above it, or in the place of
 * something that was closed. */
static struct reaper *open_reaper(const struct server *server)
{
    struct reaper *reaper = platform_private_memory(sizeof *reaper);

    if (reaper == NULL)
        return NULL;
    if (server->earlier.any) {
        ledger_adopt(&reaper->ledger, server->earlier.ledger_read, server->earlier.ledger_write);
        reaper->sweep_at = clock_seconds(); /* whoever ended meanwhile, signed off or not */
        return reaper;
    }
    return ledger_open(&reaper->ledger, LEDGER_GIVES_UP) == 0 ? reaper : NULL;
}

/* Serves until told to stop. A function of its own, so that the titles lie in the one page of
 * the stack that parent and child write to anyway (STACK_PAGE). */
__attribute__((noinline)) static int serve_clients(struct server *server, struct reaper *reaper,
                                                   struct birth *birth)
{
    char own_title[TITLE_MAX], child_title[TITLE_MAX];
    int outcome;

    title_open(server->options->program, own_title);
    birth->title = child_title;
    outcome = server_announce(server);
    while (outcome == 0 && (server_running(server) || upgrade_is_on(&reaper->upgrade))) {
        server_wait(server, clock_earlier(reaper->sweep_at, upgrade_due(&reaper->upgrade)));
        turn(server, reaper, birth);
    }
    birth->title = NULL;
    title_open(server->options->program, NULL);
    return outcome;
}

static int serve(struct server *server)
{
    struct reaper *reaper = open_reaper(server);
    _Alignas(STACK_PAGE) struct birth birth = {
        .service = &server->options->service,
        .buffer = session_only_buffer(&server->options->service),
        .logs = log_shows(LOG_MESSAGES),
        .per_source = server->options->max_per_source > 0,
    };
    int outcome;

    if (reaper == NULL || birth.buffer == NULL) {
        log_error("cannot set up the ledger and a buffer: %s", strerror(errno));
        return -1;
    }
    birth.ledger = reaper->ledger.write_end;
    if (session_only_calls(birth.service) && !birth.logs)
        platform_keep_from_children();
    server->own = reaper;
    outcome = serve_clients(server, reaper, &birth);
    ledger_close(&reaper->ledger);
    return outcome;
}

const struct serve_model serve_model = {
    .program = "forkecho",
    .about = "TCP echo server (RFC 862): one child process for each connection.",
    .capacity = (size_t)-1,
    .serve = serve,
    .read_records = read_ledger,
    .reap_all = sweep_all,
    .upgrade = begin_upgrade,
};
