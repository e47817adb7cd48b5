/*
 * daemon.h: -d: the starting command returns when the server listens, or has failed.
 *
 *     the starter                        the server
 *     daemon_detach ---- fork ---------> daemon_detach returns
 *     waits on the lifeline              binds, writes the pidfile, drops privileges
 *     exits with 0 <------ a byte ------ daemon_ready: it listens
 *     exits with 1 <-- or end of file -- it has failed; its error is on the shared stderr
 *
 * The lifeline is a pipe of which the server alone holds the write end, so that its end,
 * whatever the reason, is seen. The other way round as well: if the starter is killed while
 * it waits, daemon_ready says so and the server gives up. Hence a server runs if and only if
 * the starting command said that it does.
 *
 * There is no second fork. It would keep a session leader from acquiring a terminal when it
 * opens one (POSIX.1-2008, "The Controlling Terminal"); this server opens none but with
 * O_NOCTTY. And with one fork the starter is the server's parent, which can tell how it
 * ended (waitpid).
 *
 * The working directory changes to / only in daemon_ready: until then relative names on the
 * command line mean what they meant to the one who typed them. The umask is left alone: it is
 * the administrator's word on who may use a Unix socket.
 */
#ifndef DAEMON_H
#define DAEMON_H

/* What a server that was detached holds until it is ready. */
struct daemon {
    int lifeline; /* write end; -1: not detached */
    int null;     /* /dev/null, opened before a chroot puts it out of reach */
};

/* A server that stays in the foreground. */
#define DAEMON_NONE ((struct daemon){-1, -1})

/*
 * Forks, and returns in the new process, which leads a session of its own (setsid). In the
 * original process it does NOT return: that waits, and ends with _exit: 0 when the server
 * called daemon_ready, else the server's own exit status, or 1 when that was 0 or a signal
 * ended it, which is said. Where it cannot read the server's answer it says so, ends the server,
 * and then itself, with 1.
 *
 * Call it when the command line is read and 0, 1 and 2 are open (inherited.h), before
 * anything that belongs to one process: locks (pidfile.h), the ledger, handlers and blocked
 * signals, since the starter must still die of an interrupt. Both descriptors are
 * close-on-exec, and in the way of no child: they are closed by daemon_ready.
 * Returns 0, or -1 (said) in the original process when there was no fork.
 */
int daemon_detach(struct daemon *daemon);

/*
 * The server listens: changes to the directory /, tells the starter, and puts 0 and 1 on
 * /dev/null. So does it with 2, unless that is a regular file (2>>file): then the log goes on
 * there. A terminal, pipe or socket is let go of, since whoever reads it may wait for its end
 * ($(forkecho -d 2>&1), ssh). Call log_started afterwards: the kind of 2 may have changed.
 *
 * Nothing to do for DAEMON_NONE. Returns 0, or -1 (said) when the starter is gone: then
 * nobody learned that the server runs, and it has to end.
 */
int daemon_ready(struct daemon *daemon);

#endif
