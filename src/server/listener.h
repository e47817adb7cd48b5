/*
 * listener.h: one listening socket, and the clients' sockets that it gives.
 *
 * A Unix socket that nobody listens on any more is replaced. Of two servers that start at the same
 * moment one finds the address in use: until it listens, a server holds a lock on a file beside the
 * socket's, PATH.forkecho-lock, which then is removed. The socket's file is removed with its
 * listener, as far as the server's user may do so, and its root directory (-r) shows it.
 *
 * The options of accepted sockets are set once, on the listener: on Linux a TCP client's socket
 * inherits them. POSIX does not say so: each accepted socket is asked until one has them all, and
 * those that lack them are given them. One that waited in the queue of a listener before it was
 * handed over to us may lack them where others do not.
 *
 * A client of a Unix socket can pass a TCP socket that has SO_LINGER and more to send than its peer
 * reads. While the message lies in the queue, the TCP socket goes with the Unix socket, and whoever
 * closes that last waits for as long as SO_LINGER says. On Linux the exit of a process does not. So
 * the system is asked to refuse descriptors, which an accepted socket inherits when its client
 * connects; elsewhere, and for clients that came earlier, what is closed unserved is closed by the
 * exit of a process of its own: this costs a fork.
 */
#ifndef LISTENER_H
#define LISTENER_H

#include "base/address.h"
#include "server/options.h"

#include <stdbool.h>
#include <sys/types.h>

struct listener {
    int descriptor;
    struct address address; /* as bound */
    dev_t device;           /* the file of a Unix socket: ... */
    ino_t file;             /* ... no other is removed; 0: it is not ours */
    bool inherits;          /* accepted sockets have its options */
    bool ready;             /* a connection may be waiting: set by a wait, cleared by an accept */
    bool late;              /* it has waited while the gate was closed */
    bool watched;           /* the event loop's */
};

/* An accepted connection that a model is to serve; the descriptor is the model's to close. Where
 * it is a child's alone, which has accepted by itself, it is -1. */
struct client {
    int descriptor;
    struct peer peer;
};

/* Listens on `address`, non-blocking and close-on-exec. An IPv6 socket takes IPv6 clients only
 * (IPV6_V6ONLY), so that no client appears as a v4-mapped address. Port 0: the kernel chooses one,
 * which `listener->address` then has. Returns 0, or -1 with errno and nothing left behind. */
int listener_open(struct listener *listener, const struct address *address,
                  const struct options *options);

/* Takes over a listening socket that is not ours alone: its file stays. */
void listener_adopt(struct listener *listener, int descriptor, const struct options *options);

/* Sets what a listener has to have: the options above, and that it refuses descriptors. One of an
 * earlier program may lack some (takeover.h). */
void listener_prepare(const struct listener *listener, const struct options *options);
void listener_close(struct listener *listener); /* logs that the file cannot be removed */

/* Accepts a connection. Returns its descriptor, blocking, the caller's; or -1 with errno. */
int listener_accept(struct listener *listener, const struct options *options, struct peer *peer);
void listener_refuse(int descriptor, const struct peer *peer); /* closes it unserved */

/* Sets the options above on any such socket. `local`: it is a Unix socket. */
void listener_set_options(int descriptor, bool local, const struct options *options);

#endif
