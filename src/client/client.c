/* client/client.c: see client/client.h. */
#include "client/client.h"

#include "base/clock.h"
#include "base/connecting.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

/* Room for a line that names the sixteen addresses of a server and why each failed. */
#define LINE_MAX_BYTES 2048

/* How often to try a full Unix socket again, in seconds: there is no event to wait for. */
#define FULL_BACKLOG_PAUSE 0.01

void client_log(const struct echo_client *client, const char *format, ...)
{
    char line[LINE_MAX_BYTES];
    int length = snprintf(line, sizeof line, "%s: ", client->name);
    size_t used = (size_t)length;
    va_list values;

    va_start(values, format);
    length = vsnprintf(line + used, sizeof line - used, format, values);
    va_end(values);
    used += length > 0 ? (size_t)length : 0;
    if (used > sizeof line - 1)
        used = sizeof line - 1;
    line[used++] = '\n';
    /* If standard error fails, there is nobody to tell. */
    if (write(STDERR_FILENO, line, used) == -1)
        return;
}

double client_patience(const struct echo_client *client)
{
    return client->timeout > 0 ? client->timeout : -1;
}

/* ---- connecting ------------------------------------------------------------------------- */

/* As connect(2), but waits where the backlog of a Unix socket is full: on a socket that does not
 * block, that fails at once (Linux: EAGAIN). */
static int connect_through_backlog(int descriptor, const struct address *address, double timeout)
{
    double deadline = clock_seconds() + timeout;

    while (connect(descriptor, &address->name.any, address->length) == -1) {
        if (errno != EAGAIN || address->name.any.sa_family != AF_UNIX)
            return -1;
        if (timeout > 0 && clock_seconds() >= deadline) {
            errno = ETIMEDOUT;
            return -1;
        }
        clock_sleep(FULL_BACKLOG_PAUSE);
    }
    return 0;
}

/* Where nobody listens on a port, the kernel may pick just that as our own. TCP then connects us to
 * ourselves (simultaneous open: RFC 9293, 3.5), with a perfect echo. It counts as refused. */
static bool connected_to_itself(int descriptor, const struct address *address)
{
    struct address own;

    own.length = sizeof own.name;
    return address->name.any.sa_family != AF_UNIX &&
           getsockname(descriptor, &own.name.any, &own.length) == 0 &&
           own.length == address->length && memcmp(&own.name, &address->name, own.length) == 0;
}

static int open_connection(const struct echo_client *client, int descriptor,
                           const struct address *address)
{
    const int on = 1;

    if (fcntl(descriptor, F_SETFL, O_NONBLOCK) == -1)
        return -1;
    if (connect_through_backlog(descriptor, address, client->timeout) == -1 &&
        ((errno != EINPROGRESS && errno != EINTR) ||
         connecting_wait(descriptor, client_patience(client)) == -1))
        return -1;
    if (connected_to_itself(descriptor, address)) {
        errno = ECONNREFUSED;
        return -1;
    }
    /* The end of a long message is not to wait for the acknowledgement of its beginning. */
    if (address->name.any.sa_family != AF_UNIX)
        (void)setsockopt(descriptor, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    return 0;
}

/* Returns a connected socket, or -1 with errno. */
static int connect_to(const struct echo_client *client, const struct address *address)
{
    int descriptor = socket(address->name.any.sa_family, SOCK_STREAM, 0);

    if (descriptor == -1 || open_connection(client, descriptor, address) == 0)
        return descriptor;
    return connecting_failed(descriptor);
}

static void log_connected(const struct echo_client *client, const struct address *address)
{
    char there[ADDRESS_TEXT_MAX], here[ADDRESS_TEXT_MAX] = "local";
    struct address own;

    own.length = sizeof own.name;
    if (address->name.any.sa_family != AF_UNIX &&
        getsockname(client->descriptor, &own.name.any, &own.length) == 0)
        address_text(&own.name.any, here);
    client_log(client, "connected to %s from %s", address_text(&address->name.any, there), here);
}

enum client_status client_connect(struct echo_client *client, const struct address *addresses,
                                  size_t count)
{
    char failures[LINE_MAX_BYTES] = "", text[ADDRESS_TEXT_MAX];
    size_t used = 0;

    for (size_t i = 0; i < count; i++) {
        client->descriptor = connect_to(client, &addresses[i]);
        if (client->descriptor != -1) {
            if (client->verbose)
                log_connected(client, &addresses[i]);
            return CLIENT_ECHOED;
        }
        if (used < sizeof failures)
            used += (size_t)snprintf(failures + used, sizeof failures - used, "%s to %s: %s",
                                     i > 0 ? ";" : "", address_text(&addresses[i].name.any, text),
                                     strerror(errno));
    }
    client_log(client, "cannot connect%s", failures);
    return CLIENT_UNREACHED;
}

/* ---- moving bytes ----------------------------------------------------------------------- */

static ssize_t count_moved(ssize_t moved, uint64_t *counter)
{
    if (moved > 0)
        *counter += (uint64_t)moved;
    else if (moved == -1 && (errno == EINTR || errno == EWOULDBLOCK))
        errno = EAGAIN;
    return moved;
}

ssize_t client_send(struct echo_client *client, const void *bytes, size_t size)
{
    return count_moved(send(client->descriptor, bytes, size, 0), &client->sent);
}

ssize_t client_receive(struct echo_client *client, void *bytes, size_t room)
{
    return count_moved(recv(client->descriptor, bytes, room, 0), &client->received);
}

void client_log_output_failure(const struct echo_client *client, int error)
{
    if (error != EPIPE)
        client_log(client, "cannot write to standard output: %s", strerror(error));
}

int client_print(const struct echo_client *client, const char *bytes, size_t size)
{
    struct pollfd wait = {.fd = STDOUT_FILENO, .events = POLLOUT};
    ssize_t written;

    while (size > 0) {
        written = write(STDOUT_FILENO, bytes, size);
        if (written >= 0) {
            bytes += written;
            size -= (size_t)written;
        } else if (errno == EAGAIN || errno == EWOULDBLOCK) {
            /* Somebody who shares our standard output may have made it non-blocking. */
            (void)clock_poll(&wait, 1, -1);
        } else if (errno != EINTR) {
            client_log_output_failure(client, errno);
            return -1;
        }
    }
    return 0;
}
