/* session.c: see session.h. */
#include "echo/session.h"

#include "base/clock.h"
#include "base/descriptors.h"
#include "platform/platform.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

/* What session_finish discards at most, in bytes: more than a receive buffer holds by default. */
#define DISCARD_MAX (8 * 1024 * 1024)
#define CLOSING_TIME 10.0 /* seconds: who takes nothing for so long does not get the rest */

/* What comes next: writing what is unsent, then the pause after it, then the next read. */
static void choose_next(struct session *session)
{
    session->wants = session->unsent.size > 0    ? SESSION_WRITE
                     : session->unsent.pause > 0 ? SESSION_PAUSE
                                                 : SESSION_READ;
}

/* Sends back `size` bytes of the buffer, or another answer: before the first read a greeting. */
static void answer(struct session *session, size_t size)
{
    session->unsent = (struct answer){.bytes = session->buffer, .size = size};
    answers_apply(&session->service->answers, &session->peer, &session->unsent);
    choose_next(session);
}

void session_open(struct session *session, const struct service *service, int descriptor,
                  const struct peer *peer, char *buffer)
{
    *session = (struct session){
        .service = service, .peer = *peer, .descriptor = descriptor, .buffer = buffer};
    session->header.due = service->proxies.count > 0 && access_names(&service->proxies, peer);
    if (session->header.due)
        session->wants = SESSION_READ;
    else
        answer(session, 0);
}

void session_end(struct session *session, enum session_ending ending)
{
    session->wants = SESSION_DONE;
    session->ending = ending;
    if (ending == SESSION_IDLE && session->header.due && session->header.size > 0) {
        session->ending = SESSION_PROXY;
        session->header.problem = PROXY_LATE;
    }
}

/* A read or write failed. Returns what session_step does. */
static bool handle_error(struct session *session)
{
    if (errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR)
        return false;
    /* EACCES: a firewall forbids the way there (ICMPv6). */
    session_end(session, descriptors_lost_peer(errno) || errno == EACCES ? SESSION_RESET
                                                                         : SESSION_ERROR);
    return true;
}

/* What has come of the PROXY header is kept in the buffer until it is complete. Then the client is
 * known, and may get a greeting. */
static bool step_header(struct session *session)
{
    struct header *header = &session->header;
    char *next = session->buffer + header->size;
    struct proxy_header found;
    ssize_t size = recv(session->descriptor, next, PROXY_HEADER_MAX - header->size, MSG_PEEK);
    int complete = -1;

    if (size == -1)
        return handle_error(session);
    if (size == 0 && header->size == 0) {
        session_end(session, SESSION_EOF);
        return true;
    }
    if (size == 0)
        header->problem = PROXY_CUT;
    else
        complete = proxy_parse(session->buffer, header->size + (size_t)size, &found,
                               &header->problem);
    if (complete == -1) {
        session_end(session, SESSION_PROXY);
        return true;
    }
    size = recv(session->descriptor, next, complete ? found.size - header->size : (size_t)size, 0);
    if (size == -1)
        return handle_error(session);
    header->size += (size_t)size;
    if (!complete || header->size < found.size)
        return true;
    header->due = false;
    header->named = found.known;
    if (found.known)
        session->peer = found.peer;
    answer(session, 0);
    return true;
}

static bool step_read(struct session *session)
{
    ssize_t size = read(session->descriptor, session->buffer,
                        answers_message_size(&session->service->answers));

    if (size == -1)
        return handle_error(session);
    session->in += (uint64_t)size;
    if (size == 0)
        session_end(session, SESSION_EOF);
    else
        answer(session, (size_t)size);
    return true;
}

static bool step_write(struct session *session)
{
    struct answer *unsent = &session->unsent;
    ssize_t size = write(session->descriptor, unsent->bytes, unsent->size);

    if (size == -1)
        return handle_error(session);
    session->out += (uint64_t)size;
    unsent->bytes += size;
    unsent->size -= (size_t)size;
    choose_next(session);
    return true;
}

bool session_step(struct session *session)
{
    switch (session->wants) {
    case SESSION_READ: return session->header.due ? step_header(session) : step_read(session);
    case SESSION_WRITE: return step_write(session);
    case SESSION_PAUSE:
        session->unsent.pause = 0;
        choose_next(session);
        return true;
    case SESSION_DONE: break;
    }
    return false;
}

static void discard_input(const struct session *session)
{
    size_t room = session_buffer_size(session->service), discarded = 0;
    ssize_t size;

    do {
        size = recv(session->descriptor, session->buffer, room, MSG_DONTWAIT);
        discarded += size > 0 ? (size_t)size : 0;
    } while (size > 0 && discarded < DISCARD_MAX);
}

