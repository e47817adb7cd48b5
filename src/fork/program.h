/*
 * program.h: a child becomes a program of the user's, in place of the echo: forkecho -- program.
 *
 * It lies beside the heart, and not in a folder of its own, as only a forked child becomes one: it
 * needs the ledger and the table of children, and serve_fork.c calls it where it would echo.
 *
 * What a program is given is what tcpserver(1), inetd(8) and systemd give theirs:
 *
 *   descriptors  0 and 1 are the connection, blocking, and 2 is the server's standard error.
 *                Nothing else is open: the ledger, on which the child says that it could not become
 *                its program, closes as it does.
 *   socket       TCP_NODELAY and SO_KEEPALIVE; no time limit, buffers that grow, urgent data out of
 *                band (server/listener.h has what is the echo's).
 *   environment  the server's, less what a service manager said to the server and what an outer
 *                server said of a client, and what is known of this client: TCPREMOTEIP ...
 *   signals      all as by default, none blocked; a session, and so a process group, of its own.
 *   the rest     limits, working directory, umask, user and root directory are the server's.
 *
 * Where a PROXY header is due, the child takes it to its last byte before that, and what it says of
 * the client is what the program and the log are told.
 *
 * A program cannot say that it ends, as an echo child can: who has died is found by pid (reaper.h).
 * Its time limit (-T), which a child that becomes a program can no longer keep, is its parent's.
 *
 * Invariants. A child that does not become its program writes one exit record, with the reason, as
 * an echo does; one that does writes none. A signal to its group reaches it also where it has not
 * made one yet (signals_send_group), at the latest when it is unblocked.
 *
 * Cost: in the parent one look at the table of sources a connection. In the child, beside fork and
 * exec, four or five system calls for its descriptors, one for the session, one for each signal
 * that is not as by default, one or two for addresses. The time limit: a walk over those whose time
 * is over, where one is, at most a hundred times a second.
 *
 * Sources: the UCSPI of tcpserver (cr.yp.to/ucspi-tcp/environment.html), of s6-ipcserver and
 * ucspi-unix (PROTOCOL); systemd.socket(5), Accept=.
 */
#ifndef PROGRAM_H
#define PROGRAM_H

#include "server/server.h"

/* Prepares to run options->command, where there is one: finds it, as who will run it, and makes a
 * relative path absolute, as -d changes the working directory. Returns 0; or -1 (logged) where it
 * cannot be executed, but not after an upgrade: clients that are live are worth more. */
int program_open(const struct server *server);

/* Becomes the program of an admitted client, whose descriptor and the ledger's write end are above
 * that of standard error. `connections` of its source are live, its own counted; `buffer` is for
 * the PROXY header. Where it cannot, writes the exit record and exits. */
_Noreturn void program_run(const struct options *options, const struct client *client,
                           size_t connections, char *buffer, int ledger);

/* Ends programs whose time (-T) is over: TERM to their groups, and KILL a second later. Once a
 * turn, behind what starts them. And when that has something to do although no signal comes
 * (clock.h); 0: no such time. */
void program_turn(struct server *server);
double program_due(void);

#endif
