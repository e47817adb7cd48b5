/* test_reaper.c: who has died (fork/reaper.h), with real children, which do as they are told. */
#include "suite.h"

#include "base/clock.h"
#include "fork/reaper.h"
#include "process/log.h"
#include "process/signals.h"
#include "server/serve.h"

#include <sys/wait.h>

#define MANY 1200 /* more than are asked for as young, and than a portion of a sweep */

static const struct serve_model model = {
    .read_records = reaper_read_records,
    .reap_all = reaper_reap_all,
};
static struct options options;
static struct pidfile pidfile = {.descriptor = -1};
static struct capture capture;
static int hold[2]; /* children live for as long as its write end is open */

static struct server *open_server(enum log_level level)
{
    static char *arguments[] = {"forkecho", "-c", "2000", NULL};
    struct server *server;

    ck_assert_int_eq(options_read(&options, "forkecho", NULL, "", 3, arguments), OPTIONS_SERVE);
    log_open(level, -1);
    signals_open();
    server = server_open(&model, &options, &pidfile);
    ck_assert_ptr_nonnull(server);
    ck_assert_int_eq(reaper_open(server), 0);
    ck_assert_int_eq(pipe(hold), 0);
    return server;
}

/* A child of the test that lives until it is killed. */
static pid_t begin(struct server *server)
{
    struct client client = {.descriptor = -1, .peer = peer_at("192.0.2.1", 7)};
    pid_t pid = fork();
    char byte;

    ck_assert_int_ne(pid, -1);
    if (pid == 0) {
        close(hold[1]);
        _exit(read(hold[0], &byte, 1) == 0 ? 0 : 1);
    }
    if (server != NULL)
        ck_assert_ptr_nonnull(server_began(server, pid, &client));
    return pid;
}

/* Has a child die, and waits until it is a zombie. */
static void end(pid_t pid)
{
    siginfo_t found;

    ck_assert_int_eq(kill(pid, SIGKILL), 0);
    ck_assert_int_eq(waitid(P_PID, (id_t)pid, &found, WEXITED | WNOWAIT), 0);
}

static void write_record(const struct server *server, pid_t pid)
{
    struct session session = {.in = 5, .out = 5, .ending = SESSION_EOF};
    struct record record = ledger_exit_record(pid, &session);

    ck_assert_int_eq(ledger_write(server->ledger.write_end, &record), 0);
}

/* Turns until `live` children are left. Returns how long that took, in seconds. */
static double turn_until(struct server *server, size_t live)
{
    double start = clock_seconds();

    while (server->children->live > live) {
        ck_assert_msg(clock_seconds() < start + SUITE_TIMEOUT, "%zu are left, not %zu",
                      server->children->live, live);
        server_wait(server, reaper_due());
        reaper_turn(server);
    }
    return clock_seconds() - start;
}

static bool is_gone(pid_t pid)
{
    return kill(pid, 0) == -1 && errno == ESRCH;
}

/* Catches a record that is taken for a death: who writes it is exiting, and is reaped when gone. */
START_TEST(who_wrote_a_record_is_reaped_once_it_is_gone)
{
    struct server *server = open_server(LOG_CLIENTS);
    pid_t pid = begin(server);

    write_record(server, pid);
    reaper_read_records(server);
    reaper_turn(server);
    ck_assert_uint_eq(server->children->live, 1);
    capture_begin(&capture, STDERR_FILENO);
    end(pid);
    turn_until(server, 0);
    ck_assert_ptr_nonnull(strstr(capture_end(&capture), "in=5 out=5"));
    ck_assert(is_gone(pid));
}
END_TEST

/* Catches a zombie that stays until the next client, or a second, since no record told of it. */
START_TEST(one_that_was_killed_is_found_at_once_among_the_young)
{
    struct server *server = open_server(LOG_CLIENTS);
    pid_t pid = begin(server);

    capture_begin(&capture, STDERR_FILENO);
    end(pid);
    ck_assert_double_lt(turn_until(server, 0), 0.5);
    ck_assert_ptr_nonnull(strstr(capture_end(&capture), "in=- out=- "));
    ck_assert_ptr_nonnull(strstr(capture.text, "how=signal-9"));
}
END_TEST

/* Catches an old child that nobody asks for, as its SIGCHLD came with a record of another. */
START_TEST(one_that_hides_behind_a_record_is_found_by_the_sweep)
{
    struct server *server = open_server(LOG_NORMAL);
    pid_t oldest = begin(server), other = 0;

    for (int i = 0; i < MANY; i++)
        other = begin(server);
    write_record(server, other);
    end(oldest);
    end(other);
    turn_until(server, MANY - 1);
    ck_assert(is_gone(oldest));
    ck_assert(is_gone(other));
    close(hold[1]);
    turn_until(server, 0);
}
END_TEST

/* Catches a turn in which thousands are reaped while everybody else waits for the loop. */
START_TEST(a_turn_reaps_a_bounded_number)
{
    struct server *server = open_server(LOG_NORMAL);
    static pid_t all[MANY];

    for (int i = 0; i < MANY; i++) {
        all[i] = begin(server);
        write_record(server, all[i]);
        reaper_read_records(server); /* the ledger holds some hundreds */
    }
    for (int i = 0; i < MANY; i++)
        end(all[i]);
    while (server->children->live > 0) {
        size_t live = server->children->live;
        server_wait(server, reaper_due());
        reaper_turn(server);
        ck_assert_uint_le(live - server->children->live, 700);
    }
}
END_TEST

