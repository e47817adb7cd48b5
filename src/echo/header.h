/*
 * header.h: the PROXY header that comes first on a connection from a proxy, read from its socket.
 *
 * From a client in one of the service's blocks the header is required, and believed; from anybody
 * else it is not looked for: guessing would let any client say who it is. Nothing is sent before it
 * is complete. It is peeked at and read to its last byte: neither input nor a message.
 *
 * A proxy that closes without a byte is checking our health; one that sends nothing and waits is
 * idle. A header that has begun and is malformed, cut off or late ends the session with the reason,
 * perhaps by a reset, so that the proxy notices.
 * Cost: two system calls for each piece in which it comes; a blocking session, four, and two more.
 */
#ifndef HEADER_H
#define HEADER_H

#include "echo/proxy.h"

#define HEADER_TIME 60.0 /* seconds; a header comes at once, unless segments are lost */

struct header {
    bool due;                   /* it is still to be read */
    bool named;                 /* it has named the client */
    size_t size;                /* bytes of it that were read */
    enum proxy_problem problem; /* what is wrong with it */
};

enum header_result {
    HEADER_FAILED, /* a system call failed: errno; EAGAIN and EINTR too */
    HEADER_PART,   /* more of it was read */
    HEADER_WHOLE,  /* it is complete, and no longer due */
    HEADER_NONE,   /* end of file before its first byte */
    HEADER_WRONG   /* it is malformed or cut off: `problem` says which */
};

/* Reads what has come of the header into `bytes`, of PROXY_HEADER_MAX, which keeps it until it is
 * complete; `*peer` is then the client that it names, if any. */
enum header_result header_step(struct header *header, int descriptor, char *bytes,
                               struct peer *peer);

/* Seconds that all of a header may take: those of the idle limit (0: none), at most HEADER_TIME. */
double header_time(double idle);

#endif
