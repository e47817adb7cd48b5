/*
 * reaper.h: which children have died, at a cost that does not grow with those that live.
 *
 * The usual loop over waitpid(-1, WNOHANG) walks the kernel's list of children from the oldest:
 * with ten thousand live ones, each look that finds nobody takes a quarter of a millisecond.
 * waitpid(pid) takes the same for one child as for ten thousand (Linux 5.13 and later). So the
 * parent asks by pid. In three ways it knows whom, and no zombie is older than about a second:
 *
 *   exit record   A child's last act is one record on the ledger, a pipe (server/ledger.h). At
 *                 SIGCHLD the parent reads all records, lists their writers as exiting, and asks
 *                 for each of them now and at each SIGCHLD until it is gone.
 *   the young     A SIGCHLD without an exit record is of a child that was killed, or of one that
 *                 was reaped before its signal was looked at. Most children die young: the
 *                 YOUNG_MAX youngest are asked at once, at most every YOUNG_PERIOD.
 *   the sweep     Signals merge, and a killed child may hide behind a record of another. So within
 *                 SWEEP_PERIOD of any SIGCHLD the parent asks the kernel whether anybody is dead
 *                 and not reaped, in one call, and only then asks for all children by pid, the
 *                 youngest first, in portions between which the loop goes on.
 *
 * Invariants. A child is registered (server_began) before it can be reaped, as signals are blocked
 * meanwhile. Its pid is nobody else's until reap_child, which takes it from the table, the list and
 * the sweep at once. A child is on the list at most once: a second record of it is ignored.
 *
 * A compromised child can write what it likes on the ledger. A record that is malformed, or names
 * no live child, is logged and ignored; one that names another live child makes the parent ask for
 * that one for EXITING_MAX seconds, lies about its bytes in its `end` line, and no more: a child is
 * gone when waitpid says so. A pipe that is kept full is read in portions. Full and made blocking,
 * it holds up the others in their last write, so that no SIGCHLD comes: where every place is taken
 * (-c) a sweep reads the ledger each SWEEP_PERIOD all the same.
 *
 * Cost of a turn: a system call for each child that has died, one read for LEDGER_BATCH records,
 * and after a SIGCHLD YOUNG_MAX calls every YOUNG_PERIOD and one every SWEEP_PERIOD.
 */
#ifndef REAPER_H
#define REAPER_H

#include "server/server.h"

/* Opens the ledger, or goes on with the one that an earlier program of this process has left.
 * Returns 0, or -1 with errno. There is one reaper a process. */
int reaper_open(struct server *server);

/* Once a turn, after the wait: reaps whom a SIGCHLD is about, and sweeps when that is due. */
void reaper_turn(struct server *server);

/* When reaper_turn has something to do although no signal comes (clock.h); 0: no such time. */
double reaper_due(void);

/* Reads the exit records that have been written, and lists their writers as exiting: as much as a
 * pipe holds and no more, as a compromised child could write as fast as this reads. */
void reaper_read_records(struct server *server);

/* Reaps every child that has died. Returns how many. */
size_t reaper_reap_all(struct server *server);

#endif
