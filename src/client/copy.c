/*
 * client/copy.c: see client/copy.h.
 *
 *     standard input --> outgoing ring --> server --> incoming ring --> standard output
 *
 * Each arrow moves when poll(2) says that it can. A full ring stops the arrow into it, and nothing
 * else: where standard output is slow, the incoming ring fills, then the kernel's buffers; then the
 * server stops reading, the outgoing ring fills, and standard input waits. With -c the outgoing
 * ring keeps what was sent until it has come back.
 */
#include "client/copy.h"

#include "base/clock.h"

#include <errno.h>
#include <inttypes.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

/* So large that a system call costs little beside the copying. */
#define RING_SIZE ((size_t)256 << 10)

/* Undefined where it depends on the file (POSIX.1-2008, limits.h): then its least value. */
#ifndef PIPE_BUF
#define PIPE_BUF _POSIX_PIPE_BUF
#endif

/* A ring of bytes, with three counts since the start of the stream:
 * freed <= passed <= filled <= freed + size. */
struct ring {
    char *bytes;
    size_t size;
    uint64_t filled; /* bytes put in */
    uint64_t passed; /* of them, passed on */
    uint64_t freed;  /* of them, not needed any more */
};

static bool ring_has_room(const struct ring *ring)
{
    return ring->filled - ring->freed < ring->size;
}

/* Sets `*place` to where the next bytes go. Returns how many fit there without a break. */
static size_t ring_room(const struct ring *ring, char **place)
{
    size_t start = (size_t)(ring->filled % ring->size);
    size_t room = ring->size - (size_t)(ring->filled - ring->freed);

    *place = ring->bytes + start;
    return room < ring->size - start ? room : ring->size - start;
}

/* Sets `*place` to byte number `from`. Returns how many, up to `end`, lie there without a break. */
static size_t ring_part(const struct ring *ring, uint64_t from, uint64_t end, const char **place)
{
    size_t start = (size_t)(from % ring->size);
    size_t size = (size_t)(end - from);

    *place = ring->bytes + start;
    return size < ring->size - start ? size : ring->size - start;
}

struct copy {
    struct echo_client *client;
    struct ring outgoing, incoming;
    bool input_ended;   /* no more will come from standard input */
    bool half_closed;   /* the server has been sent our end of file */
    bool send_failed;   /* the server takes no more; what it sent before may still come */
    bool server_ended;  /* its end of file, or its error */
    bool answered;      /* something has come since we last sent */
    int server_error;   /* why it ended, if not by end of file */
    size_t output_most; /* the most that is written to standard output at once */
    bool failed;        /* it ends, and why is logged */
};

enum { INPUT, SERVER, OUTPUT, WAITS };

/* A write that blocked would stop the other direction too. To a file none does. To all else that
 * poll calls writable, PIPE_BUF bytes do not block (POSIX.1-2008, write). To make it non-blocking
 * would make it so for everybody who shares it, such as the shell on our terminal. */
static size_t output_most(void)
{
    struct stat status;

    return fstat(STDOUT_FILENO, &status) == 0 && S_ISREG(status.st_mode) ? RING_SIZE : PIPE_BUF;
}

/* ---- the four arrows -------------------------------------------------------------------- */

static void read_input(struct copy *copy)
{
    char *place;
    size_t room = ring_room(&copy->outgoing, &place);
    ssize_t size = read(STDIN_FILENO, place, room);

    if (size > 0) {
        copy->outgoing.filled += (uint64_t)size;
    } else if (size == 0) {
        copy->input_ended = true;
    } else if (errno != EAGAIN && errno != EWOULDBLOCK && errno != EINTR) {
        client_log(copy->client, "cannot read standard input: %s", strerror(errno));
        copy->failed = true;
    }
}

static bool unsent(const struct copy *copy)
{
    return copy->outgoing.passed < copy->outgoing.filled && !copy->send_failed;
}

