/*
 * manager.h: the service manager's protocol: what it hands over, and what it is told.
 *
 * Without libsystemd: the protocol is a few variables of the environment and a datagram
 * (sd_notify(3), sd_watchdog_enabled(3), sd_listen_fds(3), which describe the protocol as
 * stable and open to reimplementation). A server that no manager started does nothing here.
 *
 * In the order of a start:
 *   manager_open        first of all: takes the variables, while the pid still is the one
 *                       that they name, and before descriptors are closed
 *   (inherited.h)       closes what was left open, from manager_lowest_free() on
 *   (daemon.h)          -d, if anybody detaches under a service manager
 *   manager_connect     before listeners, a chroot and the ledger
 *   manager_listeners   in place of -l
 *   manager_notify ...  READY=1 once the server listens
 *
 * The one descriptor, the notify socket, is opened by manager_connect and keeps its number
 * for good. It is opened that early because after a chroot the manager's path leads nowhere,
 * while a connected socket still works; and because descriptors opened before the ledger
 * are closed in each child. It is close-on-exec and non-blocking. So children inherit
 * neither it nor, since the variables are gone, anything that tells them of it.
 *
 * Nothing that fails here stops the server, but sockets that are not what they should be.
 * There is one service manager, so this module has one state a process. Only the thread that
 * runs the server's loop calls it.
 */
#ifndef MANAGER_H
#define MANAGER_H

#include <stdbool.h>
#include <stddef.h>

/*
 * Takes NOTIFY_SOCKET, WATCHDOG_USEC and WATCHDOG_PID, LISTEN_FDS, LISTEN_PID and
 * LISTEN_FDNAMES (and LISTEN_PIDFDID) from the environment, and unsets them all. WATCHDOG_*
 * and LISTEN_* count only where their pid is ours; WATCHDOG_PID may be absent.
 * Returns 0, or -1 (said) when LISTEN_* is malformed: then the server would listen where it
 * was not meant to. What is wrong with the others is said, and they are ignored.
 */
int manager_open(void);

/* Looks at the sockets that were handed over, before anything else is opened and could take the
 * number of one that is missing. Returns 0, or -1 (said) when one of them is no stream socket
 * that listens, for IPv4, IPv6 or Unix, or they are more than `limit`. */
int manager_check(size_t limit);

/* The lowest descriptor above those that were handed over: all below belong to somebody. */
int manager_lowest_free(void);

/* Opens the notify socket, if there is a manager to notify. A failure is said, once. */
void manager_connect(void);

/*
 * Takes the sockets that were handed over in place of -l (sd_listen_fds(3)): descriptors
 * from 3 on, which were checked. They become close-on-exec and non-blocking. They are shared
 * with the manager, which listens on after us: close them, never shutdown(2) them nor unlink
 * their files. Returns how many there are, 0 where none were handed over.
 */
int manager_listeners(int *descriptors);

/*
 * Sends one datagram, such as "READY=1" or "STATUS=...\nMAINPID=...", without a wait. More
 * than MANAGER_MESSAGE_MAX bytes are not sent at all. Returns 1 when it was sent, 0 where
 * there is no manager, -1 with errno when it was not: EAGAIN where the manager's queue is
 * full, so whoever sends READY=1 should try again. Writes no log line.
 */
int manager_notify(const char *format, ...) __attribute__((format(printf, 1, 2)));
#define MANAGER_MESSAGE_MAX 512

/* Whether there is a manager to tell anything. */
bool manager_present(void);

/*
 * Tells in which state the server is from now on, at once, or as soon as there is room for it
 * (manager_update). RELOADING=1 comes with MONOTONIC_USEC, the present CLOCK_MONOTONIC, which
 * Type=notify-reload asks for; READY=1 ends it.
 */
enum manager_state { MANAGER_READY, MANAGER_RELOADING, MANAGER_STOPPING };
void manager_state(enum manager_state state);

/*
 * The notify socket, -1 where there is none, for the program that takes over in this process, which
 * adopts it instead of connecting anew: by then the manager's path may be out of reach (-u, -r).
 * That the earlier program may just have told a status text counts: the next has its period.
 */
int manager_descriptor(void);
void manager_adopt(int descriptor);

/*
 * To be called at every turn of the server's loop. Tells what is due at `now` (clock.h):
 *   - the state that is still owed;
 *   - the status text, up to its first newline, at most once a second and only when it has
 *     changed;
 *   - WATCHDOG=1, where it is wanted, in half the time that the manager waits for it
 *     (sd_watchdog_enabled(3)).
 * Returns when to call again at the latest, 0 when there is no such time.
 */
double manager_update(const char *text, double now);
#define MANAGER_STATUS_MAX 256

/*
 * Puts NOTIFY_SOCKET and WATCHDOG_* back into the environment, for the program that takes
 * over in this process (exec); manager_unexport takes them out again when exec failed.
 * Listeners are handed on by whoever owns them. Returns 0, or -1 with errno.
 */
int manager_export(void);
void manager_unexport(void);

#endif
