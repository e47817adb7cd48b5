/* test_reaper_kernel.c: who has died (fork/reaper.h), of thousands of programs, by a kernel of ours:
 * signals merge, numbers come again, and each question is counted. */
#define _DEFAULT_SOURCE /* syscall */
#ifdef __linux__ /* elsewhere a process cannot send itself a signal that is like a child's */
#include "suite.h"

#include "base/clock.h"
#include "fork/reaper.h"
#include "process/log.h"
#include "process/signals.h"
#include "server/serve.h"

#include <sys/syscall.h>
#include <sys/utsname.h>

#define LIVE_MAX 12000
#define FIRST_PID 100000 /* no process of the test has such a number by chance */

/* ---- the kernel ---- */

enum state { NONE, ALIVE, ZOMBIE, KILLED }; /* a zombie as well, by SIGKILL */

static struct {
    bool on;                     /* from now on it is asked, and not the real one */
    enum state states[LIVE_MAX]; /* by pid, less FIRST_PID; the oldest first */
    size_t count;
    unsigned long asked, walked; /* questions for one, and steps over the list of all */
    const char *release;
} kernel = {.release = "6.1.0"};

static pid_t begin_process(void)
{
    ck_assert_uint_lt(kernel.count, LIVE_MAX);
    kernel.states[kernel.count] = ALIVE;
    return (pid_t)(FIRST_PID + kernel.count++);
}

static enum state *state_of(pid_t pid)
{
    bool known = pid >= FIRST_PID && (size_t)(pid - FIRST_PID) < kernel.count;

    return known && kernel.states[pid - FIRST_PID] != NONE ? &kernel.states[pid - FIRST_PID] : NULL;
}

pid_t waitpid(pid_t pid, int *status, int options)
{
    enum state *state = state_of(pid);

    if (!kernel.on)
        return (pid_t)syscall(SYS_wait4, pid, status, options, NULL);
    kernel.asked++;
    if (state == NULL) {
        errno = ECHILD;
        return -1;
    }
    if (*state == ALIVE)
        return 0;
    *status = *state == KILLED ? SIGKILL : 0;
    *state = NONE;
    return pid;
}

int waitid(idtype_t type, id_t id, siginfo_t *info, int options)
{
    if (!kernel.on)
        return (int)syscall(SYS_waitid, type, id, info, options, NULL);
    info->si_pid = 0;
    for (size_t i = 0; i < kernel.count; i++) {
        kernel.walked++;
        if (kernel.states[i] >= ZOMBIE && (type == P_ALL || id == FIRST_PID + i)) {
            info->si_pid = (pid_t)(FIRST_PID + i);
            break;
        }
    }
    return 0;
}

int uname(struct utsname *system)
{
    memset(system, 0, sizeof *system);
    strcpy(system->release, kernel.release);
    return 0;
}

/* A SIGCHLD, which is lost where one is pending, as the real kernel has it. */
static void send_child_signal(pid_t pid, int code)
{
    siginfo_t info;

    memset(&info, 0, sizeof info);
    info.si_signo = SIGCHLD;
    info.si_code = code;
    info.si_pid = pid;
    ck_assert_int_eq((int)syscall(SYS_rt_sigqueueinfo, getpid(), SIGCHLD, &info), 0);
}

static void die(pid_t pid)
{
    *state_of(pid) = ZOMBIE;
    send_child_signal(pid, CLD_EXITED);
}

/* ---- a server of programs ---- */

static const struct serve_model model = {.reap_all = reaper_reap_all};
static struct options options;
static struct pidfile pidfile;

static struct server *open_server(const char *most)
{
    static char number[16];
    static char *arguments[] = {"forkecho", "-c", number, "--", "true", NULL};
    struct server *server;

    strcpy(number, most);
    ck_assert_int_eq(options_read(&options, "forkecho", "[program]", "", 5, arguments),
                     OPTIONS_SERVE);
    log_open(LOG_NORMAL, -1);
    signals_open();
    server = server_open(&model, &options, &pidfile);
    ck_assert_ptr_nonnull(server);
    ck_assert_int_eq(reaper_open(server), 0);
    kernel.on = true;
    return server;
}

static void add(struct server *server, pid_t pid)
{
    struct client client = {.descriptor = -1, .peer = peer_at("192.0.2.1", 7)};

    ck_assert_ptr_nonnull(server_began(server, pid, &client));
}

static pid_t begin(struct server *server)
{
    pid_t pid = begin_process();

    add(server, pid);
    return pid;
}

