/*
 * load/connection.h: one connection of a load generator, as a small state machine.
 *
 * It is the client's counterpart of the server's echo/session.h. A step sends what is allowed,
 * receives what has come and checks every byte. All workloads are this one machine; they differ in
 * how far it may send (`limit`) and in when it is complete (its goal). It knows no loop and no
 * clock. Read load/loop.h next.
 *
 * System calls for a connection that echoes one message, when nothing has to wait: socket, two for
 * a source of its own, connect, send, recv, close, and by epoll one to watch it (load/loop.h). To
 * send is tried at once: over loopback the handshake is done by then.
 */
#ifndef LOAD_CONNECTION_H
#define LOAD_CONNECTION_H

#include "base/pattern.h"
#include "base/timers.h"
#include "load/target.h"

#include <stdbool.h>
#include <stdint.h>

/* Why a connection failed. */
enum load_failure {
    FAILED_CONNECT, /* it was refused, or there was no way to connect */
    FAILED_RESET,   /* it was reset, or broken in another way that the system reports */
    FAILED_EARLY,   /* the server ended it before all was echoed */
    FAILED_WRONG,   /* wrong bytes came, or more than were sent */
    FAILED_TIMEOUT, /* nothing was sent or received for too long */
    FAILURES
};

/* When a connection is complete. A message is its bytes up to the mark. */
enum connection_goal {
    GOAL_ECHO,    /* when the message has come back */
    GOAL_DRIBBLE, /* the same, but each byte is written by itself */
    GOAL_CONNECT, /* when it is connected */
    GOAL_SEND,    /* when the message is sent; nothing is read, and closing resets it */
    GOAL_END,     /* when the message has come back and, after our end of file, the server's */
    GOAL_NONE     /* never: it sends what the server takes, and reads nothing */
};

enum connection_state {
    CONNECTION_CLOSED,
    CONNECTION_WAITING,    /* until it is time to connect, or to send if it is open */
    CONNECTION_CONNECTING,
    CONNECTION_ECHOING,    /* bytes are to be sent or to come back */
    CONNECTION_RESTING     /* open; all has come back */
};

enum connection_outcome {
    CONNECTION_GOES_ON,
    CONNECTION_COMPLETE, /* its goal is reached */
    CONNECTION_FAILED
};

/* The times of a request, as the loop enters them; 0 for what has not happened. */
struct connection_times {
    double intended;   /* when it was to begin */
    double started;    /* when it began, perhaps to wait for a port */
    double connecting; /* when it began to connect */
    double sending;    /* when it was connected, or began to send on an open connection */
    double first;      /* when the first byte was back */
};

struct connection {
    int descriptor;
    enum connection_state state;
    enum connection_goal goal;
    unsigned wanted;   /* what the loop watches it for (readiness.h) */
    bool measured;     /* what is on its way is a request that counts */
    bool finished;     /* it has sent its end of file, which only GOAL_END does ... */
    bool ended;        /* ... and has received the server's */
    uint32_t origin;   /* where its bytes begin in the pattern */
    uint64_t sent, received; /* bytes since it was opened */
    uint64_t limit;    /* how many it may send */
    uint64_t mark;     /* how many have come back when the message has */
    struct connection_times times;
    double progressed; /* when anything last happened to it */
    struct timer timer; /* of the loop: when it goes on, where it waits for that */
};

/* What the steps of all connections share. */
struct load_buffers {
    size_t write_max; /* most bytes of one write, at most PATTERN_SLICE_MAX */
    struct pattern pattern;
    unsigned char received[PATTERN_SLICE_MAX];
};

/* Starts to connect, as connection `number`. Returns 0, or -1 with errno; then it is closed. The
 * caller sets goal, limit and mark. */
int connection_open(struct connection *connection, struct target *target, uint64_t number);
void connection_close(struct connection *connection);

/*
 * Does what can be done now without waiting: at most one read and one write. `ready` is what it is
 * ready for (readiness.h); to try a write at once, say READINESS_WRITE. On failure `*why` is set,
 * and errno, which is 0 where the system reported no error.
 */
enum connection_outcome connection_step(struct connection *connection, struct load_buffers *buffers,
                                        unsigned ready, enum load_failure *why);

/* What it waits for now. */
unsigned connection_wants(const struct connection *connection);

#endif
