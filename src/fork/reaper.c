/* reaper.c: see reaper.h. */
#include "fork/reaper.h"

#include "base/clock.h"
#include "fork/status.h"
#include "platform/platform.h"
#include "process/log.h"
#include "process/signals.h"
#include "upgrade/upgrade.h"

#include <errno.h>
#include <limits.h>
#include <sys/wait.h>

/* Read in one turn: all that the ledger holds. */
#define RECORDS_PORTION (LEDGER_SIZE / (int)sizeof(struct record))
#define EXITING_MAX 1.0      /* seconds that a child may take from its exit record to its exit */
#define YOUNG_MAX 256        /* children: about as many as begin while one of them is dying */
#define YOUNG_PERIOD 0.01    /* seconds */
#define SWEEP_PERIOD 1.0     /* seconds */
#define SWEEP_PERIOD_SOON 0.1 /* where others are likely to be dead, or a client waits for that */
#define FIRST_MAX 16         /* strangers, reaped by looks that are linear in the live ones */
#define PORTION 128 /* reaped at a time, up to three times a turn: 5 ms each (40 us a child) */

/* In private memory (platform.h): else the parent, which writes to it for each child, would pay for
 * a copy of the page each time. */
static struct reaper {
    struct child *exiting; /* who has written an exit record: linked by exiting_next */
    struct child *asked;   /* how far the sweep is: the next to ask for; NULL: none is under way */
    double young_at;       /* when to ask for the young; 0: not planned */
    double young_last;     /* when that was done last */
    double sweep_at;       /* when to sweep; 0: not planned */
    bool walks;            /* waitpid(pid) takes as long as waitpid(-1): platform.h */
} *reaper;

static void list_exiting(struct child *child)
{
    child->exiting_until = clock_seconds() + EXITING_MAX;
    child->exiting_next = reaper->exiting;
    reaper->exiting = child;
}

int reaper_open(struct server *server)
{
    reaper = platform_private_memory(sizeof *reaper);
    if (reaper == NULL)
        return -1;
    reaper->walks = !platform_waits_by_pid();
    if (server->ledger.write_end <= 0)
        return ledger_open(&server->ledger, LEDGER_GIVES_UP);
    /* After an upgrade: whose records have been read, and whoever died meanwhile. */
    for (struct child *each = server->children->oldest; each != NULL; each = each->younger)
        if (each->exit_recorded)
            list_exiting(each);
    reaper->sweep_at = clock_seconds();
    return 0;
}

static void plan_sweep(double seconds)
{
    double time = clock_seconds() + seconds;

    if (reaper->sweep_at <= 0 || time < reaper->sweep_at)
        reaper->sweep_at = time;
}

/* Returns the pid; 0 while the child lives; -1 when there is no such child of ours. */
static pid_t try_wait(pid_t pid, int *status)
{
    pid_t reaped;

    do
        reaped = waitpid(pid, status, WNOHANG);
    while (reaped == -1 && errno == EINTR);
    return reaped;
}

static void unlist_exiting(struct child *child)
{
    struct child **link = &reaper->exiting;

    while (*link != NULL && *link != child)
        link = &(*link)->exiting_next;
    if (*link != NULL)
        *link = child->exiting_next;
}

/* What a program that was told to end has started is not to outlive it. Until it is waited for, its
 * pid is the number of its group alone. */
static void end_group(const struct child *child)
{
    siginfo_t zombie = {.si_pid = 0};

    if (waitid(P_PID, (id_t)child->id, &zombie, WEXITED | WNOHANG | WNOWAIT) == 0 &&
        zombie.si_pid != 0)
        signals_send_group((pid_t)child->id, SIGKILL);
}