/* One turn of the loop, after a wait of no time. */
static void turn(struct server *server)
{
    server_wait(server, clock_seconds());
    reaper_turn(server);
}

/* Turns until all zombies are reaped, which is to take `seconds` at most. */
static void turn_until_reaped(struct server *server, size_t live, double seconds)
{
    double start = clock_seconds();

    while (server->children->live > live) {
        server_wait(server, reaper_due());
        reaper_turn(server);
        ck_assert_msg(clock_seconds() < start + SUITE_TIMEOUT, "%zu live, not %zu",
                      server->children->live, live);
    }
    ck_assert_double_lt(clock_seconds() - start, seconds);
    for (size_t i = 0; i < kernel.count; i++)
        ck_assert_int_lt((int)kernel.states[i], ZOMBIE);
}

/* Catches an end that is found by looking at others: one SIGCHLD, one question. */
START_TEST(one_of_which_a_signal_tells_is_asked_for_alone)
{
    struct server *server = open_server("6000");
    pid_t oldest = begin(server);

    for (int i = 0; i < 5000; i++)
        begin(server);
    turn(server);
    kernel.asked = kernel.walked = 0;
    die(oldest);
    turn(server);
    ck_assert_uint_eq(server->children->live, 5000);
    ck_assert_uint_le(kernel.asked, 1 + 256);
    ck_assert_uint_eq(kernel.walked, 0);
}
END_TEST

/* Catches reaping that counts signals: of a hundred deaths one is told. */
START_TEST(those_whose_signals_merged_are_found_among_the_young)
{
    struct server *server = open_server("6000");
    pid_t young[100];

    for (int i = 0; i < 5000; i++)
        begin(server);
    for (int i = 0; i < 100; i++)
        young[i] = begin(server);
    turn(server);
    kernel.walked = 0;
    for (int i = 0; i < 100; i++)
        die(young[i]);
    turn_until_reaped(server, 5000, 0.5);
    ck_assert_uint_eq(kernel.walked, 0);
    ck_assert_uint_eq(server->statistics.ended, 100);
}
END_TEST

/* Catches one that is older than the young, and hides behind the signal of another for ever. */
START_TEST(an_old_one_whose_signal_merged_is_found_by_the_sweep)
{
    struct server *server = open_server("6000");
    pid_t old = begin(server), young = 0;

    for (int i = 0; i < 5000; i++)
        young = begin(server);
    die(young);
    die(old);
    turn_until_reaped(server, 4999, 5); /* a second; but the machine may be busy */
    ck_assert_ptr_null(children_find(server->children, old));
}
END_TEST

/* Catches thousands of zombies that wait a second for the sweep: they were killed at once, and the
 * signal tells of one. */
START_TEST(many_that_were_killed_are_found_soon)
{
    struct server *server = open_server("6000");
    pid_t old[3000];

    for (int i = 0; i < 3000; i++)
        old[i] = begin(server);
    for (int i = 0; i < 1000; i++)
        begin(server);
    turn(server);
    for (int i = 0; i < 3000; i++)
        *state_of(old[i]) = KILLED;
    send_child_signal(old[0], CLD_KILLED);
    turn(server);
    while (server->children->live > 1000) {
        unsigned long asked = kernel.asked;
        ck_assert_double_lt(reaper_due() - clock_seconds(), 0.2);
        server_wait(server, reaper_due());
        reaper_turn(server);
        ck_assert_uint_le(kernel.asked - asked, 1024); /* other work waits no longer */
    }
}
END_TEST

/* Catches a program that is taken for the one that had its number before. */
START_TEST(a_number_that_comes_again_is_another_program)
{
    struct server *server = open_server("100");
    pid_t pid = begin(server);

    *state_of(pid) = ZOMBIE; /* its signal is still to come */
    ck_assert_uint_eq(reaper_reap_all(server), 1);
    kernel.states[pid - FIRST_PID] = ALIVE;
    add(server, pid);
    send_child_signal(pid, CLD_EXITED);
    turn(server);
    ck_assert_uint_eq(server->children->live, 1);
    ck_assert_ptr_nonnull(state_of(pid));
    die(pid);
    turn_until_reaped(server, 0, 5);
    ck_assert_uint_eq(server->statistics.ended, 2);
}
END_TEST

/* Catches a stop that is taken for an end. */
START_TEST(one_that_is_stopped_is_live)
{
    struct server *server = open_server("100");
    pid_t pid = begin(server);

    send_child_signal(pid, CLD_STOPPED);
    turn(server);
    ck_assert_uint_eq(server->children->live, 1);
    ck_assert_uint_eq(reaper_reap_all(server), 0);
}
END_TEST

