/*
 * reaper.h: which children have died, at a cost that does not grow with those that live.
 *
 * The usual loop over waitpid(-1, WNOHANG) walks the kernel's list of children from the oldest:
 * with ten thousand live ones, each look that finds nobody takes a quarter of a millisecond.
 * waitpid(pid) takes the same for one child as for ten thousand (Linux 5.13 and later). So the
 * parent asks by pid. In four ways it knows whom, and no zombie is older than about a second:
 *
 *   exit record   The last act of a child that echoes is one record on the ledger, a pipe
 *                 (server/ledger.h). At SIGCHLD the parent reads all records, lists their writers
 *                 as exiting, and asks for each of them now and at each SIGCHLD until it is gone,
 *                 for a second at most.
 *   si_pid        A child that was killed, or has become a program (program.h), leaves no record. A
 *                 SIGCHLD says whose it is, but signals merge: fifty deaths may be one SIGCHLD.
 *   the young     Most children die young. So where a SIGCHLD told of nobody, and after each one
 *                 where children are programs, the 256 youngest are asked for: within 10 ms, at
 *                 most once in 10 ms; at once where it told of nobody and there is no slot for a
 *                 client, or half of those asked for just now were dead.
 *   the sweep     One that is older may hide behind the SIGCHLD of another. So within a second of
 *                 any SIGCHLD, and 0.1 s where programs have all slots, or one has just been reaped
 *                 that was killed or left no record though it echoes, as others then did, too: the
 *                 parent asks whether anybody is dead and not reaped, by waitid for all, which walks
 *                 that list, and reaps up to 16 that this finds; and only where one of ours was
 *                 among them it asks for all children by pid, the youngest first, in portions of
 *                 128, between which the loop goes on.
 *
 * So of fifty that die at one instant all that left a record are reaped at once, however few
 * signals came; of those that left none one or two by si_pid, the others as young or by the sweep.
 * That finds children of nobody as well: process 1 is handed the orphans of others.
 * Where waitpid(pid) walks, too (platform_waits_by_pid), the last two are a loop over waitid for
 * all: never worse than the usual one, which does that for each SIGCHLD.
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
 *     block in their last write, and no SIGCHLD comes. So while any child lives, a sweep reads the
 *     ledger each second; the reading end has a flag of its own.
 *
 * Cost: a system call for each child that has died or is exiting, and a read for LEDGER_BATCH
 * records. For programs, and after a SIGCHLD that told of nobody, 256 calls at most every 10 ms
 * (1 % of a processor) and for each such SIGCHLD while there is no slot; and the sweep, at most
 * once a second, or in 0.1 s in the cases named there: up to 16 calls that are linear in the
 * live children, and one for each of them where one was found dead. A program that has died is
 * reaped within 10 ms where it is one of the young, else at once or within a second; so the zombies
 * are never more than what dies meanwhile.
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

/* Before a client is kept or refused for others of its source: learns of those that have ended, by the
 * ledger, and where they are programs by SIGCHLD and, once in 10 ms, from the young. */
void reaper_catch_up(struct server *server);

/* Reaps every child that has died. Returns how many. */
size_t reaper_reap_all(struct server *server);

#endif