/* waitpid has returned it: the last that is heard of a child. */
static void reap_child(struct server *server, struct child *child, int status)
{
    int signal = 0;

    /* Its record may have come since the ledger was read; it is there by now. */
    if (!child->exit_recorded)
        reaper_read_records(server);
    if (!child->exit_recorded && WIFSIGNALED(status))
        signal = WTERMSIG(status);
    else if (!child->exit_recorded)
        child->ending = WEXITSTATUS(status);
    /* What killed it, or kept an echo from its record, may have met many; few signals tell. */
    if (!child->exit_recorded && (signal != 0 || server->options->command == NULL))
        plan_sweep(SWEEP_PERIOD_SOON);
    unlist_exiting(child);
    if (reaper->asked == child)
        reaper->asked = child->older;
    server_ended(server, child, signal);
}

/* Asks the kernel for one child, and reaps it where it has died. Returns whether it is gone. */
static bool ask_for(struct server *server, struct child *child)
{
    int status = 0;
    pid_t found;

    if (server->options->command != NULL && child->stop_signal != 0)
        end_group(child);
    found = try_wait((pid_t)child->id, &status);
    /* -1: somebody else has reaped one that was exiting. It is gone all the same. */
    bool gone = found > 0 || (found == -1 && child->exit_recorded);

    if (gone)
        reap_child(server, child, found > 0 ? status : 0);
    else if (found == -1)
        plan_sweep(SWEEP_PERIOD / 5); /* to ask again: no SIGCHLD will say so */
    return gone;
}

void reaper_read_records(struct server *server)
{
    struct record record;
    struct child *child;
    int portion = RECORDS_PORTION;

    while (portion-- > 0 && ledger_read(&server->ledger, &record))
        if ((child = server_exit_recorded(server, &record)) != NULL)
            list_exiting(child);
    if (server->ledger.junk > 0)
        log_error("ignored %lu bytes on the ledger that are no record", server->ledger.junk);
    if (portion < 0 || server->ledger.junk >= LEDGER_JUNK_MAX)
        plan_sweep(0); /* there may be more, and no SIGCHLD will say so */
    server->ledger.junk = 0;
}

/* Reaps those that are exiting, as far as they are gone. One that should be gone for long is left
 * to the sweep: the record may have been somebody else's lie. */
static void reap_exiting(struct server *server)
{
    double now = clock_seconds();
    struct child *next;
    int portion = PORTION;

    for (struct child *child = reaper->exiting; child != NULL && portion > 0; child = next) {
        next = child->exiting_next;
        if (ask_for(server, child))
            portion--;
        else if (now >= child->exiting_until)
            unlist_exiting(child);
    }
    if (portion == 0)
        plan_sweep(0); /* there may be more, and no SIGCHLD will say so */
}

/* One that died and is none of the server's: process 1 is handed the orphans of others, and whoever
 * became this server by exec may have left it some. Returns whether it was reaped; the program
 * under test is not, here. */
static bool reap_stranger(pid_t pid)
{
    int status = 0;

    if (pid == upgrade_tester() || try_wait(pid, &status) != pid)
        return false;
    status_forget(pid);
    return true;
}

/* Reaps the first that have died: strangers, at most so many, and one of ours, or all where the
 * others cannot be asked for by pid. Returns whether one of ours was among them; true also where it
 * is not known. Each is linear in the live children, as for waitpid(-1). */
static bool reap_first(struct server *server, int most)
{
    while (most-- > 0) {
        siginfo_t zombie = {.si_pid = 0}; /* where there is none, some systems leave it so */
        if (waitid(P_ALL, 0, &zombie, WEXITED | WNOHANG | WNOWAIT) == -1)
            return true;
        if (zombie.si_pid == 0)
            return false;
        struct child *child = children_find(server->children, zombie.si_pid);
        if (child != NULL ? !ask_for(server, child) : !reap_stranger(zombie.si_pid))
            return true;
        if (child != NULL && !reaper->walks)
            return true;
    }
    plan_sweep(0); /* there may be more, and no SIGCHLD will say so */
    return false;
}

