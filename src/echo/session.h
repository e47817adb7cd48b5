/*
 * session.h: one client's echo as a small state machine over one descriptor.
 *
 * A session says what it wants next, to read, to write or to wait, and takes one step. A
 * blocking server loops over the steps (session_run does); an event-driven server takes
 * one when the descriptor is ready. It knows no fork, thread or listener.
 *
 *     header due? --> READ --> greeting owed? --> WRITE --> delay? --> PAUSE --> READ <--> WRITE
 *                                                                                 |          |
 *                                                                                 +--> DONE <+
 *
 * RFC 862: whatever is read is sent back, all of it, until the client has finished. At the
 * client's end of file everything is written already, for a session reads only when it
 * owes nothing; so the close that follows is an orderly one. Where the server ends the
 * connection itself (idle, lifetime), input may be unread, and closing then would send a
 * reset that can overtake what the client has yet to read (RFC 1122, 4.2.2.13; RFC 2525,
 * 2.17): session_finish discards what has arrived first. It does not wait for more: a client
 * that still sends after its time is over may get the reset all the same.
 *
 * A write waits until the kernel takes more: Linux does once about a third of the send buffer is
 * free. So a client that reads, but less than that in the idle limit (at the default, below some
 * 2 KiB/s), counts as idle. A blocking write waits in parts of that limit (session_set_timeouts),
 * so one that never reads may last a quarter longer.
 *
 * From a proxy, a PROXY header comes first: header.h reads it, and the echo begins after it.
 *
 * Cost: one buffer a session, no allocation; two system calls a message. Where a header is due:
 * two more calls for it (recv) and four for its time (setsockopt), or more where it comes in
 * pieces; where there are blocks, a comparison with each (access.h); else nothing.
 */
#ifndef SESSION_H
#define SESSION_H

#include "base/address.h"
#include "echo/access.h"
#include "echo/answers.h"
#include "echo/header.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* What every session of a server has in common; from the command line. */
struct service {
    struct answers answers; /* what is sent beside plain echo */
    double idle;            /* seconds that one read or write may wait; 0: no limit */
    double lifetime;        /* seconds from accept; 0: no limit */
    struct access proxies;  /* from these a PROXY header is due */
};

enum session_wants { SESSION_READ, SESSION_WRITE, SESSION_PAUSE, SESSION_DONE };

/* How a session ended. The numbers are the exit statuses of forkecho's children. */
enum session_ending {
    SESSION_EOF = 0,  /* the client finished */
    SESSION_IDLE,     /* nothing moved for the idle limit */
    SESSION_LIFETIME, /* the lifetime was over */
    SESSION_RESET,    /* the client's end is gone */
    SESSION_ERROR,    /* anything else */
    SESSION_PROXY,    /* the PROXY header is malformed, cut off or late: `header` says which */
    SESSION_ENDINGS
};

struct session {
    const struct service *service;
    struct peer peer; /* who the client is, for replies and the log */
    int descriptor; /* the caller's to close, after session_finish */
    enum session_wants wants;
    enum session_ending ending; /* valid once it wants SESSION_DONE */
    uint64_t in, out;           /* bytes read and written */
    struct header header;       /* the PROXY header, where one is due before everything else */
    char *buffer;               /* the caller's, of session_buffer_size bytes */
    struct answer unsent;       /* what is still to be written, and the pause after it */
};

/* The size of the buffer that a session of this service needs. */
size_t session_buffer_size(const struct service *service);

/* Whether a session of this service does nothing but system calls: no template, no PROXY header,
 * no look at the clock. Then its process needs neither the heap nor the vdso (platform.h). */
bool session_only_calls(const struct service *service);

/*
 * The buffer for a process that serves one session at a time. For plain echo it is part of the
 * program's own memory, which the parent never touches. Never given back. NULL with errno on
 * failure.
 */
char *session_only_buffer(const struct service *service);

void session_open(struct session *session, const struct service *service, int descriptor,
                  const struct peer *peer, char *buffer);

/* Takes one step: one read or write, or the end of the pause. Returns false when nothing
 * moved because the descriptor was not ready (EAGAIN) or a signal came. */
bool session_step(struct session *session);

/* Ends it from outside: a limit is reached, the server stops. A header that has begun when the
 * session ends as idle is late. */
void session_end(struct session *session, enum session_ending ending);

/* Once it wants SESSION_DONE: makes the descriptor ready to be closed, so that no input that
 * has arrived turns the close into a reset. Does not wait. */
void session_finish(struct session *session);

/*
 * Has the system end a read on a blocking descriptor after the idle limit (SO_RCVTIMEO), and a
 * write after a part of it (SO_SNDTIMEO): one that has written something before it waited says so
 * and not for how long, so several short waits tell better than a long one. 0: no limit.
 */
void session_set_timeouts(int descriptor, double idle);

/* How many parts: a client that does not read is noticed late by one of them at most. */
#define SESSION_WRITE_PARTS 4

/* Serves a session on a blocking descriptor to its end, by the limits of its service, and
 * finishes it. session_set_timeouts must have set its idle limit. */
void session_run(struct session *session);

/* The word for log lines: "eof", "idle", ...; "error" for what is no enum session_ending. */
const char *session_ending_name(int ending);

#endif
