/*
 * upgrade.h: SIGHUP: the program on disk takes over in the same process.
 *
 *     SIGHUP --> test --> passed --> exec: the next program reads the state (takeover.h)
 *                     \-> failed, or late --> why is said, and this program goes on
 *
 * The new image is tested first, as a child with the same command line and the state of now: so
 * one that is missing or broken, or does not know an option or the state, costs nothing. It has
 * passed when it says so and its exit status is 0, whatever else is written.
 *
 * In the exec the process keeps its pid, its children, its listeners, in whose backlog clients wait
 * for some milliseconds, its locks, and its signals, blocked and pending. So no client notices, and
 * none is counted twice or lost.
 *
 * The program is the one that was started: argv[0] where that is a path, made absolute, else what
 * PATH led to then, if that is the file that runs (platform.h); if not, there is no upgrade. The
 * command line is the same, but for argv[0], which is that path.
 *
 * A program learns its role from FORKECHO_TAKEOVER=ROLE:DESCRIPTOR:PID in its environment, which
 * goes at once. `take` is believed only where PID is the process's own. `test` never starts a
 * server, and fails where PID is not the parent's. Behind that `:private` says that others of its
 * user may not look into the process: an exec forgets it (platform.h), so this comes first of all.
 *
 * A model that can be upgraded has upgrade_begin in its serve_model and upgrade_turn in its loop;
 * one that cannot says why (no_upgrade), which answers SIGHUP. As the program under test is a child
 * of the server's, the loop goes on until it has ended (upgrade_tester), and reaps it with others.
 */
#ifndef UPGRADE_H
#define UPGRADE_H

#include "server/server.h"

/* To start a server, to say whether it could take over, or to take over. */
enum upgrade_role { UPGRADE_START, UPGRADE_TEST, UPGRADE_TAKE };

/* Remembers how this program was started: first of all, while the working directory is the one of
 * the command line. `argv` is kept. Returns the role; `*file` then has the state, if any. */
enum upgrade_role upgrade_role(char **argv, int *file);

/* A tested program's last words: that it could take over. */
void upgrade_pass_test(void);

/* SIGHUP: begins a test, unless one is under way: when that ends, a newer file is found. */
void upgrade_begin(struct server *server);

/* Once a turn of the loop, last: ends a test that is late, or any once the server is to stop. Where
 * a test has ended, the new program takes over, and this does not return; or why not is logged. */
void upgrade_turn(struct server *server);

/* The program under test, which upgrade_turn reaps, and which has to end before the server does; 0:
 * there is none. And when it is late, which no signal tells (clock.h; 0: never). */
pid_t upgrade_tester(void);
double upgrade_due(void);

#endif
