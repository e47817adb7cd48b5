/*
 * signals.h: handlers that only record, and the one place where signals are open.
 *
 * All signals that the server heeds are blocked from signals_open on. They are open only
 * inside the wait (pselect takes the mask from signals_wait_mask), so none can slip in
 * between a look at the record and the sleep: no wakeup is lost. A record is cleared
 * before its work is done, so one that comes meanwhile is seen at the next turn.
 *
 * Where a descriptor is ready, Linux's pselect returns and delivers no signal: a busy server
 * would not hear of its dead children, nor of SIGTERM, until it is idle. So a wait that
 * found descriptors ready is followed by signals_deliver.
 *
 * Cost: a signal is one bit; the same one twice between two looks is once.
 */
#ifndef SIGNALS_H
#define SIGNALS_H

#include <signal.h>
#include <stdbool.h>

/* Installs the handlers for TERM, INT, QUIT, HUP, USR1 and CHLD and blocks them, and ignores PIPE,
 * XFSZ and TTOU, so that a write fails, or goes through, where it would end or stop the server.
 * Returns 0, or -1 with errno: a server that is deaf to one of them must not serve. */
int signals_open(void);

/* The mask to wait with: what the caller of signals_open had, with our signals open. */
const sigset_t *signals_wait_mask(void);

/* Lets in the signals that are pending now. One system call where there are none. */
void signals_deliver(void);

/* Whether `number` has come since it was last asked for; forgets it. */
bool signals_take(int number);

/* For a server without children of its own: those that it is handed all the same, as process
 * 1 is, are reaped by the system (POSIX.1-2008, sigaction: SA_NOCLDWAIT). */
void signals_without_children(void);

/* In a child: SIGTERM ends it as by default; INT, QUIT, HUP and USR1 are the parent's business and
 * stay blocked, so that Ctrl-C on a terminal, which signals the whole group, cuts no client. */
void signals_child(void);

/* For a process that serves one client and has no loop (inetd.h): signals end it as they end any,
 * but HUP and USR1, which are for a parent, and those of a write are ignored. */
void signals_alone(void);

#endif
