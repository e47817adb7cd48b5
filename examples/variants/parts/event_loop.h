/*
 * event_loop.h: a server of one process and one loop, which waits for all its clients at once
 * and lets each take a step when its descriptor is ready.
 *
 * The servers over select, poll and epoll are this loop over another mechanism of readiness.h, and
 * differ in what a wait costs and in how many clients it can have.
 *
 * A turn is one wait; then each session that is ready or due takes a step (a read, and the write of
 * what it has read: there nearly always is room for it), and each listener that is ready accepts
 * one client, whose first step follows at once: its bytes are often there already. One client's
 * step keeps all others waiting, for as long as 64 KiB take to copy.
 *
 * The listeners are watched while the gate is open (server.h), and not while it is closed.
 * Times such as a session's idle limit are kept in timers.h: nothing here walks the live clients,
 * except a stop that ends them. What a wait costs depends on the mechanism.
 *
 * System calls with -v off, over epoll on Linux (held by tests/behaviour/test_costs.py); over poll
 * and select, ppoll and pselect6 stand for epoll_pwait, and there is no epoll_ctl:
 *
 *   connection  2 epoll_pwait, 1 accept, 1 fcntl, 1 epoll_ctl, 2 read, 1 write, 1 close
 *   message     1 epoll_pwait, 1 read, 1 write
 *
 * A client whose first bytes are not there yet costs one read and one wait more, and a client
 * who does not take what he is sent two epoll_ctl. Signals are let in by the waits that sleep;
 * where a wait finds something, every hundredth of a second, which is one rt_sigpending.
 */
#ifndef EVENT_LOOP_H
#define EVENT_LOOP_H

#include "platform/readiness.h"
#include "server/server.h"

/* Descriptors that no client has: standard ones, listeners, what libc opens for a moment. A
 * mechanism that can name only so many descriptors has room for so many clients less. */
#define EVENT_LOOP_RESERVED (LISTENERS_MAX + 16)

/* What a model over such a loop consists of (serve.h). */
int event_loop_serve(struct server *server, const struct readiness_mechanism *mechanism);
void event_loop_before_close(struct server *server);
void event_loop_stop_child(struct server *server, struct child *child, int signal);

#endif