/* Catches a place under -c that stays taken by a zombie, while a client waits for it: its signal
 * came after it had been asked for as young, and so merged with one that told of nobody. */
START_TEST(one_is_found_at_once_when_there_is_no_slot)
{
    struct server *server = open_server("50");
    pid_t last = 0, stranger = begin_process();

    for (int i = 0; i < 50; i++)
        last = begin(server);
    die(last);
    turn(server); /* the young were asked for just now */
    last = begin(server);
    *state_of(last) = ZOMBIE;
    send_child_signal(stranger, CLD_EXITED); /* alive, and none of the server's */
    turn(server);
    ck_assert_uint_eq(server->children->live, 49);
}
END_TEST

/* Catches a client that waits a second for the place of one that is long dead: two died, and of one
 * the signal told, whose place another client has taken. */
START_TEST(an_old_one_is_found_soon_when_there_is_no_slot)
{
    struct server *server = open_server("400");
    pid_t old[] = {begin(server), begin(server)};

    while (server->children->live < 400)
        begin(server);
    die(old[0]);
    die(old[1]);
    turn(server);
    begin(server);
    while (state_of(old[1]) != NULL && server->children->live == 400) {
        ck_assert_double_gt(reaper_due(), 0);
        ck_assert_double_lt(reaper_due() - clock_seconds(), 0.2);
        server_wait(server, reaper_due());
        reaper_turn(server);
    }
    ck_assert_uint_eq(server->children->live, 399);
}
END_TEST

/* Catches orphans of programs that process 1 never reaps. */
START_TEST(strangers_are_reaped_by_their_signals)
{
    struct server *server = open_server("50");
    pid_t stranger = begin_process();

    begin(server);
    die(stranger);
    turn(server);
    ck_assert_ptr_null(state_of(stranger));
    ck_assert_uint_eq(server->statistics.ended, 0);
}
END_TEST

/* Catches a cost that grows with the live ones or a program reaped twice: ten thousand ends, some
 * fifty a turn, with one signal a turn. */
START_TEST(a_flood_of_ends_costs_a_bounded_number_of_questions)
{
    struct server *server = open_server("11000");

    for (int i = 0; i < 1000; i++)
        begin(server);
    turn(server);
    kernel.asked = kernel.walked = 0;
    double start = clock_seconds();
    for (int round = 0; round < 200; round++) {
        pid_t young[50];
        for (int i = 0; i < 50; i++)
            young[i] = begin(server);
        for (int i = 0; i < 50; i++)
            die(young[i]);
        turn(server);
    }
    turn_until_reaped(server, 1000, SUITE_TIMEOUT);
    double seconds = clock_seconds() - start;
    ck_assert_uint_eq(server->statistics.ended, 10000);
    /* One for each, 256 a hundredth of a second, and all once a second. */
    ck_assert_double_le((double)kernel.asked, 10000 + 256 * (seconds * 100 + 2) +
                                                  11000 * (seconds + 2));
    ck_assert_double_le((double)kernel.walked, 17 * 11000 * (seconds + 2));
}
END_TEST

/* Catches a question for one pid after the other where each walks all of them: before Linux 5.13
 * that would be worse than waitpid(-1). */
START_TEST(where_a_question_walks_all_are_asked_for_together)
{
    struct server *server;
    pid_t dead[20];

    kernel.release = "5.10.0-32-amd64";
    server = open_server("6000");
    for (int i = 0; i < 5000; i++) {
        pid_t pid = begin(server);
        if (i % 250 == 0)
            dead[i / 250] = pid;
    }
    turn(server);
    kernel.asked = 0;
    for (int i = 0; i < 20; i++)
        die(dead[i]);
    turn_until_reaped(server, 4980, 5);
    ck_assert_uint_le(kernel.asked, 21); /* each of them, when it is known to be dead */
}
END_TEST

SUITE("reaper_kernel", one_of_which_a_signal_tells_is_asked_for_alone,
      those_whose_signals_merged_are_found_among_the_young,
      an_old_one_whose_signal_merged_is_found_by_the_sweep,
      many_that_were_killed_are_found_soon, a_number_that_comes_again_is_another_program,
      one_that_is_stopped_is_live,
      one_is_found_at_once_when_there_is_no_slot, an_old_one_is_found_soon_when_there_is_no_slot,
      strangers_are_reaped_by_their_signals,
      a_flood_of_ends_costs_a_bounded_number_of_questions,
      where_a_question_walks_all_are_asked_for_together)
#else
int main(void)
{
    return 0;
}
#endif
