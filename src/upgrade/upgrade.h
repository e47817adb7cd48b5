/*
 * upgrade.h: SIGHUP: the program on disk takes over in the same process.
 *
 *     SIGHUP --> test --> passed --> exec: the next program reads the state (takeover.h)
 *                     \-> failed, or late --> why is said, and this program goes on
 *
 * The new image is tested before the old one is given up: it is started as a child with the
 * same command line and the state of this moment, reads both, and answers whether it could
 * go on from there. So a missing or broken binary, one that does not know an option, or one
 * that does not understand the state costs nothing. The parent serves meanwhile. Where another file
 * lies there when the test has ended, that is tested first.
 *
 * In the exec the process stays: its pid, its children, whom it can go on to reap, its open
 * listeners, in whose backlog clients wait for the few milliseconds, and its locks. Signals
 * stay blocked and pending. So no client notices, and none is counted twice or lost.
 *
 * The program is the one that was started: argv[0] where that is a path, made absolute, else
 * what PATH led to then. The command line is the same, but for argv[0], which is that path;
 * privileges are what is left of them.
 *
 * Which of the three roles a program has it learns from one variable of its environment,
 * FORKECHO_TAKEOVER=ROLE:DESCRIPTOR:PID. `take` is believed only where PID is that of the process
 * itself. `test` never starts a server; where PID is not the parent's, the server that asked has
 * gone, and the test fails. Behind that `:private` says that others of its user may not look into
 * the process: an exec forgets it (platform.h), and to ask for it again comes before all else.
 */
#ifndef UPGRADE_H
#define UPGRADE_H

#include "server/ledger.h"
#include "server/server.h"

#include <stdbool.h>
#include <sys/types.h>
#include <time.h>

/* ---- what a program was started for ---- */

enum upgrade_role {
    UPGRADE_START, /* to start a server */
    UPGRADE_TEST,  /* to say whether it could take over */
    UPGRADE_TAKE   /* to take over */
};

/* Remembers how this program was started, and takes the variable from the environment. First
 * of all, while the working directory still is the one of the command line. `argv` is kept.
 * Returns the role; `*file` then has the state, and is left as it was where there is none. */
enum upgrade_role upgrade_role(char **argv, int *file);

/* A tested program's last words: that it could take over. */
void upgrade_pass_test(void);

/* ---- replacing the running program ---- */

/* Which file a program was read from. */
struct image {
    dev_t device;
    ino_t file;
    off_t size;
    struct timespec changed;
};

struct upgrade {
    struct image image; /* what is tested */
    pid_t tester; /* the new image under test; 0: none */
    int said;     /* a file without a name in which it answers; 0: none */
    double late;  /* when it is given up; 0: no such time */
    bool ended;   /* it was reaped, with ... */
    int status;   /* ... this status */
};

/* SIGHUP: begins the test. */
void upgrade_begin(struct upgrade *upgrade, const struct server *server,
                   const struct ledger *ledger);

/* A child was reaped: returns whether it was the one under test. */
bool upgrade_reaped(struct upgrade *upgrade, pid_t pid, int status);

/* Whether a test is on: the server, which ends it, must not end before it. */
bool upgrade_is_on(const struct upgrade *upgrade);

/* When upgrade_settle has something to do; 0: no such time. */
double upgrade_due(const struct upgrade *upgrade);

/* At every turn of the loop, last: ends a test that takes too long, or any where the server has
 * been told to stop; and where one has ended, has the new program take over, in which case it
 * does not return, or says why not. Nothing may be known of the children by then that `server`
 * does not know. */
void upgrade_settle(struct upgrade *upgrade, const struct server *server,
                    const struct ledger *ledger);

#endif
