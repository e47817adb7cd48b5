/*
 * takeover.h: what a running program leaves to the one that takes over in its process (upgrade.h).
 *
 * What the next program cannot find out is written to an anonymous file, a line for each thing:
 *
 *   takeover FORMAT PROGRAM           another format is refused, not guessed at
 *   limit CHILDREN                    -c, or how many are live where those are more
 *   statistics ...                    what was counted, and since when
 *   listener DESCRIPTOR ...           a listening socket
 *   monitored DESCRIPTOR ...          one at which monitors ask (-S)
 *   child PID ...                     a live child, the oldest first
 *   held DESCRIPTOR PEER              the client that could not be started yet, if any
 *   ledger READ WRITE                 both ends: children that live now write there
 *   pidfile DESCRIPTOR LENGTH PATH    if there is one; the lock goes with the process
 *   manager DESCRIPTOR                the service manager's socket, if there is one, and ...
 *   syslog DESCRIPTOR                 ... syslogd's: neither path may still be within reach
 *   score DESCRIPTOR                  the file by which children are preferred as victims, if any
 *   end                               without it the state was cut off
 *
 * Text, because the next program may have other structures: addresses and paths are bytes in
 * hexadecimal, times microseconds. It is checked as all input is.
 */
#ifndef TAKEOVER_H
#define TAKEOVER_H

#include "process/pidfile.h"
#include "server/server.h"

/* It covers the lines and what they mean, what children that live on write to the ledger (struct
 * record), and what listeners have set on them for clients. */
#define TAKEOVER_FORMAT 7

/* Writes the state of `server` to the open file `file`, and to `descriptors`, all zeros so far,
 * those that it names, which the next program has to inherit. Returns 0, or -1 with errno. */
#define TAKEOVER_DESCRIPTORS_MAX (2 * LISTENERS_MAX + 8) /* with a 0 at the end */
int takeover_write(int file, const struct server *server, int *descriptors);

/* Reads a state from the start of `file` into `server`, which has its options and nothing else.
 * With `inherited`, not so in a test, the descriptors that it names are open: they are checked and
 * become close-on-exec again; `server->pidfile` adopts theirs. Returns 0, or -1 (logged). */
int takeover_read(int file, struct server *server, bool inherited);

#endif
