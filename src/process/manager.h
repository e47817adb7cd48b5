/*
 * manager.h: notifying the service manager: ready, stopping, a status text, the watchdog.
 *
 * Without libsystemd: the protocol, a few variables of the environment and a datagram, is stable
 * and open to reimplementation (sd_notify(3), sd_watchdog_enabled(3)). A server that no manager
 * started does nothing here, and nothing that fails here stops it. Only the server's loop calls it.
 */
#ifndef MANAGER_H
#define MANAGER_H

#include <stdbool.h>

/* Takes NOTIFY_SOCKET, WATCHDOG_USEC and WATCHDOG_PID from the environment, and unsets them.
 * WATCHDOG_USEC counts only where WATCHDOG_PID is the pid of this process or absent: so call it
 * before daemon_detach. What is malformed is logged and ignored. */
void manager_open(void);

/* Opens the notify socket, if there is a manager, close-on-exec. Call it before a chroot, after
 * which a connected socket still works. A failure is logged. `earlier`, not 0, is the socket of the
 * program before us in this process (upgrade/takeover.h): the manager's path may be out of reach by
 * now (-u, -r). manager_descriptor: the socket, or -1. */
void manager_connect(int earlier);
int manager_descriptor(void);

/* Sends one datagram, such as "STATUS=...\nMAINPID=...", without waiting. Returns 1, 0 where there
 * is no manager, or -1 with errno when it was not sent: EAGAIN where its queue is full. */
int manager_notify(const char *format, ...) __attribute__((format(printf, 1, 2)));
bool manager_present(void);

/* Sends the server's new state, again until it is sent: manager_update.
 * RELOADING=1 comes with MONOTONIC_USEC, which Type=notify-reload asks for; READY=1 ends it. */
enum manager_state { MANAGER_READY, MANAGER_RELOADING, MANAGER_STOPPING };
void manager_state(enum manager_state state);

/* The last words of a server that has failed, most of all while it starts, when the manager still
 * waits for READY=1: why, up to a newline, and an errno. Connects first if nothing has. */
void manager_failed(const char *why, int error);

/* For every turn of the loop, if there is a manager. Sends what is due at `now` (clock.h): a state
 * that could not be sent yet; the status text, up to its first newline, when it has changed, at
 * most once a second; and WATCHDOG=1, where it is wanted, in half the time that the manager waits
 * for it. What could not be sent is sent again where there is something new to say, or after a
 * pause: of two minutes where the manager is not there, else of 0.1 s, and each time twice as long;
 * with a watchdog of a quarter of its time at most. Returns when to call again; 0: never. */
double manager_update(const char *text, double now);
#define MANAGER_STATUS_MAX 256

/* Puts NOTIFY_SOCKET and WATCHDOG_* back into the environment, before exec. Returns 0, or -1 with
 * errno. And unsets them again, as when exec has failed. */
int manager_export(void);
void manager_unexport(void);

#endif
