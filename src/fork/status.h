/*
 * status.h: -S: monitors ask by HTTP how it goes, and a forked child answers.
 *
 * The parent accepts who connects to a listener of -S, takes all numbers at this moment into one
 * struct (server/metrics.h), and forks. The child reads the request, writes the page from that copy
 * and exits; so the parent neither reads from a monitor nor waits for one.
 *
 * A monitor is no client: it counts for nothing in -c, -C, the statistics and the log, and is asked
 * for by pid when it ends, apart from the table of children. -A and -X hold for it.
 *
 * Invariants. At most STATUS_CHILDREN_MAX answer at once; who comes beyond them is told so (503) by
 * the parent, which writes one packet into an empty socket. Each child ends within STATUS_SECONDS,
 * whatever its monitor does: a request that is not complete by then is answered with 408. In one
 * turn of the loop each listener takes one monitor: so a thousand at once are as many turns, and
 * clients come in between. Silent ones do not keep out who asks: where all answer that may, and the
 * one that came first has been there for STATUS_PATIENCE, it has to end for the next one. Where
 * accept fails for want of something, it is tried again a second later, without a line in the log:
 * a client's accept has one.
 *
 * The listeners stay open until the server ends, a drain included, and through upgrades. Children
 * that still answer are killed at that end; in an upgrade they go on, strangers to the next
 * program, whose sweep reaps them.
 *
 * Cost: no system call a connection: the listeners are among those that the loop waits for. A
 * monitor costs an accept, three calls for the numbers, a fork, a close and a wait.
 */
#ifndef STATUS_H
#define STATUS_H

#include "server/server.h"

#include <stdbool.h>
#include <stddef.h>

#define STATUS_CHILDREN_MAX 8
#define STATUS_SECONDS 2
#define STATUS_PATIENCE 0.25 /* seconds: a request comes with its connection, a page takes less */

/* Waits as server_wait does, and for monitors. */
void status_wait(struct server *server, double until);

/* Once a turn, after children were reaped: answers the monitors that have come. */
void status_turn(struct server *server);

/* At SIGCHLD: reaps those that have answered. Returns whether there were any. And says that one of
 * them, if it was, has been reaped by somebody else: its pid may soon be another's. */
bool status_reap(void);
void status_forget(pid_t pid);

#endif
