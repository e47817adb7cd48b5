/*
 * daemon.h: -d: the starting command returns when the server listens, or has failed.
 *
 *     the starter                        the server
 *     daemon_detach ---- fork ---------> daemon_detach returns
 *     waits on the lifeline              binds, writes the pidfile, drops privileges
 *     exits with 0 <------ a byte ------ daemon_ready: it listens
 *     exits with 1 <-- or end of file -- it has failed; its error is on the shared stderr
 *
 * The lifeline is a pipe of which only the server holds the write end, so the starter sees the
 * server's end, whatever the reason. If the starter is killed while it waits, daemon_ready fails
 * and the server stops. Hence a server runs if and only if the starting command exits with 0.
 *
 * There is no second fork: it would keep a session leader from acquiring a terminal when it opens
 * one, but this server opens one only with O_NOCTTY. And so the starter learns from waitpid how the
 * server ended. The umask is left alone: it decides who may use a Unix socket.
 */
#ifndef DAEMON_H
#define DAEMON_H

/* Forks, and returns in the server, which leads a session of its own (setsid). The starter ends
 * with _exit: with 0 after daemon_ready, else with the server's exit status, or with 1 when that
 * was 0, a signal ended the server (logged), or its answer could not be read (logged; the server is
 * ended). Call it after confine_server, which has made 0 /dev/null, and before locks are taken
 * (pidfile.h) or signals blocked: an interrupt must end the starter. 0, or -1 (logged): no fork. */
int daemon_detach(void);

/* Changes to the directory /, not earlier, since relative names on the command line mean what they
 * meant to whoever typed them; notifies the starter; and redirects 1 to where 0 leads, /dev/null; 2
 * as well, unless it is a regular file (2>>file), where the log goes on. Whoever reads a terminal,
 * pipe or socket may wait for its end ($(forkecho -d 2>&1), ssh). Call it when SIGPIPE is ignored,
 * and log_started afterwards. In the foreground it does nothing. Returns 0, or -1 (logged): the
 * starter is gone. */
int daemon_ready(void);

#endif
