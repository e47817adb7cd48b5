/*
 * fuzz_takeover.c: the state that a program leaves to the next one (takeover.h), not as it was
 * written.
 *
 * Input: the state; "$" and a letter stand for the number of a descriptor that is what it
 * should be: $L $M listen, $R $W are the ledger's ends, $H is a client's, $P the pidfile's, and $D
 * $E are the manager's and syslogd's.
 * Catches: a line that is believed though it is malformed, a descriptor that is not what it is
 * used for or used twice, a child that a server could not have (it is sent signals), an address
 * without an end, and a state that, once it was taken, would be written as another.
 */
#include "base/clock.h"
#include "base/descriptors.h"
#include "fuzz.h"
#include "platform/platform.h"
#include "server/serve.h"
#include "upgrade/takeover.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <limits.h>
#include <math.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#define STATE_MAX 65536

/* As many connections as can be: a larger table would be mapped for each input, and kept. */
static struct options options = {.program = "forkecho", .max_connections = CONNECTIONS_MAX};
static struct pidfile pidfile = {.descriptor = -1};
static const struct serve_model no_model = {0};

/* What there is to be named, and two servers, one after the other. All stays open. */
static int listener, other_listener, ledger_ends[2], held[2], datagrams[2], pidfile_file, state_file;
static struct server *first, *second;

static int open_listener(void)
{
    struct sockaddr_in any = {.sin_family = AF_INET, .sin_addr = {htonl(INADDR_LOOPBACK)}};
    int descriptor = socket(AF_INET, SOCK_STREAM, 0);

    if (descriptor == -1 || bind(descriptor, (struct sockaddr *)&any, sizeof any) == -1 ||
        listen(descriptor, 1) == -1)
        abort();
    return descriptor;
}

static void open_all(void)
{
    if (first != NULL)
        return;
    listener = open_listener();
    other_listener = open_listener();
    pidfile_file = platform_anonymous_file();
    state_file = platform_anonymous_file();
    first = server_open(&no_model, &options, &pidfile);
    second = server_open(&no_model, &options, &pidfile);
    if (pipe(ledger_ends) == -1 || socketpair(AF_UNIX, SOCK_STREAM, 0, held) == -1 ||
        socketpair(AF_UNIX, SOCK_DGRAM, 0, datagrams) == -1 ||
        pidfile_file == -1 || state_file == -1 || first == NULL || second == NULL)
        abort();
}

/* A server as server_open gives it; its table is kept, for tables are never given back. */
static void begin_anew(struct server *server)
{
    struct children *children = server->children;
    struct child *child;

    while ((child = children->oldest) != NULL)
        children_remove(children, child);
    memset(server, 0, sizeof *server);
    server->options = &options;
    server->pidfile = &pidfile;
    server->children = children;
}

/* ---- texts ---- */

static int descriptor_of(char letter)
{
    switch (letter) {
    case 'L': return listener;
    case 'M': return other_listener;
    case 'R': return ledger_ends[0];
    case 'W': return ledger_ends[1];
    case 'H': return held[0];
    case 'P': return pidfile_file;
    case 'D': return datagrams[0];
    case 'E': return datagrams[1];
    default: return -1;
    }
}

/* The input with its descriptors, in `text` of STATE_MAX bytes. Returns its size. */
static size_t write_out(struct input input, char *text)
{
    size_t size = 0;

    while (input.left > 0 && size < STATE_MAX - 16) {
        char byte = (char)take_byte(&input);
        int descriptor = byte == '$' && input.left > 0 ? descriptor_of((char)*input.at) : -1;

        if (descriptor == -1) {
            text[size++] = byte;
            continue;
        }
        size += (size_t)snprintf(text + size, STATE_MAX - size, "%d", descriptor);
        take_byte(&input);
    }
    return size;
}

static int read_state(const char *text, size_t size, struct server *server)
{
    begin_anew(server);
    if (ftruncate(state_file, 0) == -1 || pwrite(state_file, text, size, 0) != (ssize_t)size)
        abort();
    return takeover_read(state_file, server, true);
}

