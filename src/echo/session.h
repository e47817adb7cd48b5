/*
 * session.h: one client's echo as a small state machine over one descriptor.
 *
 * A blocking server takes step after step (session_run), an event-driven one a step when the
 * descriptor is ready. A session knows no fork, thread or listener.
 *
 *                       +------ they are written ------+
 *                       v                              |
 *     session_open --> READ --- bytes are read -----> WRITE
 *                       |
 *                       +------ end of file --------> DONE    (an error or a limit: from any state)
 *
 * RFC 862: all that the client sends is sent back, until the client has finished. A session reads
 * only when everything is written. So nothing is left to send when it reads end of file, and the
 * close that follows is orderly, also for a client that has closed its sending side only.
 *
 * Beside it: a PROXY header; a greeting, a delay after it (a fourth state, PAUSE), replies
 * (answers.h).
 * Cost: a buffer a session; two system calls a message, and with a lifetime two more a step, which
 * shorten the socket's timeouts.
 */
#ifndef SESSION_H
#define SESSION_H

#include "echo/access.h"
#include "echo/answers.h"
#include "echo/proxy.h"

/* What every session of a server has in common; from the command line. */
struct service {
    struct answers answers; /* what is sent beside plain echo */
    double idle;            /* seconds that a read or write may wait (below); 0: no limit */
    double lifetime;        /* seconds from accept; 0: no limit */
    struct access proxies;  /* from these a PROXY header is due */
};

enum session_wants { SESSION_READ, SESSION_WRITE, SESSION_PAUSE, SESSION_DONE };

/* How a session ended. The numbers are the exit statuses of forkecho's children. */
enum session_ending {
    SESSION_EOF = 0,  /* the client finished */
    SESSION_IDLE,     /* nothing moved for the idle limit */
    SESSION_LIFETIME, /* the lifetime was over */
    SESSION_RESET,    /* the client, or the way to it, is gone */
    SESSION_ERROR,    /* anything else */
    SESSION_PROXY,    /* the PROXY header is malformed, cut off or late: `header` says which */
    SESSION_ENDINGS
};

/* A PROXY header is required of a client in one of the service's blocks, and believed; of anybody
 * else it is not looked for: guessing would let any client say who it is. Nothing is sent before it
 * is complete. It is peeked at and read to its last byte: neither input nor a message. Cost: two
 * system calls for each piece in which it comes; a blocking session, four, and two more.
 *
 * A proxy that closes without a byte is checking our health; one that sends nothing and waits is
 * idle. A header that has begun and is malformed, cut off or late ends the session with the reason,
 * perhaps by a reset, so that the proxy notices. */
struct header {
    bool due;                   /* it is still to be read */
    bool named;                 /* it has named the client */
    size_t size;                /* bytes of it that were read */
    enum proxy_problem problem; /* what is wrong with it */
};

struct session {
    const struct service *service;
    struct peer peer;           /* the client, for replies and the log */
    int descriptor;             /* the caller's to close, after session_finish */
    enum session_wants wants;
    enum session_ending ending; /* valid once it wants SESSION_DONE */
    uint64_t in, out;           /* bytes read and written */
    struct header header;       /* the PROXY header, where one is due first */
    char *buffer;               /* the caller's, of session_buffer_size bytes */
    struct answer unsent;       /* what is still to be written, and the pause after it */
};

/* A session's buffer size; and whether it makes only system calls (platform_withhold_memory). */
size_t session_buffer_size(const struct service *service);
bool session_only_calls(const struct service *service);

/* The buffer of a process that serves one session at a time: `own`, of MESSAGE_SIZE_MAX bytes, and
 * for longer replies one that is never freed. Returns NULL with errno on failure. */
char *session_only_buffer(const struct service *service, char *own);

/* Begins a session. `service` and `buffer` must outlive it; `peer` is copied. */
void session_open(struct session *session, const struct service *service, int descriptor,
                  const struct peer *peer, char *buffer);

/* Takes one step: one read or write, or the end of a pause, which the caller waits out. Returns
 * false with errno when nothing moved (EAGAIN, EINTR). Any other failure ends the session. */
bool session_step(struct session *session);

/* Ends a session from outside; one that is idle within its PROXY header, as SESSION_PROXY: late. */
void session_end(struct session *session, enum session_ending ending);

/* Makes the descriptor of a session that wants SESSION_DONE ready to be closed. Does not wait.
 * Where a limit has ended it, input may be unread: a close would send a reset, which can destroy
 * what the client has yet to read (RFC 1122, 4.2.2.13; RFC 2525, 2.17). So what has arrived is
 * discarded first; who goes on sending may still get a reset. What is not read must not stay in the
 * kernel for long, as no limit counts it any more: a client that was idle while something was
 * unsent is reset; to others the kernel goes on sending as long as they read
 * (platform_give_up_after). */
void session_finish(struct session *session);

/* A blocking write waits for the idle limit in so many parts: one that moves some bytes and then
 * waits in vain returns their count alone, so a client that stops reading is noticed a part late.
 * On Linux it moves once a third of the send buffer is free: who reads less by then is idle. */
#define SESSION_WRITE_PARTS 4

/* Lets a read on a blocking descriptor wait `idle` seconds, a write a part of them; 0: no limit. */
void session_set_timeouts(int descriptor, double idle);

/* Seconds that all of a PROXY header may take: those of the idle limit (0: none), at most
 * HEADER_TIME. */
#define HEADER_TIME 60.0 /* a header comes at once, unless segments are lost */
double session_header_time(double idle);

/* Reads the PROXY header, where one is due, on a blocking descriptor, until `deadline` (clock.h; 0:
 * none): all of a session that a program in place of the echo needs. Returns whether the session
 * goes on; else it wants SESSION_DONE. */
bool session_run_header(struct session *session, double deadline);

/* Serves a session to its end, with session_finish, on a blocking descriptor that has timeouts. */
void session_run(struct session *session);

/* The word for log lines: "eof", "idle" ...; "error" for a number that is no session_ending. */
const char *session_ending_name(int ending);

#endif
