/*
 * load/target.h: the server under load, and sockets that connect to it.
 *
 * A client that closes first keeps each local port for a minute (TIME_WAIT, RFC 9293 section
 * 3.6.1). One address has some 28,000 ports: at 15,000 connections a second they are gone in two
 * seconds. To an address of IPv4 loopback each connection therefore comes from another address of
 * 127/8, all of which are ours. Elsewhere we have one address, and no free port is an error that
 * passes (EADDRNOTAVAIL): see target_must_wait.
 */
#ifndef LOAD_TARGET_H
#define LOAD_TARGET_H

#include "base/address.h"

#include <stdbool.h>
#include <stdint.h>

struct target {
    struct address address;
    bool spread;            /* each connection comes from another address */
    bool no_delay;          /* TCP_NODELAY: no segment waits for an acknowledgement */
    uint32_t neighbourhood; /* 127.x.y.0, whose addresses this process uses */
    uint32_t turn;          /* which of them is next */
    int connected;          /* the socket that target_find connected, until it is used; or -1 */
};

/*
 * Finds the server: resolves `endpoint` and connects to the first of its addresses that answers
 * within `seconds`, IPv4 loopback before IPv6. That connection is the first that target_connect
 * returns. Returns 0, or -1 with what is wrong in `*problem`, and in `text` (ADDRESS_TEXT_MAX) the
 * address that cannot be connected to; empty if the name cannot be resolved.
 */
int target_find(struct target *target, const struct endpoint *endpoint, double seconds,
                char *text, const char **problem);

/* Has this process use addresses of its own, after a fork. */
void target_move(struct target *target);

/* Returns a new non-blocking socket that connects to the server, for the caller to close, or -1
 * with errno. Its acknowledgements are those of any client: that the first one waits for our bytes
 * (TCP_QUICKACK) took 5 % less of our processor time, but then all were late, and a server that
 * echoes in two writes took 40 ms. */
int target_connect(struct target *target);

/* Whether an error of target_connect passes by itself: no port is free just now, or a Unix
 * socket's backlog is full (connect(2) tells that apart from a refusal by EAGAIN). */
bool target_must_wait(int error);

#endif