static void send_more(struct copy *copy)
{
    struct ring *outgoing = &copy->outgoing;
    const char *place;
    size_t most = ring_part(outgoing, outgoing->passed, outgoing->filled, &place);
    ssize_t size = client_send(copy->client, place, most);

    if (size > 0) {
        outgoing->passed += (uint64_t)size;
        if (!copy->client->check)
            outgoing->freed = outgoing->passed;
        copy->answered = false;
    } else if (size == -1 && errno != EAGAIN) {
        copy->send_failed = true;
        copy->server_error = errno == EPIPE ? 0 : errno;
    }
}

/* Sends our end of file, once all of standard input is sent. */
static void half_close(struct copy *copy)
{
    if (!copy->input_ended || copy->half_closed || unsent(copy))
        return;
    (void)shutdown(copy->client->descriptor, SHUT_WR);
    copy->half_closed = true;
}

/* Compares what has come with what was sent, and frees that. */
static void compare(struct copy *copy, const char *came, size_t size)
{
    struct ring *outgoing = &copy->outgoing;
    const char *sent;
    size_t part;

    while (size > 0) {
        part = ring_part(outgoing, outgoing->freed, outgoing->passed, &sent);
        if (part > size)
            part = size;
        if (part == 0) {
            client_log(copy->client, "more came back than was sent: byte %" PRIu64 " is extra",
                       outgoing->freed + 1);
            copy->failed = true;
            return;
        }
        if (memcmp(came, sent, part) != 0) {
            while (*came++ == *sent++)
                outgoing->freed++;
            client_log(copy->client, "the echo differs at byte %" PRIu64, outgoing->freed + 1);
            copy->failed = true;
            return;
        }
        outgoing->freed += part;
        came += part;
        size -= part;
    }
}

static void receive_more(struct copy *copy)
{
    char *place;
    size_t room = ring_room(&copy->incoming, &place);
    ssize_t size = client_receive(copy->client, place, room);

    if (size > 0) {
        copy->answered = true;
        copy->incoming.filled += (uint64_t)size;
        if (copy->client->check)
            compare(copy, place, (size_t)size);
    } else if (size == 0) {
        copy->server_ended = true;
    } else if (errno != EAGAIN) {
        copy->server_ended = true;
        copy->server_error = errno;
    }
}

static void write_output(struct copy *copy)
{
    struct ring *incoming = &copy->incoming;
    const char *place;
    size_t size = ring_part(incoming, incoming->passed, incoming->filled, &place);
    ssize_t written =
        write(STDOUT_FILENO, place, size < copy->output_most ? size : copy->output_most);

    if (written >= 0) {
        incoming->passed += (uint64_t)written;
        incoming->freed = incoming->passed;
    } else if (errno != EAGAIN && errno != EWOULDBLOCK && errno != EINTR) {
        client_log_output_failure(copy->client, errno);
        copy->failed = true;
    }
}

/* ---- waiting ---------------------------------------------------------------------------- */

static bool output_pending(const struct copy *copy)
{
    return copy->incoming.passed < copy->incoming.filled;
}

/* Whether we wait for the server, and not for standard input, when all is answered, or for standard
 * output. */
static bool server_is_due(const struct copy *copy)
{
    if (copy->server_ended || !ring_has_room(&copy->incoming))
        return false;
    if (unsent(copy) || copy->half_closed || copy->send_failed)
        return true;
    if (copy->client->check)
        return copy->outgoing.freed < copy->outgoing.passed;
    return copy->outgoing.passed > 0 && !copy->answered;
}

/* Sets what to wait for. A descriptor of which nothing is wanted is left out, as poll would report
 * its hangup again and again; but not standard output, whose reader may go. */
