/* load/connection.c: see load/connection.h. */
#include "load/connection.h"

#include "base/connecting.h"
#include "platform/readiness.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

int connection_open(struct connection *connection, struct target *target, uint64_t number)
{
    connection->descriptor = target_connect(target);
    connection->wanted = READINESS_NONE;
    connection->origin = pattern_origin(number);
    connection->sent = connection->received = 0;
    connection->finished = connection->ended = false;
    connection->state =
        connection->descriptor == -1 ? CONNECTION_CLOSED : CONNECTION_CONNECTING;
    return connection->descriptor == -1 ? -1 : 0;
}

static bool has_more(const struct connection *connection)
{
    return connection->sent < connection->limit && connection->goal != GOAL_CONNECT;
}

static bool reads(const struct connection *connection)
{
    return connection->goal != GOAL_SEND && connection->goal != GOAL_NONE;
}

/* Has the close that follows send a reset in place of an end of file (SO_LINGER, time 0). */
static void prepare_reset(int descriptor)
{
    struct linger at_once = {.l_onoff = 1};

    setsockopt(descriptor, SOL_SOCKET, SO_LINGER, &at_once, sizeof at_once);
}

void connection_close(struct connection *connection)
{
    if (connection->descriptor != -1 && !reads(connection))
        prepare_reset(connection->descriptor);
    if (connection->descriptor != -1)
        close(connection->descriptor);
    connection->descriptor = -1;
    connection->state = CONNECTION_CLOSED;
}

unsigned connection_wants(const struct connection *connection)
{
    if (connection->state == CONNECTION_CONNECTING)
        return READINESS_WRITE;
    if (connection->state == CONNECTION_ECHOING)
        return (reads(connection) ? (unsigned)READINESS_READ : 0U) |
               (has_more(connection) ? (unsigned)READINESS_WRITE : 0U);
    return connection->descriptor != -1 ? READINESS_READ : READINESS_NONE;
}

static enum connection_outcome fail(enum load_failure *why, enum load_failure reason, int error)
{
    *why = reason;
    errno = error;
    return CONNECTION_FAILED;
}

/* Only a server that has accepted resets. All else that goes wrong while connecting is a
 * connection that was never made. */
static enum connection_outcome fail_by_error(const struct connection *connection,
                                             enum load_failure *why, int error)
{
    if (error == ECONNRESET || error == EPIPE)
        return fail(why, FAILED_RESET, error);
    if (error == ETIMEDOUT)
        return fail(why, FAILED_TIMEOUT, error);
    return fail(why, connection->state == CONNECTION_CONNECTING ? FAILED_CONNECT : FAILED_RESET,
                error);
}

static bool is_temporary(const struct connection *connection, int error)
{
    return error == EAGAIN || error == EWOULDBLOCK || error == EINTR ||
           (connection->state == CONNECTION_CONNECTING && error == ENOTCONN);
}

/* The size of the next write. */
static size_t write_size(const struct connection *connection, const struct load_buffers *buffers)
{
    uint64_t left = connection->limit - connection->sent;

    if (connection->goal == GOAL_DRIBBLE)
        return 1;
    return left < buffers->write_max ? (size_t)left : buffers->write_max;
}

static enum connection_outcome send_more(struct connection *connection,
                                         const struct load_buffers *buffers,
                                         enum load_failure *why)
{
    const unsigned char *bytes =
        pattern_slice(&buffers->pattern, connection->origin, connection->sent);
    ssize_t count = send(connection->descriptor, bytes, write_size(connection, buffers), 0);

    if (count == -1)
        return is_temporary(connection, errno) ? CONNECTION_GOES_ON
                                               : fail_by_error(connection, why, errno);
    connection->state = CONNECTION_ECHOING;
    connection->sent += (uint64_t)count;
    if (connection->goal == GOAL_END && connection->sent == connection->limit) {
        connection->finished = true;
        shutdown(connection->descriptor, SHUT_WR); /* if this fails, reading says why */
    }
    return CONNECTION_GOES_ON;
}

/* Reads as much as there is room for, more than is expected: more would be wrong. */
static enum connection_outcome receive_more(struct connection *connection,
                                            struct load_buffers *buffers, enum load_failure *why)
{
    ssize_t count =
        recv(connection->descriptor, buffers->received, sizeof buffers->received, 0);
    const unsigned char *expected;

    if (count == -1)
        return is_temporary(connection, errno) ? CONNECTION_GOES_ON
                                               : fail_by_error(connection, why, errno);
    if (count == 0) {
        connection->ended = connection->finished && connection->received == connection->limit;
        return connection->ended ? CONNECTION_GOES_ON : fail(why, FAILED_EARLY, 0);
    }
    if ((uint64_t)count > connection->sent - connection->received)
        return fail(why, FAILED_WRONG, 0);
    expected = pattern_slice(&buffers->pattern, connection->origin, connection->received);
    if (memcmp(buffers->received, expected, (size_t)count) != 0)
        return fail(why, FAILED_WRONG, 0);
    connection->received += (uint64_t)count;
    return CONNECTION_GOES_ON;
}

/* That it is connected shows when the first write succeeds. One that writes nothing asks for its
 * peer, which it does not have before (POSIX.1-2008, getpeername). */
static enum connection_outcome establish(struct connection *connection, unsigned ready,
                                         enum load_failure *why)
{
    struct sockaddr_storage peer;
    socklen_t length = sizeof peer;
    /* It is watched for writing only: that it is ready to read as well means an error. */
    int error = (ready & READINESS_READ) != 0 ? connecting_error(connection->descriptor) : 0;

    if (error != 0)
        return fail_by_error(connection, why, error);
    if (connection->goal == GOAL_CONNECT &&
        getpeername(connection->descriptor, (struct sockaddr *)&peer, &length) == 0)
        connection->state = CONNECTION_ECHOING;
    return CONNECTION_GOES_ON;
}

static bool is_complete(const struct connection *connection)
{
    if (connection->state != CONNECTION_ECHOING)
        return false;
    switch (connection->goal) {
    case GOAL_ECHO:
    case GOAL_DRIBBLE:
        return connection->received >= connection->mark;
    case GOAL_CONNECT:
        return true;
    case GOAL_SEND:
        return connection->sent >= connection->mark;
    case GOAL_END:
        return connection->ended;
    case GOAL_NONE:
        break;
    }
    return false;
}

enum connection_outcome connection_step(struct connection *connection, struct load_buffers *buffers,
                                        unsigned ready, enum load_failure *why)
{
    enum connection_outcome outcome = CONNECTION_GOES_ON;

    if (connection->state == CONNECTION_CONNECTING)
        outcome = establish(connection, ready, why);
    else if ((ready & READINESS_READ) != 0 && reads(connection))
        outcome = receive_more(connection, buffers, why);
    if (outcome == CONNECTION_GOES_ON && (ready & READINESS_WRITE) != 0 && has_more(connection))
        outcome = send_more(connection, buffers, why);
    if (outcome == CONNECTION_GOES_ON && is_complete(connection))
        outcome = CONNECTION_COMPLETE;
    return outcome;
}