static void ask_for_young(struct server *server)
{
    struct child *child = server->children->youngest, *older;
    size_t before = server->children->live;

    if (reaper->walks)
        (void)reap_first(server, INT_MAX);
    for (int i = 0; !reaper->walks && i < YOUNG_MAX && child != NULL; i++, child = older) {
        older = child->older;
        (void)ask_for(server, child);
    }
    /* Where many end at once, those behind them are as likely to be dead. */
    bool many = server->children->live + YOUNG_MAX / 2 <= before;
    reaper->young_last = clock_seconds();
    reaper->young_at = many ? reaper->young_last : 0;
}

/* Reads the ledger, and asks for a portion of all children where one is dead. The portion after the
 * last begins anew with the youngest. */
static void sweep(struct server *server)
{
    reaper->sweep_at = 0;
    reaper_read_records(server);
    reap_exiting(server);
    if (reaper->asked == NULL && reap_first(server, reaper->walks ? INT_MAX : FIRST_MAX) &&
        !reaper->walks)
        reaper->asked = server->children->youngest;
    if (reaper->asked == NULL)
        return;
    for (int i = 0; i < PORTION && reaper->asked != NULL; i++) {
        struct child *child = reaper->asked;
        if (!ask_for(server, child) && reaper->asked == child)
            reaper->asked = child->older;
    }
    /* At its end it is to look again: one that was passed alive may have died meanwhile, and its
     * SIGCHLD have planned no sweep, as this one was under way. */
    plan_sweep(reaper->asked != NULL ? 0 : SWEEP_PERIOD);
}

size_t reaper_reap_all(struct server *server)
{
    unsigned long long before = server->statistics.ended;

    reaper->asked = NULL; /* those that a sweep has passed may have died since */
    do
        sweep(server);
    while (reaper->asked != NULL);
    return (size_t)(server->statistics.ended - before);
}

/* Those that a SIGCHLD is about, by an exit record or as its sender. */
static void reap_announced(struct server *server)
{
    struct child *child;
    pid_t pid;

    reaper_read_records(server);
    reap_exiting(server);
    while ((pid = signals_take_child()) != 0)
        if ((child = children_find(server->children, pid)) != NULL)
            (void)ask_for(server, child);
        else if (server->options->command != NULL) /* an echo whose record was read is gone */
            (void)reap_stranger(pid);
}

void reaper_catch_up(struct server *server)
{
    if (server->options->command == NULL) {
        reaper_read_records(server);
        return;
    }
    reap_announced(server);
    if (clock_seconds() >= reaper->young_last + YOUNG_PERIOD)
        ask_for_young(server);
}

/* Whether to ask for the young after a SIGCHLD: at once where nobody was found and no client can
 * come in for want of a slot, else once a period, which often is over already. An echo that ends by
 * itself has said so. */
static void plan_young(struct server *server, bool found)
{
    if (!found && server->children->live >= server->options->max_connections)
        ask_for_young(server);
    else if (!found || server->options->command != NULL)
        reaper->young_at = reaper->young_last + YOUNG_PERIOD;
}

/* How long after a SIGCHLD. Children that are being killed leave no records. */
static double sweep_pause(const struct server *server, bool full)
{
    if (server->stop.phase >= SERVER_TERMINATING)
        return 0;
    return full && server->options->command != NULL ? SWEEP_PERIOD_SOON : SWEEP_PERIOD;
}

void reaper_turn(struct server *server)
{
    unsigned long long before = server->statistics.ended;
    bool full = server->children->live >= server->options->max_connections;

    if (signals_take(SIGCHLD)) {
        bool answered = status_reap();
        reap_announced(server);
        plan_young(server, answered || server->statistics.ended > before);
        plan_sweep(sweep_pause(server, full));
    }
    /* Children that cannot write their records do not exit, and send no SIGCHLD. */
    if (server->children->live > 0)
        plan_sweep(SWEEP_PERIOD);
    if (reaper->young_at > 0 && clock_seconds() >= reaper->young_at)
        ask_for_young(server);
    if (reaper->sweep_at > 0 && clock_seconds() >= reaper->sweep_at)
        sweep(server);
}

double reaper_due(void)
{
    return clock_earlier(reaper->young_at, reaper->sweep_at);
}