static void set_waits(const struct copy *copy, struct pollfd *waits)
{
    bool input = !copy->input_ended && !copy->send_failed && !copy->server_ended &&
                 ring_has_room(&copy->outgoing);
    bool receive = ring_has_room(&copy->incoming);
    bool server = !copy->server_ended && (receive || unsent(copy));

    waits[INPUT] = (struct pollfd){.fd = input ? STDIN_FILENO : -1, .events = POLLIN};
    waits[SERVER] = (struct pollfd){
        .fd = server ? copy->client->descriptor : -1,
        .events = (short)((receive ? POLLIN : 0) | (unsent(copy) ? POLLOUT : 0))};
    waits[OUTPUT] = (struct pollfd){.fd = STDOUT_FILENO,
                                    .events = (short)(output_pending(copy) ? POLLOUT : 0)};
}

/* Waits until something can move. Returns false when the wait ended the copy (logged). */
static bool await(struct copy *copy, struct pollfd *waits)
{
    int ready;

    set_waits(copy, waits);
    ready = clock_poll(waits, WAITS, server_is_due(copy) ? client_patience(copy->client) : -1);
    if (ready > 0)
        return true;
    if (ready == 0)
        client_log(copy->client, "timed out after %" PRIu64 " bytes, of %" PRIu64 " sent",
                   copy->client->received, copy->client->sent);
    else
        client_log(copy->client, "cannot wait: %s", strerror(errno));
    copy->failed = true;
    return false;
}

/* ---- the copy --------------------------------------------------------------------------- */

/* Moves what can be moved. What was just read is sent at once, unless the socket is known to be
 * full. */
static void move(struct copy *copy, const struct pollfd *waits)
{
    bool full = (waits[SERVER].events & POLLOUT) != 0 && waits[SERVER].revents == 0;

    if (waits[INPUT].revents != 0)
        read_input(copy);
    if (unsent(copy) && !full && !copy->failed)
        send_more(copy);
    if ((waits[SERVER].revents & ~POLLOUT) != 0 && (waits[SERVER].events & POLLIN) != 0 &&
        !copy->failed)
        receive_more(copy);
    half_close(copy);
    if (output_pending(copy) && waits[OUTPUT].revents != 0 && !copy->failed)
        write_output(copy);
    else if ((waits[OUTPUT].revents & (POLLERR | POLLHUP)) != 0)
        copy->failed = true; /* nobody reads standard output any more: no message, as for EPIPE */
}

/* Whether all came back, when the server has ended and all that came is written. */
static enum client_status judge(const struct copy *copy)
{
    const struct echo_client *client = copy->client;
    const char *why = "the server closed the connection";

    if (copy->server_error != 0)
        why = strerror(copy->server_error);
    else if (copy->half_closed && !copy->send_failed && client->received >= client->sent)
        return CLIENT_ECHOED;
    client_log(client, "%s after %" PRIu64 " bytes, of %" PRIu64 " sent%s", why, client->received,
               client->sent, copy->half_closed ? "" : ", before the end of the input");
    return CLIENT_FAILED;
}

static enum client_status copy_until_end(struct copy *copy)
{
    struct pollfd waits[WAITS];

    while (!copy->failed && (!copy->server_ended || output_pending(copy)))
        if (await(copy, waits))
            move(copy, waits);
    return copy->failed ? CLIENT_FAILED : judge(copy);
}

enum client_status client_copy(struct echo_client *client)
{
    size_t ahead = client->check ? CLIENT_AHEAD_MAX : RING_SIZE;
    struct copy copy = {.client = client,
                        .outgoing = {.size = ahead, .bytes = malloc(ahead)},
                        .incoming = {.size = RING_SIZE, .bytes = malloc(RING_SIZE)},
                        .output_most = output_most()};
    enum client_status status = CLIENT_FAILED;

    if (copy.outgoing.bytes != NULL && copy.incoming.bytes != NULL)
        status = copy_until_end(&copy);
    else
        client_log(client, "no memory for the buffers of a copy");
    free(copy.outgoing.bytes);
    free(copy.incoming.bytes);
    return status;
}
