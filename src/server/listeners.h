/*
 * listeners.h: open, watch and close the listening sockets.
 *
 * A name that resolves to several addresses is listened on at all of them; `*` is two
 * sockets, IPv4 and IPv6, the latter with IPV6_V6ONLY, so that no client appears as a
 * v4-mapped address. Where an address says port 0 the kernel chooses, once for all
 * addresses of that name.
 *
 * A Unix socket that nobody listens on any more is stale and is replaced; one that answers
 * is not. (Two servers that start at the same moment can both find it stale, and the slower
 * one wins; a folder that only one of them may write to settles that.) What listeners_open made
 * in the file system, listeners_close removes, as far as the user that the server has become
 * may do so, and its root directory (-r) shows it.
 *
 * Options of accepted sockets (TCP_NODELAY, SO_KEEPALIVE, SO_OOBINLINE, the idle limit as session_set_timeouts
 * has it) are set once, on the listener: on Linux an accepted socket inherits them.
 * POSIX does not say so, so the first sockets that a listener accepts are asked, until one has
 * them all; on those that lack them they are set.
 *
 * Cost: constant a connection; linear in the listeners (at most LISTENERS_MAX) a wait.
 */
#ifndef LISTENERS_H
#define LISTENERS_H

#include "base/address.h"
#include "server/options.h"

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#define LISTENERS_MAX 128

enum listener_inheritance { INHERITANCE_UNKNOWN, INHERITANCE_WORKS, INHERITANCE_FAILS };

struct listener {
    int descriptor;
    struct address address; /* as bound */
    dev_t device;           /* of a Unix socket's file: ... */
    ino_t file;             /* ... to remove only our own */
    enum listener_inheritance inheritance;
    unsigned asked; /* how many accepted sockets had not inherited them */
    bool ready; /* a connection may be waiting: set by whoever waits, taken by accept */
    bool late;  /* and it has waited while the gate was closed */
    bool watched; /* in the readiness of an event loop: its own to note */
};

struct listeners {
    struct listener all[LISTENERS_MAX];
    size_t count;
    size_t next; /* whose turn it is to be asked for a client, modulo the count */
    bool handed_over; /* by the service manager, who has them open as well */
};

/* An accepted connection that a model is to serve; the descriptor is the model's to close. Where
 * it is a child's alone, which has accepted by itself, it is -1. */
struct client {
    int descriptor;
    struct peer peer;
};

/*
 * Opens all that `options` name, non-blocking and close-on-exec. Where the service manager
 * hands over sockets (manager.h) it is those and no others; as they are the manager's, the
 * files of Unix sockets stay. Returns 0, or -1 when one cannot be opened: then that is said,
 * and nothing is left behind.
 */
int listeners_open(struct listeners *listeners, const struct options *options);

/* Closes all and removes the files of Unix sockets; one that cannot be removed is said. Children
 * and later owners of the same port are not disturbed. */
void listeners_close(struct listeners *listeners);

/*
 * Accepts a connection. The descriptor is blocking, with the options above, the caller's
 * to close. Returns it, or -1 with errno.
 */
int listeners_accept(struct listener *listener, double idle, struct peer *peer);

/* Whether all are listening sockets still: an error of accept that cannot pass may be untrue. */
bool listeners_accepting(const struct listeners *listeners);

/* Sets the options above on the one connection of a server that has no listener. */
void listeners_prepare(int descriptor, const struct peer *peer, double idle);

/* The addresses as one text for a log line, "a,b,c", cut with ",..." where `size` ends. */
void listeners_text(const struct listeners *listeners, char *text, size_t size);

#endif