/* Catches a sweep whose place in the table is a child that has gone meanwhile, and children that are
 * removed twice: while one sweep is under way, others write records and die. */
START_TEST(children_that_die_in_the_midst_of_a_sweep_are_reaped_once)
{
    struct server *server = open_server(LOG_NORMAL);
    static pid_t all[MANY];

    for (int i = 0; i < MANY; i++)
        all[i] = begin(server);
    for (int i = 0; i < MANY; i++) {
        if (i % 3 == 0)
            write_record(server, all[i]);
        end(all[i]);
        if (i == MANY / 2) {
            server_wait(server, clock_seconds() + 0.01);
            reaper_turn(server);
        }
    }
    turn_until(server, 0);
    ck_assert_uint_eq(server->statistics.ended, MANY);
}
END_TEST

/* Catches a lie that is believed: a record in the name of another does not end that one, and no
 * record does so twice. */
START_TEST(a_record_for_another_ends_nobody)
{
    struct server *server = open_server(LOG_NORMAL);
    pid_t victim = begin(server), liar = begin(server);

    write_record(server, victim);
    write_record(server, victim);
    capture_begin(&capture, STDERR_FILENO);
    end(liar);
    turn_until(server, 1);
    ck_assert(!is_gone(victim));
    ck_assert_ptr_nonnull(strstr(capture_end(&capture), "ignored a record"));
    end(victim);
    turn_until(server, 0);
    ck_assert_uint_eq(server->statistics.ended, 2);
}
END_TEST

/* Catches a record that names nobody, and ends or crashes the reader. */
START_TEST(a_record_for_nobody_is_ignored)
{
    struct server *server = open_server(LOG_NORMAL);

    write_record(server, getpid());
    capture_begin(&capture, STDERR_FILENO);
    reaper_read_records(server);
    ck_assert_ptr_nonnull(strstr(capture_end(&capture), "ignored a record"));
}
END_TEST

/* Catches children of others that process 1 is handed, or that were left to the process before it
 * became this program, and that fill the table of processes as zombies. */
START_TEST(strangers_are_reaped_and_not_counted)
{
    struct server *server = open_server(LOG_NORMAL);
    pid_t stranger = begin(NULL);

    end(stranger);
    ck_assert_uint_eq(reaper_reap_all(server), 0);
    ck_assert(is_gone(stranger));
    ck_assert_uint_eq(server->statistics.ended, 0);
}
END_TEST

/* Catches strangers beyond the first 16 that stay zombies for good, where no child of ours has the
 * next sweep follow. */
START_TEST(many_strangers_are_reaped)
{
    struct server *server = open_server(LOG_NORMAL);
    pid_t strangers[40];

    for (size_t i = 0; i < 40; i++)
        strangers[i] = begin(NULL);
    for (size_t i = 0; i < 40; i++)
        end(strangers[i]);
    server_wait(server, clock_seconds());
    for (reaper_turn(server); reaper_due() > 0; reaper_turn(server))
        server_wait(server, reaper_due());
    for (size_t i = 0; i < 40; i++)
        ck_assert(is_gone(strangers[i]));
}
END_TEST

/* Catches a server that does not look at a full ledger again: its children cannot write their
 * records, where one of them has had all writers wait, so none exits, and no SIGCHLD comes. */
START_TEST(the_ledger_is_read_without_a_signal_while_a_child_lives)
{
    struct server *server = open_server(LOG_NORMAL);
    double due;

    reaper_turn(server);
    ck_assert_double_le(reaper_due(), 0);
    begin(server);
    reaper_turn(server);
    due = reaper_due();
    ck_assert_double_gt(due, 0);
    ck_assert_double_le(due, clock_seconds() + 1);
    close(hold[1]);
}
END_TEST

/* Catches a stop that the reaper takes note of just before an upgrade executes the next program,
 * which then never hears of it. */
START_TEST(who_catches_up_takes_no_stop)
{
    struct server *server = open_server(LOG_NORMAL);
    char *command[] = {"true", NULL};
    sigset_t pending;

    options.command = command;
    ck_assert_int_eq(raise(SIGTERM), 0);
    reaper_catch_up(server);
    ck_assert_int_eq(sigpending(&pending), 0);
    ck_assert_int_eq(sigismember(&pending, SIGTERM), 1);
    ck_assert(!signals_take(SIGTERM));
}
END_TEST

SUITE("reaper", who_wrote_a_record_is_reaped_once_it_is_gone,
      one_that_was_killed_is_found_at_once_among_the_young,
      one_that_hides_behind_a_record_is_found_by_the_sweep, a_turn_reaps_a_bounded_number,
      children_that_die_in_the_midst_of_a_sweep_are_reaped_once, a_record_for_another_ends_nobody,
      a_record_for_nobody_is_ignored, strangers_are_reaped_and_not_counted,
      many_strangers_are_reaped, the_ledger_is_read_without_a_signal_while_a_child_lives,
      who_catches_up_takes_no_stop)
