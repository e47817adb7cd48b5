/* reaper.c: see reaper.h. */
#include "fork/reaper.h"

#include "base/clock.h"
#include "platform/platform.h"
#include "process/log.h"
#include "process/signals.h"
#include "upgrade/upgrade.h"

#include <errno.h>
#include <sys/wait.h>

#define RECORDS_PORTION 2048 /* read in one turn: more than a pipe of 64 KiB holds */
#define EXITING_MAX 1.0      /* seconds that a child may take from its exit record to its exit */
#define YOUNG_MAX 256        /* children: about as many as begin while one of them is dying */
#define YOUNG_PERIOD 0.05    /* seconds */
#define SWEEP_PERIOD 1.0     /* seconds */
#define SWEEP_PORTION 512    /* children asked for in one turn: some 20 ms if all are dead */

/* In private memory (platform.h): else the parent, which writes to it for each child, would pay for
 * a copy of the page each time. */
static struct reaper {
    struct child *exiting; /* who has written an exit record: linked by exiting_next */
    struct child *asked;   /* how far the sweep is: the next to ask for; NULL: none is under way */
    double young_at;       /* when to ask for the young; 0: not planned */
    double young_last;     /* when that was done last */
    double sweep_at;       /* when to sweep; 0: not planned */
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
    if (server->ledger.write_end <= 0)
        return ledger_open(&server->ledger, LEDGER_GIVES_UP);
    /* After an upgrade: whose records have been read, and whoever died meanwhile. */
    for (struct child *each = children_oldest(server->children); each != NULL; each = each->younger)
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
    unlist_exiting(child);
    if (reaper->asked == child)
        reaper->asked = child->older;
    server_ended(server, child, signal);
}

/* Asks the kernel for one child, and reaps it where it has died. Returns whether it is gone. */
static bool ask_for(struct server *server, struct child *child)
{
    int status = 0;
    pid_t found = try_wait((pid_t)child->id, &status);
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

    for (struct child *child = reaper->exiting; child != NULL; child = next) {
        next = child->exiting_next;
        if (!ask_for(server, child) && now >= child->exiting_until)
            unlist_exiting(child);
    }
}

static void ask_for_young(struct server *server)
{
    struct child *child = children_youngest(server->children), *older;

    for (int i = 0; i < YOUNG_MAX && child != NULL; i++, child = older) {
        older = child->older;
        (void)ask_for(server, child);
    }
    reaper->young_at = 0;
    reaper->young_last = clock_seconds();
}

/* Reaps children of this process that are none of ours: process 1 is handed the orphans of others,
 * and whoever became this server by exec may have left it some. Returns whether another is dead:
 * a child of the server, or the program under test. Linear in the live children. */
static bool reap_strangers(const struct server *server)
{
    siginfo_t zombie = {.si_pid = 0};
    int status = 0;

    while (waitid(P_ALL, 0, &zombie, WEXITED | WNOHANG | WNOWAIT) == 0) {
        if (zombie.si_pid == 0)
            return false;
        if (children_find(server->children, zombie.si_pid) != NULL ||
            zombie.si_pid == upgrade_tester() ||
            try_wait(zombie.si_pid, &status) != zombie.si_pid)
            return true;
        zombie.si_pid = 0; /* where there is none, some systems leave it as it was */
    }
    return true; /* not known: whoever fails here is asked for by pid */
}

/* Reads the ledger, and asks for a portion of all children where one is dead. The portion after the
 * last begins anew with the youngest. */
static void sweep(struct server *server)
{
    reaper->sweep_at = 0;
    reaper_read_records(server);
    reap_exiting(server);
    if (reaper->asked == NULL && reap_strangers(server))
        reaper->asked = children_youngest(server->children);
    if (reaper->asked == NULL)
        return;
    for (int i = 0; i < SWEEP_PORTION && reaper->asked != NULL; i++) {
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

void reaper_turn(struct server *server)
{
    unsigned long long before = server->statistics.ended;

    if (signals_take(SIGCHLD)) {
        reaper_read_records(server);
        reap_exiting(server);
        if (server->statistics.ended == before && reaper->young_at <= 0)
            reaper->young_at = reaper->young_last + YOUNG_PERIOD; /* often over already */
        /* Children that are being killed leave no records. */
        plan_sweep(server->stop.phase >= SERVER_TERMINATING ? 0 : SWEEP_PERIOD);
    }
    /* Children that cannot write their records do not exit, and send no SIGCHLD. */
    if (children_live(server->children) > 0)
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
