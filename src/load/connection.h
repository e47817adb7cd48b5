/*
 * load/connection.h: one connection of a load generator, as a small state machine.
 *
 * It is the client's side of what session.h is in the server: a step that sends what is
 * allowed, takes what has come and checks every byte. All workloads are this one machine;
 * they differ in how far it may send (`limit`) and in when it is complete (its goal).
 * It knows no loop and no clock; read load/loop.h next.
 *
 * System calls for a connection that echoes one message, when nothing has to wait: socket,
 * two for a source of its own, connect, write, read, close, and one to watch it. The write
 * is tried at once: over loopback the handshake is done when connect returns.
 */
#ifndef LOAD_CONNECTION_H
#define LOAD_CONNECTION_H

#include "base/timers.h"
#include "load/pattern.h"
#include "load/target.h"

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

/* When a connection is complete. A message is its bytes up to the mark. */
enum connection_goal {
    GOAL_ECHO,    /* the message has come back */
    GOAL_DRIBBLE, /* the same, but each byte is written by itself */
    GOAL_CONNECT, /* it stands */
    GOAL_SEND,    /* the message is sent; nothing is read, and closing resets it */
    GOAL_END,     /* the message has come back, and behind our end the server's */
    GOAL_NONE     /* never: it sends what the server takes and reads nothing */
};

enum connection_state {
    CONNECTION_CLOSED,
    CONNECTION_WAITING,    /* for its turn: to connect, or where it is open to send */
    CONNECTION_CONNECTING,
    CONNECTION_ECHOING,    /* bytes are to be sent or to come back */
    CONNECTION_RESTING     /* open; all has come back */
};

enum connection_outcome {
    CONNECTION_GOES_ON,
    CONNECTION_COMPLETE, /* its goal is reached */
    CONNECTION_FAILED
};

/* The times of a request, as the loop enters them; 0 for what there was not. */
struct connection_times {
    double intended;   /* when it was to begin */
    double started;    /* when it began, perhaps to wait for a port */
    double connecting; /* when it began to connect */
    double sending;    /* when it stood, or a kept one began to send */
    double first;      /* when the first byte was back */
};

struct connection {
    int descriptor;
    enum connection_state state;
    enum connection_goal goal;
    unsigned wanted;   /* what the loop watches it for (readiness.h) */
    bool measured;     /* what is on its way counts for the measurement */
    bool finished;     /* has sent its end, which only GOAL_END does ... */
    bool ended;        /* ... and seen the server's */
    uint32_t origin;   /* where its bytes begin in the pattern */
    uint64_t sent, received, limit; /* bytes since it was opened; limit: may send up to here */
    uint64_t mark;     /* the byte count whose way there and back is timed */
    struct connection_times times;
    double progressed; /* when it last did anything */
    struct timer timer; /* of the loop: when it goes on, where it waits for that */
};

/* What the steps of all connections work with. */
struct exchange {
    size_t write_max; /* most bytes of one write, at most PATTERN_SLICE_MAX */
    struct pattern pattern;
    unsigned char received[PATTERN_SLICE_MAX];
};

/* Starts to connect, as connection `number`. Returns 0, or -1 with errno and it is closed. Its
 * goal, limit and mark are the caller's to set. */
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
