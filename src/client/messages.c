/* client/messages.c: see client/messages.h. */
#include "client/messages.h"

#include "base/clock.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

/* The most that is received at once, and so the least by which room for a reply grows. */
#define RECEIVE_SIZE 65536

/* The longest reply, so that a server which never stops does not fill our memory. More than any
 * reply to arguments, which have some megabytes at most, with each byte written as \xNN. */
#define REPLY_MAX ((size_t)64 << 20)

/* One message on its way, and what has come back for it. */
struct exchange {
    struct echo_client *client;
    const char *message;
    size_t size;
    size_t sent;
    unsigned long number; /* of the message, from 1, for what is logged */
    bool send_failed;     /* the server takes no more; what it sent before may still come */
    char *reply;          /* its memory is used again for the next message ... */
    size_t room;          /* ... and has so much room */
    size_t got;           /* bytes of the reply */
};

static bool whole_reply(const struct exchange *exchange)
{
    return exchange->sent == exchange->size && exchange->got >= exchange->size;
}

/* Whether the reply has begun and may be all that comes. */
static bool may_be_short_reply(const struct exchange *exchange)
{
    return !exchange->client->check && exchange->sent == exchange->size && exchange->got > 0;
}

static double patience(const struct exchange *exchange)
{
    double limit = client_patience(exchange->client);

    return may_be_short_reply(exchange) && (limit < 0 || limit > CLIENT_QUIET) ? CLIENT_QUIET
                                                                               : limit;
}

static enum client_status fail(const struct exchange *exchange, const char *what)
{
    client_log(exchange->client, "%s after %zu of %zu bytes of the reply to message %lu", what,
               exchange->got, exchange->size, exchange->number);
    return CLIENT_FAILED;
}

/* Makes room for what is received at once, and one byte more: the end of the line. */
static enum client_status make_room(struct exchange *exchange)
{
    size_t room = 2 * exchange->room + RECEIVE_SIZE + 1;
    char *reply;

    if (exchange->room - exchange->got > RECEIVE_SIZE)
        return CLIENT_ECHOED;
    reply = room <= REPLY_MAX ? realloc(exchange->reply, room) : NULL;
    if (reply == NULL)
        return fail(exchange, "no room for more");
    exchange->reply = reply;
    exchange->room = room;
    return CLIENT_ECHOED;
}

static enum client_status compare(const struct exchange *exchange, size_t before)
{
    for (size_t i = before; i < exchange->got && i < exchange->size; i++)
        if (exchange->reply[i] != exchange->message[i]) {
            client_log(exchange->client, "the echo of message %lu differs at byte %zu",
                       exchange->number, i + 1);
            return CLIENT_FAILED;
        }
    if (exchange->got > exchange->size) {
        client_log(exchange->client, "the echo of message %lu has more than its %zu bytes",
                   exchange->number, exchange->size);
        return CLIENT_FAILED;
    }
    return CLIENT_ECHOED;
}

/* Sends what can be sent now. */
static enum client_status send_more(struct exchange *exchange)
{
    ssize_t size = client_send(exchange->client, exchange->message + exchange->sent,
                               exchange->size - exchange->sent);

    if (size >= 0)
        exchange->sent += (size_t)size;
    else if (errno == EPIPE || errno == ECONNRESET)
        exchange->send_failed = true;
    else if (errno != EAGAIN)
        return fail(exchange, strerror(errno));
    return CLIENT_ECHOED;
}

/* Receives once. */
static enum client_status receive_reply(struct exchange *exchange)
{
    enum client_status status = make_room(exchange);
    size_t before = exchange->got;
    ssize_t size;

    if (status != CLIENT_ECHOED)
        return status;
    size = client_receive(exchange->client, exchange->reply + before, RECEIVE_SIZE);
    if (size == 0)
        return fail(exchange, "the server closed the connection");
    if (size == -1)
        return errno == EAGAIN ? CLIENT_ECHOED : fail(exchange, strerror(errno));
    exchange->got += (size_t)size;
    return exchange->client->check ? compare(exchange, before) : CLIENT_ECHOED;
}

