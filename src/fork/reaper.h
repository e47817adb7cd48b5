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
 *                 for each of them now and at each SIGCHLD until it is gone, for a second at most.
 *   the young     A SIGCHLD without an exit record is of a child that was killed, or of one that
 *                 was reaped on another's signal. Most children die young: the 256 youngest are
 *                 asked for at once, at most every 50 ms.
 *   the sweep     Signals merge: fifty deaths may be one SIGCHLD, and a killed child may hide
 *                 behind a record of another. So within a second of any SIGCHLD the parent asks
 *                 whether anybody is dead and not reaped, by one waitid, which walks that list;
 *                 and only then for all children by pid, the youngest first, in portions of 512,
 *                 between which the loop goes on.
 *
 * Invariants. A child is registered (server_began) before it can be reaped, as only the loop reaps.
 * Its pid is nobody else's until reap_child, which takes it from the table, the list and the sweep
 * at once. A child is on the list at most once: a second record of it is ignored.
 *
 * A compromised child can write what it likes on the ledger:
 *   - what is no record, or names no live child: it is ignored, and logged, floods summed up;
 *   - a record of another live child: the parent asks for that one for a second. Its `end` line has
 *     the liar's bytes and ending, and its own record is ignored. It counts against -c until waitpid
 *     says that it is gone, but no longer against -C;
 *   - more than the parent can read: one look takes no more than a pipe holds;
 *   - so much that the pipe is full, with O_NONBLOCK cleared for all who share it: the others then
 *     block in their last write, and no SIGCHLD comes. So while any child lives, a sweep reads the
 *     ledger each second; the reading end has a flag of its own.
 *
 * Cost: a system call for each child that has died or is exiting, a read for LEDGER_BATCH records,
 * and now and then what the young and the sweep take, as said above.
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

/* Reads exit records, as many as a pipe holds, and lists their writers as exiting. */
void reaper_read_records(struct server *server);

/* Reaps every child that has died. Returns how many. */
size_t reaper_reap_all(struct server *server);

#endif
