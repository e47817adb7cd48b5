/* load_connection.c: see load_connection.h. */
#include "load_connection.h"

#include "connecting.h"
#include "readiness.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

int connection_open(struct connection *connection, struct target *target, uint64_t number)
{
    connection->descriptor = target_connect(target);
    connection->wanted = READINESS_NONE;
    connection->origin = pattern_origin(number);
    connection->sent = connection->received = 0;
    connection->state =
        connection->descriptor == -1 ? CONNECTION_CLOSED : CONNECTION_CONNECTING;
    return connection->descriptor == -1 ? -1 : 0;
}

void connection_close(struct connection *connection)
{
    if (connection->descriptor != -1)
        close(connection->descriptor);
    connection->descriptor = -1;
    connection->state = CONNECTION_CLOSED;
}

unsigned connection_wants(const struct connection *connection)
{
    switch (connection->state) {
    case CONNECTION_CONNECTING:
        return READINESS_WRITE;
    case CONNECTION_ECHOING:
        return READINESS_READ |
               (connection->sent < connection->limit ? (unsigned)READINESS_WRITE : 0U);
    case CONNECTION_RESTING:
        return READINESS_READ;
    default:
        return READINESS_NONE;
    }
}

static enum connection_outcome fail(enum load_failure *why, enum load_failure reason, int error)
{
    *why = reason;
    errno = error;
    return CONNECTION_FAILED;
}

/* A reset can only come from a server that had answered; what else goes wrong while
 * connecting is a connection that was never made. */
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

static enum connection_outcome send_more(struct connection *connection,
                                         const struct exchange *exchange,
                                         enum load_failure *why)
{
    uint64_t left = connection->limit - connection->sent;
    size_t size = left < exchange->write_max ? (size_t)left : exchange->write_max;
    const unsigned char *bytes =
        pattern_slice(&exchange->pattern, connection->origin, connection->sent);
    ssize_t count = write(connection->descriptor, bytes, size);

    if (count == -1 && !is_temporary(connection, errno))
        return fail_by_error(connection, why, errno);
    if (count > 0) {
        connection->sent += (uint64_t)count;
        connection->state = CONNECTION_ECHOING;
    }
    return CONNECTION_GOES_ON;
}

/* Reads as much as there is room for, not only what is expected: too much is wrong, too. */
static enum connection_outcome receive_more(struct connection *connection,
                                            struct exchange *exchange, enum load_failure *why)
{
    ssize_t count =
        read(connection->descriptor, exchange->received, sizeof exchange->received);
    const unsigned char *expected;

    if (count == -1)
        return is_temporary(connection, errno) ? CONNECTION_GOES_ON
                                               : fail_by_error(connection, why, errno);
    if (count == 0)
        return fail(why, FAILED_EARLY, 0);
    if ((uint64_t)count > connection->sent - connection->received)
        return fail(why, FAILED_WRONG, 0);
    expected = pattern_slice(&exchange->pattern, connection->origin, connection->received);
    if (memcmp(exchange->received, expected, (size_t)count) != 0)
        return fail(why, FAILED_WRONG, 0);
    connection->received += (uint64_t)count;
    return CONNECTION_GOES_ON;
}

enum connection_outcome connection_step(struct connection *connection, struct exchange *exchange,
                                        unsigned ready, enum load_failure *why)
{
    enum connection_outcome outcome = CONNECTION_GOES_ON;

    if (connection->state == CONNECTION_CONNECTING) {
        /* Watched for writing only, so ready for both is an error. */
        int error = (ready & READINESS_READ) != 0 ? connecting_error(connection->descriptor) : 0;
        if (error != 0)
            return fail_by_error(connection, why, error);
    } else if ((ready & READINESS_READ) != 0) {
        outcome = receive_more(connection, exchange, why);
    }
    if (outcome == CONNECTION_GOES_ON && (ready & READINESS_WRITE) != 0 &&
        connection->sent < connection->limit)
        outcome = send_more(connection, exchange, why);
    if (outcome == CONNECTION_GOES_ON && connection->state == CONNECTION_ECHOING &&
        connection->received >= connection->mark)
        outcome = CONNECTION_COMPLETE;
    return outcome;
}
