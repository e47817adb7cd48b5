/*
 * reaper.h: which children have died, at a cost for each that does not grow with those that live.
 *
 * The usual loop over waitpid(-1, WNOHANG) walks the kernel's list of children from the oldest:
 * with ten thousand live ones, each look that finds nobody takes a quarter of a millisecond.
 * waitpid(pid) takes the same for one child as for ten thousand (Linux 5.13 and later). So the
 * parent asks by pid. It knows in four ways whom, and no zombie is older than about a second:
 *
 *   whom it asks for       because                                  when
 *   those that exit        The last act of a child that echoes is   at each SIGCHLD, until they are
 *                          a record on the ledger, a pipe           gone, for a second at most
 *                          (server/ledger.h).
 *   who sent the SIGCHLD   One that was killed, or has become a     then
 *                          program (program.h), leaves no record.
 *   the 256 youngest       Signals merge, so some deaths have no    10 ms after a SIGCHLD by which
 *                          SIGCHLD. Most children die young.        nobody was found, or any where
 *                                                                   children are programs (*)
 *   all (the sweep)        One that is older may be among them.     a second after a SIGCHLD (**)
 *
 *   (*)  At once where nobody was found and no client has a slot, or while 128 of them were dead.
 *   (**) 0.1 s where programs have all slots, or one was reaped that should have left a record, or
 *        was killed: others may have met the same.
 *
 * So of fifty children that die at one instant those with a record are reaped at once, however few
 * signals came; of the others the senders of one or two, the rest as young or by the sweep.
 *
 * The sweep first asks whether anybody is dead, by waitid for all, which walks the list. If one of
 * ours is, it asks for all by pid, the youngest first, in portions of 128, between which the loop
 * goes on. It finds children of nobody as well, up to 16 at a time: process 1 is handed the orphans
 * of others. Where waitpid(pid) walks, too (platform_waits_by_pid), the last two ways are a loop
 * over waitid for all, never worse than the usual one, which does that for each SIGCHLD.
 *
 * Invariants. A child is registered (server_began) before it can be reaped, as only the loop reaps.
 * Its pid is nobody else's until reap_child, which takes it from the table, the list and the sweep
 * at once. A child is on the list at most once: a second record of it is ignored.
 *
 * A compromised child can write what it likes on the ledger:
 *   - what is no record, or names no live child: it is ignored, and logged, floods summed up;
 *   - a record of another live child: the parent asks for that one for a second. Its `end` line has
 *     the liar's bytes and ending, and its own record is ignored. It counts against -c until
 *     waitpid says that it is gone, but no longer against -C;
 *   - more than the parent can read: one look takes no more than a pipe holds;
 *   - so much that the pipe is full, with O_NONBLOCK cleared for all who share it: the others then
 *     block in their last write, and no SIGCHLD comes. So while any child lives the ledger is read
 *     each second, as a part of the sweep; the reading end has a flag of its own.
 *
 * Cost: a system call for each child that has died or is exiting, and a read for 64 records. The
 * young: 256 calls at most every 10 ms, 1 % of a processor, and for each SIGCHLD while there is no
 * slot. The sweep: up to 16 calls that are linear in the live children, and one for each of them
 * where one was found dead. So the zombies are never more than what dies meanwhile.
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

/* Reads exit records, as many as the ledger holds, and lists their writers as exiting. */
void reaper_read_records(struct server *server);

/* Before a client waits or is refused for others of its source: learns of those that have ended, by
 * the ledger, and where they are programs from the young, once in 10 ms. No signal is taken: a stop
 * that comes before an upgrade is the next program's. */
void reaper_catch_up(struct server *server);

/* Reaps every child that has died. Returns how many. */
size_t reaper_reap_all(struct server *server);

#endif