/* Receives what arrived together with a whole reply. An end of file is for the next message to
 * find. */
static enum client_status receive_rest(struct exchange *exchange)
{
    enum client_status status;
    ssize_t size;

    while ((status = make_room(exchange)) == CLIENT_ECHOED) {
        size = client_receive(exchange->client, exchange->reply + exchange->got, RECEIVE_SIZE);
        if (size <= 0)
            break;
        exchange->got += (size_t)size;
    }
    return status;
}

/* Sends the message and receives its reply, at the same time: if we only sent, a server that echoes
 * a long message would at last wait for us to read, and we for it. */
static enum client_status exchange_message(struct exchange *exchange)
{
    struct pollfd wait = {.fd = exchange->client->descriptor};
    enum client_status status = CLIENT_ECHOED;
    bool sending;
    int ready;

    while (!whole_reply(exchange)) {
        if (exchange->sent < exchange->size && !exchange->send_failed)
            status = send_more(exchange);
        if (status != CLIENT_ECHOED)
            return status;
        sending = exchange->sent < exchange->size && !exchange->send_failed;
        wait.events = (short)(POLLIN | (sending ? POLLOUT : 0));
        ready = clock_poll(&wait, 1, patience(exchange));
        if (ready == 0 && may_be_short_reply(exchange))
            return CLIENT_ECHOED;
        if (ready == 0)
            return fail(exchange, "timed out");
        if (ready == -1)
            return fail(exchange, strerror(errno));
        if ((wait.revents & ~POLLOUT) != 0)
            status = receive_reply(exchange);
        if (status != CLIENT_ECHOED)
            return status;
    }
    return exchange->client->check ? CLIENT_ECHOED : receive_rest(exchange);
}

/* Prints the reply, as one line. */
static enum client_status print_reply(struct exchange *exchange)
{
    if (exchange->got == 0)
        return CLIENT_ECHOED;
    if (exchange->reply[exchange->got - 1] != '\n')
        exchange->reply[exchange->got++] = '\n'; /* make_room left the room */
    return client_print(exchange->client, exchange->reply, exchange->got) == 0 ? CLIENT_ECHOED
                                                                               : CLIENT_FAILED;
}

/* Ends the connection, when all has been echoed, by our end of file. With `check`, nothing more may
 * come before the server's, or within a short silence. */
static enum client_status finish(struct echo_client *client)
{
    struct pollfd wait = {.fd = client->descriptor, .events = POLLIN};
    char extra;

    (void)shutdown(client->descriptor, SHUT_WR);
    if (!client->check || clock_poll(&wait, 1, CLIENT_QUIET) <= 0 ||
        client_receive(client, &extra, sizeof extra) <= 0)
        return CLIENT_ECHOED;
    client_log(client, "more came back than was sent");
    return CLIENT_FAILED;
}

static enum client_status one_message(struct exchange *exchange, const char *message)
{
    enum client_status status, printed;

    exchange->message = message;
    exchange->size = strlen(message);
    exchange->sent = exchange->got = 0;
    exchange->number++;
    status = exchange_message(exchange);
    printed = print_reply(exchange);
    return status > printed ? status : printed;
}

enum client_status client_messages(struct echo_client *client, char *const *messages, size_t count,
                                   long repeat)
{
    struct exchange exchange = {.client = client};
    enum client_status status = CLIENT_ECHOED;

    for (long round = 0; round < repeat && status == CLIENT_ECHOED; round++)
        for (size_t i = 0; i < count && status == CLIENT_ECHOED; i++)
            status = one_message(&exchange, messages[i]);
    free(exchange.reply);
    return status == CLIENT_ECHOED ? finish(client) : status;
}
