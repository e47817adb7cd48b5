/*
 * signals.h: handlers that only record, and the one place where signals are let in.
 *
 * The signals that the server handles are blocked from signals_open on, and unblocked only inside
 * the wait (pselect takes the mask from signals_wait_mask): none can come between a look at the
 * record and the sleep. A record is cleared before its work is done, so a signal that comes
 * meanwhile is seen at the next turn; one that comes twice between two looks counts once.
 *
 * Where a descriptor is ready, Linux's pselect delivers no signal: a busy server would learn of its
 * dead children, and of SIGTERM, only when idle. So signals_deliver follows such a wait.
 *
 * In children these signals stay blocked for good. So whoever signals all processes of the server
 * at once, as terminals, timeout(1) and service managers do, cuts off no client: the parent drains,
 * and sends its children SIGNALS_STOP, which nobody else sends, when they are to end at once.
 */
#ifndef SIGNALS_H
#define SIGNALS_H

#include <signal.h>
#include <stdbool.h>

/* kill(2) by a parent; SIGTERM, blocked in a child, is sent as SIGNALS_STOP, which ends it. */
#define SIGNALS_STOP SIGUSR2
void signals_send(pid_t child, int signal);

/* To a program in place of the echo, which has nothing blocked, and to all that it has started and
 * not moved to another group, as far as it leads a group by now. */
void signals_send_group(pid_t child, int signal);

/* Blocks TERM, INT, QUIT, HUP, USR1 and CHLD, handles them, and ignores those that a write causes.
 * Returns 0, or -1 with errno: a server that does not receive one of them must not serve. */
int signals_open(void);

/* The mask to wait with: that of the caller of signals_open, with our signals unblocked. */
const sigset_t *signals_wait_mask(void);

/* Records the signals that are pending. One system call where there are none. */
void signals_deliver(void);

/* Whether the signal `number` has come since the last such call for it. */
bool signals_take(int number);

/* A child whose SIGCHLD has come: each once, 0 when there is no more. A SIGCHLD that comes while
 * another is pending is lost, and with it who has died. */
pid_t signals_take_child(void);

/* For a child that becomes another program: all signals as by default, none blocked. Which are not,
 * the parent finds out by signals_plan_reset, behind signals_open. */
void signals_plan_reset(void);
void signals_reset(void);

/* For a process that serves one client and has no loop (server/inetd.h). Signals end it as by
 * default, but it ignores HUP and USR1, which are for a parent, and those that a write causes. */
void signals_alone(void);

#endif
