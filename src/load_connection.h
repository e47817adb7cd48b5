/*
 * load_connection.h: one connection of a load generator, as a small state machine.
 *
 * It is the client's side of what session.h is in the server: a step that sends what is
 * allowed, takes what has come and checks every byte. All workloads are this one machine;
 * they differ in how far it may send (`limit`) and in what is done once a marked byte is back.
 * It knows no loop and no clock; read load_loop.h next.
 *
 * System calls for a connection that echoes one message, when nothing has to wait: socket,
 * two for a source of its own, connect, write, read, close, and one to watch it. The write
 * is tried at once: over loopback the handshake is done when connect returns.
 */
#ifndef LOAD_CONNECTION_H
#define LOAD_CONNECTION_H

#include "load_pattern.h"
#include "load_target.h"

#include <stdbool.h>
#include <stdint.h>

/* Why a connection failed. */
enum load_failure {
    FAILED_CONNECT, /* it was refused, or there was no way to connect */
    FAILED_RESET,   /* reset, or broken in another way that the system reports */
    FAILED_EARLY,   /* ended before all was echoed */
    FAILED_WRONG,   /* wrong bytes, or bytes that were never sent */
    FAILED_TIMEOUT, /* nothing came or went for too long */
    FAILURES
};

enum connection_state {
    CONNECTION_CLOSED,
    CONNECTION_WAITING,    /* for its turn to connect */
    CONNECTION_CONNECTING,
    CONNECTION_ECHOING,    /* bytes are to be sent or to come back */
    CONNECTION_RESTING     /* open; all has come back */
};

enum connection_outcome {
    CONNECTION_GOES_ON,
    CONNECTION_COMPLETE, /* all bytes up to the mark have come back */
    CONNECTION_FAILED
};

struct connection {
    int descriptor;
    enum connection_state state;
    unsigned wanted;   /* what the loop watches it for (readiness.h) */
    bool measured;     /* what is on its way counts for the measurement */
    uint32_t origin;   /* where its bytes begin in the pattern */
    uint64_t sent, received, limit; /* bytes since it was opened; limit: may send up to here */
    uint64_t mark;     /* the byte count whose way there and back is timed ... */
    double started;    /* ... from this moment */
    double progressed; /* when it last did anything */
    double due;              /* in the loop's queue of those that wait: not before this ... */
    struct connection *next; /* ... and behind it */
};

/* What the steps of all connections work with. */
struct exchange {
    size_t write_max; /* most bytes of one write, at most PATTERN_SLICE_MAX */
    struct pattern pattern;
    unsigned char received[PATTERN_SLICE_MAX];
};

/* Starts to connect, as connection `number`. Returns 0, or -1 with errno and it is closed. */
int connection_open(struct connection *connection, struct target *target, uint64_t number);
void connection_close(struct connection *connection);

/*
 * Does what can be done now without waiting: at most one read and one write. `ready` is
 * what the loop said; READINESS_WRITE may be claimed to try at once. On failure `*why`
 * is set, and errno, which is 0 where the system saw no error.
 */
enum connection_outcome connection_step(struct connection *connection, struct exchange *exchange,
                                        unsigned ready, enum load_failure *why);

/* What it waits for now. */
unsigned connection_wants(const struct connection *connection);

#endif