void session_finish(struct session *session)
{
    /* With this a close resets, which frees at once what the kernel holds. */
    const struct linger at_once = {.l_onoff = 1, .l_linger = 0};
    bool unsent = session->unsent.size > 0;

    if (session->ending == SESSION_IDLE && unsent) {
        (void)setsockopt(session->descriptor, SOL_SOCKET, SO_LINGER, &at_once, sizeof at_once);
    } else if (session->ending == SESSION_IDLE || session->ending == SESSION_LIFETIME) {
        platform_give_up_after(session->descriptor, CLOSING_TIME);
        (void)shutdown(session->descriptor, SHUT_WR);
        discard_input(session);
    } else if (session->ending == SESSION_RESET && unsent &&
               session->peer.name.any.sa_family == AF_UNIX) {
        /* It has gone before its greeting, say. Descriptors that it has passed are closed here, not
         * by a parent that has yet to close its copy of the socket (server/listener.h). */
        discard_input(session);
    }
}

size_t session_buffer_size(const struct service *service)
{
    size_t size = answers_buffer_size(&service->answers);

    return service->proxies.count > 0 && size < PROXY_HEADER_MAX ? PROXY_HEADER_MAX : size;
}

bool session_only_calls(const struct service *service)
{
    return service->answers.reply == NULL && service->answers.greeting == NULL &&
           service->answers.delay <= 0 && service->lifetime <= 0 && service->proxies.count == 0;
}

char *session_only_buffer(const struct service *service, char *own)
{
    size_t size = session_buffer_size(service);

    return size <= MESSAGE_SIZE_MAX ? own : malloc(size);
}

/* Waits out the pause, or the lifetime where that is over first, or until the connection is reset
 * or shut down both ways. Where poll fails, as it does with RLIMIT_NOFILE 0, this only sleeps. */
static void pause_session(const struct session *session, double deadline)
{
    struct pollfd gone = {.fd = session->descriptor, .events = 0};
    double pause = session->unsent.pause, left = deadline - clock_seconds();

    if (deadline > 0 && left < pause)
        pause = left > 0 ? left : 0;
    if (clock_poll(&gone, 1, pause) == -1)
        clock_sleep(pause);
}

void session_set_timeouts(int descriptor, double idle)
{
    struct timeval read = clock_timeval(idle), write = clock_timeval(idle / SESSION_WRITE_PARTS);

    (void)setsockopt(descriptor, SOL_SOCKET, SO_RCVTIMEO, &read, sizeof read);
    (void)setsockopt(descriptor, SOL_SOCKET, SO_SNDTIMEO, &write, sizeof write);
}

static int waits_allowed(const struct session *session)
{
    return session->wants == SESSION_WRITE ? SESSION_WRITE_PARTS : 1;
}

/* With a lifetime, no step may wait beyond its end. A timer's signal would cost no calls, but could
 * come just before the read that it is to interrupt. Returns false when the lifetime is over.
 * `*idle_first`: the idle limit, or a part of it, ends the next wait, not the lifetime. */
static bool limit_wait(const struct session *session, double deadline, bool *idle_first)
{
    double left = deadline - clock_seconds(), idle = session->service->idle;

    if (left <= 0)
        return false;
    *idle_first = idle > 0 && idle / waits_allowed(session) < left;
    session_set_timeouts(session->descriptor, *idle_first ? idle : left);
    return true;
}

double session_header_time(double idle)
{
    return idle > 0 && idle < HEADER_TIME ? idle : HEADER_TIME;
}

bool session_run_header(struct session *session, double deadline)
{
    double idle = session->service->idle, end, left;

    if (!session->header.due)
        return true;
    end = clock_earlier(clock_seconds() + session_header_time(idle), deadline);
    while (session->header.due && session->wants != SESSION_DONE) {
        if ((left = end - clock_seconds()) <= 0) {
            session_end(session, end == deadline ? SESSION_LIFETIME : SESSION_IDLE);
        } else {
            session_set_timeouts(session->descriptor, left);
            (void)session_step(session);
        }
    }
    session_set_timeouts(session->descriptor, idle);
    return session->wants != SESSION_DONE;
}

void session_run(struct session *session)
{
    const struct service *service = session->service;
    double deadline = service->lifetime > 0 ? clock_seconds() + service->lifetime : 0;
    bool idle_first = true;
    int waits = 0; /* in a row, each of which the idle limit has ended */

    (void)session_run_header(session, deadline);
    while (session->wants != SESSION_DONE) {
        if (session->wants == SESSION_PAUSE)
            pause_session(session, deadline);
        if (deadline > 0 && !limit_wait(session, deadline, &idle_first))
            session_end(session, SESSION_LIFETIME);
        else if (session_step(session))
            waits = 0;
        /* A wait that ended with the lifetime needs nothing here: the next turn finds it over. Or
         * it waits again: Linux counts timeouts in ticks, and may end one a tick too early. */
        else if (errno != EINTR && idle_first && ++waits >= waits_allowed(session))
            session_end(session, SESSION_IDLE);
    }
    session_finish(session);
}

const char *session_ending_name(int ending)
{
    static const char *const names[SESSION_ENDINGS] = {"eof",   "idle",  "lifetime",
                                                       "reset", "error", "proxy"};

    return ending >= SESSION_EOF && ending < SESSION_ENDINGS ? names[ending] : "error";
}