/* The state of a server that has taken over, as it would leave it. Returns its size. */
static size_t write_state(const struct server *server, char *text)
{
    int descriptors[TAKEOVER_DESCRIPTORS_MAX] = {0};
    ssize_t size;

    FUZZ_HOLDS(takeover_write(state_file, server, descriptors) == 0);
    size = pread(state_file, text, STATE_MAX, 0);
    FUZZ_HOLDS(size > 0 && size < STATE_MAX);
    return (size_t)size;
}

/* ---- what was taken ---- */

static bool is_pipe(int descriptor, int mode)
{
    struct stat status;

    return fstat(descriptor, &status) == 0 && S_ISFIFO(status.st_mode) &&
           (fcntl(descriptor, F_GETFL) & O_ACCMODE) == mode;
}

static void check_descriptors(const struct server *server)
{
    int all[TAKEOVER_DESCRIPTORS_MAX] = {0};

    FUZZ_HOLDS(takeover_write(state_file, server, all) == 0);
    FUZZ_HOLDS(all[TAKEOVER_DESCRIPTORS_MAX - 1] == 0);
    for (size_t i = 0; all[i] != 0; i++) {
        FUZZ_HOLDS(all[i] > STDERR_FILENO && (fcntl(all[i], F_GETFD) & FD_CLOEXEC) != 0);
        for (size_t j = 0; j < i; j++)
            FUZZ_HOLDS(all[i] != all[j]);
    }
    FUZZ_HOLDS(is_pipe(server->ledger.read_end, O_RDONLY));
    FUZZ_HOLDS(is_pipe(server->ledger.write_end, O_WRONLY));
}

/* An address can be shown. It alone is in its memory, so a path without an end is noticed. */
static void check_address(const struct address *address)
{
    struct address *copy = fuzz_memory(sizeof *copy);
    char text[ADDRESS_TEXT_MAX + 1];

    *copy = *address;
    memset(text, 'x', sizeof text - 1);
    text[sizeof text - 1] = '\0';
    address_text(&copy->name.any, text);
    FUZZ_HOLDS(copy->length <= sizeof copy->name);
    FUZZ_HOLDS(strlen(text) <= sizeof copy->name && strcmp(text, "unknown") != 0);
    free(copy);
}

static void check_listeners(const struct listeners *listeners, size_t least)
{
    FUZZ_HOLDS(listeners->count >= least && listeners->count <= LISTENERS_MAX);
    for (size_t i = 0; i < listeners->count; i++) {
        const struct listener *each = &listeners->all[i];

        FUZZ_HOLDS(descriptors_option(each->descriptor, SOL_SOCKET, SO_ACCEPTCONN) == 1);
        check_address(&each->address);
    }
}

static void check_children(const struct children *children)
{
    size_t count = 0;

    for (struct child *each = children->oldest; each != NULL; each = each->younger) {
        sa_family_t family = each->client.name.any.sa_family;

        FUZZ_HOLDS(each->id >= 1 && each->id <= INT_MAX);
        FUZZ_HOLDS(isfinite(each->since) && each->since >= 0);
        FUZZ_HOLDS(children_find((struct children *)children, each->id) == each);
        FUZZ_HOLDS(can_be_told(&each->peer));
        FUZZ_HOLDS(family == AF_UNSPEC || can_be_told(&each->client));
        count++;
    }
    FUZZ_HOLDS(count == children->live);
}

static void check_taken(const struct server *server)
{
    FUZZ_HOLDS(isfinite(server->started) && server->started > 0);
    FUZZ_HOLDS(!server->gate.holding || can_be_told(&server->gate.held.peer));
    FUZZ_HOLDS(server->earlier.syslog == 0 || server->earlier.syslog != server->earlier.manager);
    check_descriptors(server);
    check_listeners(&server->listeners, 1);
    check_listeners(&server->status_listeners, 0);
    check_children(server->children);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static char text[STATE_MAX], written[STATE_MAX], again[STATE_MAX];
    size_t length;

    open_all();
    length = write_out(input_of(data, size), text);
    if (read_state(text, length, first) == -1)
        return 0;
    check_taken(first);
    length = write_state(first, written);
    FUZZ_HOLDS(read_state(written, length, second) == 0);
    check_taken(second);
    FUZZ_HOLDS(write_state(second, again) == length && memcmp(again, written, length) == 0);
    return 0;
}
