/*
 * takeover.c: see takeover.h.
 *
 * The form of the state stands once: go_through visits all lines and fields, written or read. A
 * field is given a value and gives one back: writing, the same one; reading, the one in the state.
 */
#include "upgrade/takeover.h"

#include "base/descriptors.h"
#include "process/log.h"
#include "process/log_sink.h"
#include "process/manager.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/select.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#define LINE_SIZE (2 * PIDFILE_PATH_MAX + 128) /* the longest: of a pidfile */
#define TIME_MAX 1000000000000000 /* microseconds: some thirty years, and exact in a double */

static const char digits[] = "0123456789abcdef";

struct state {
    FILE *stream;
    char line[LINE_SIZE];
    const char *at; /* what is still to be read of the line; NULL: the state is written */
    int lines;      /* begun so far */
    bool spoiled;   /* something that was read is missing or malformed: all of it is worthless */
    bool inherited; /* the descriptors that are read are open */
    int *descriptors; /* those named so far ... */
    size_t count;     /* ... and how many */
};

/* Of what is written, nothing is required. */
static void require(struct state *state, bool right)
{
    state->spoiled = state->spoiled || (state->at != NULL && !right);
}

/* One space, no more, stands before each word; `first` says what may follow. */
static void next_word(struct state *state, const char *first)
{
    if (state->at[0] == ' ' && state->at[1] != '\0' && strchr(first, state->at[1]) != NULL)
        state->at++;
    else
        state->spoiled = true;
}

static unsigned long long number(struct state *state, unsigned long long value,
                                 unsigned long long highest)
{
    char *end;

    if (state->at == NULL) {
        fprintf(state->stream, " %llu", value);
        return value;
    }
    next_word(state, "0123456789");
    errno = 0;
    value = strtoull(state->at, &end, 10);
    require(state, errno == 0 && value <= highest);
    state->at = end;
    return state->spoiled ? 0 : value;
}

static int integer(struct state *state, int value, int highest)
{
    return (int)number(state, (unsigned long long)value, (unsigned long long)highest);
}

/* A time of clock.h, which an exec does not set back, as microseconds. */
static double moment(struct state *state, double value)
{
    return (double)number(state, (unsigned long long)(value * 1e6 + 0.5), TIME_MAX) / 1e6;
}

static void bytes(struct state *state, void *bytes, size_t size)
{
    unsigned char *byte = bytes, *end = byte + size;

    if (state->at != NULL) {
        next_word(state, digits);
        require(state, strspn(state->at, digits) == 2 * size);
        for (; !state->spoiled && byte < end; byte++, state->at += 2)
            *byte = (unsigned char)((strchr(digits, state->at[0]) - digits) * 16 +
                                    (strchr(digits, state->at[1]) - digits));
    } else {
        for (putc(' ', state->stream); byte < end; byte++) {
            putc(digits[*byte / 16], state->stream);
            putc(digits[*byte % 16], state->stream);
        }
    }
}

/* One that is read has to be open, and no other line's; it is close-on-exec again. */
static int descriptor(struct state *state, int value)
{
    value = integer(state, value, FD_SETSIZE - 1);
    require(state, value > STDERR_FILENO);
    for (size_t i = 0; i < state->count; i++)
        require(state, state->descriptors[i] != value);
    if (state->inherited && !state->spoiled)
        require(state, fcntl(value, F_SETFD, FD_CLOEXEC) == 0);
    state->descriptors[state->count++] = value;
    return value;
}

static int pipe_end(struct state *state, int value, int mode)
{
    struct stat status;

    value = descriptor(state, value);
    if (state->inherited)
        require(state, fstat(value, &status) == 0 && S_ISFIFO(status.st_mode) &&
                           (fcntl(value, F_GETFL) & O_ACCMODE) == mode);
    return value;
}

static int socket_of(struct state *state, int value, bool listens)
{
    value = descriptor(state, value);
    if (state->inherited)
        require(state, descriptors_option(value, SOL_SOCKET, SO_ACCEPTCONN) == listens);
    return value;
}

static bool is_family(sa_family_t family)
{
    return family == AF_INET || family == AF_INET6 || family == AF_UNIX;
}

/* A client's address, or none where `may_lack` says so. */
static void peer_of(struct state *state, struct peer *peer, bool may_lack)
{
    bytes(state, peer, sizeof *peer);
    require(state, is_family(peer->name.any.sa_family) ||
                       (may_lack && peer->name.any.sa_family == AF_UNSPEC));
}

/* A listener's. A path has to end; an abstract one begins with a NUL and is shown without it. */
static void address_of(struct state *state, struct address *address)
{
    size_t room = sizeof address->name - offsetof(struct sockaddr_un, sun_path);

    address->length = (socklen_t)number(state, address->length, sizeof address->name);
    bytes(state, &address->name, sizeof address->name);
    require(state, is_family(address->name.any.sa_family) &&
                       (address->name.any.sa_family != AF_UNIX ||
                        memchr(address->name.local.sun_path + 1, '\0', room - 1) != NULL));
}

/* Begins the line about `what`: writing, if `is_there`; reading, if the next line is that, as lines
 * come in the order in which they are written. Returns whether there is one. */
static bool begin(struct state *state, const char *what, bool is_there)
{
    size_t length = strlen(what);

    if (state->at == NULL) {
        if (is_there)
            fprintf(state->stream, "%s%s", state->lines++ > 0 ? "\n" : "", what);
        return is_there;
    }
    if (*state->at == '\0') { /* the line before is over */
        if (state->spoiled || fgets(state->line, sizeof state->line, state->stream) == NULL) {
            state->spoiled = true;
            return false;
        }
        state->line[strcspn(state->line, "\n")] = '\0';
        state->at = state->line;
        state->lines++;
    }
    if (strncmp(state->at, what, length) != 0 || !strchr(" ", state->at[length])) /* or its NUL */
        return false;
    state->at += length;
    return true;
}

static void statistics_line(struct state *state, struct statistics *count, double *started)
{
    unsigned long long *numbers[] = {&count->accepted, &count->ended, &count->refused,
                                     &count->deferred, &count->deferred_cap, &count->in,
                                     &count->out, &count->upgrades, &count->since};
    unsigned long lost;

    require(state, begin(state, "statistics", true));
    for (size_t i = 0; i < sizeof numbers / sizeof numbers[0]; i++)
        *numbers[i] = number(state, *numbers[i], ULLONG_MAX);
    for (size_t how = 0; how < ENDED_HOWS; how++)
        count->ended_how[how] = number(state, count->ended_how[how], ULLONG_MAX);
    for (size_t why = 0; why < REFUSALS; why++)
        count->refused_why[why] = number(state, count->refused_why[why], ULLONG_MAX);
    lost = (unsigned long)number(state, log_lost(), ULONG_MAX);
    if (state->at != NULL)
        log_set_lost(lost);
    count->peak = (size_t)number(state, count->peak, SIZE_MAX);
    *started = moment(state, *started);
    require(state, *started > 0);
}

/* Where its -c was larger before an upgrade, a server has more live children than it may: those of
 * a state always have room. A test makes as much, for no more can come until the exec. */
static void limit_line(struct state *state, struct server *server)
{
    size_t live = server->children->live, most = server->options->max_connections;
    struct children *larger;

    require(state, begin(state, "limit", true));
    most = (size_t)number(state, live > most ? live : most, CONNECTIONS_MAX);
    if (state->at == NULL || most <= server->options->max_connections)
        return;
    larger = children_new(most);
    require(state, larger != NULL);
    if (larger != NULL)
        server->children = larger;
}

static void listener_lines(struct state *state, const char *what, struct listeners *listeners)
{
    /* One for which there is no room is begun and not read, which spoils the state. */
    for (size_t i = 0; begin(state, what, i < listeners->count) && i < LISTENERS_MAX; i++) {
        struct listener *each = &listeners->all[i];
        each->descriptor = socket_of(state, each->descriptor, true);
        each->device = (dev_t)number(state, (unsigned long long)each->device, ULLONG_MAX);
        each->file = (ino_t)number(state, each->file, ULLONG_MAX);
        each->inherits = integer(state, each->inherits, 1) == 1;
        address_of(state, &each->address);
        if (i == listeners->count)
            listeners->count++;
    }
}

/* What is read goes into the child's place in the table, where it is counted by its source. */
static void child_lines(struct state *state, struct children *children)
{
    struct child *child = children->oldest; /* reading: none is there yet */

    while (begin(state, "child", child != NULL)) {
        struct child first = child != NULL ? *child : (struct child){0};
        first.id = integer(state, (int)first.id, INT_MAX);
        require(state, first.id > 0); /* it is sent signals */
        first.since = moment(state, first.since);
        peer_of(state, &first.peer, false);
        if (state->at != NULL && !state->spoiled)
            child = children_add(children, first.id, &first.peer, first.since);
        require(state, child != NULL);
        if (state->spoiled || child == NULL)
            return;
        child->exit_recorded = integer(state, child->exit_recorded, 1) == 1;
        if (child->exit_recorded)
            children_leave_source(children, child);
        child->ending = integer(state, child->ending, INT_MAX);
        child->problem = integer(state, child->problem, INT_MAX);
        child->in = number(state, child->in, UINT64_MAX);
        child->out = number(state, child->out, UINT64_MAX);
        child->stop_signal = integer(state, child->stop_signal, INT_MAX);
        child->owes_header = integer(state, child->owes_header, 1) == 1;
        peer_of(state, &child->client, true);
        child = state->at != NULL ? NULL : child->younger;
    }
}

/* Its path may have any byte in it but NUL. */
static void pidfile_line(struct state *state, struct pidfile *pidfile)
{
    char path[PIDFILE_PATH_MAX] = "";
    int lock = pidfile != NULL ? pidfile->descriptor : -1;
    size_t length;

    if (!begin(state, "pidfile", lock != -1))
        return;
    lock = descriptor(state, lock);
    if (state->at == NULL && pidfile != NULL)
        strcpy(path, pidfile->path);
    length = (size_t)number(state, strlen(path), sizeof path - 1);
    bytes(state, path, length);
    require(state, path[0] == '/' && strlen(path) == length);
    /* Where it cannot be written, which is logged, the lock stays, and so do the clients. */
    if (state->inherited && !state->spoiled && pidfile != NULL)
        (void)pidfile_adopt(pidfile, lock, path);
}

/* A socket to the manager or syslogd: writing, it is `own`; reading, it is put into `earlier`. */
static void socket_line(struct state *state, const char *whose, int own, int *earlier)
{
    if (!begin(state, whose, own != -1))
        return;
    own = socket_of(state, own, false);
    if (state->at != NULL)
        *earlier = own;
}

static void go_through(struct state *state, struct server *server)
{
    struct gate *gate = &server->gate;
    char first[LINE_SIZE];

    snprintf(first, sizeof first, "takeover %d %s", TAKEOVER_FORMAT, server->options->program);
    require(state, begin(state, first, true));
    limit_line(state, server);
    statistics_line(state, &server->statistics, &server->started);
    listener_lines(state, "listener", &server->listeners);
    require(state, server->listeners.count > 0);
    listener_lines(state, "monitored", &server->status_listeners);
    child_lines(state, server->children);
    gate->holding = begin(state, "held", gate->holding);
    if (gate->holding) {
        gate->held.descriptor = socket_of(state, gate->held.descriptor, false);
        peer_of(state, &gate->held.peer, false);
    }
    require(state, begin(state, "ledger", true));
    server->ledger.read_end = pipe_end(state, server->ledger.read_end, O_RDONLY);
    server->ledger.write_end = pipe_end(state, server->ledger.write_end, O_WRONLY);
    pidfile_line(state, server->pidfile);
    socket_line(state, "manager", manager_descriptor(), &server->earlier.manager);
    socket_line(state, "syslog", log_sink_descriptor(), &server->earlier.syslog);
    if (begin(state, "score", server->score > 0))
        server->score = descriptor(state, server->score);
    require(state, begin(state, "end", true) && (state->at == NULL || *state->at == '\0'));
}

/* The state's file from its beginning, on a descriptor of its own. NULL with errno. */
static FILE *open_state(int file, const char *mode)
{
    int own = lseek(file, 0, SEEK_SET) == -1 ? -1 : dup(file);
    FILE *stream = own != -1 ? fdopen(own, mode) : NULL;

    if (stream == NULL && own != -1)
        close(own);
    return stream;
}

int takeover_write(int file, const struct server *server, int *descriptors)
{
    struct state state = {.stream = ftruncate(file, 0) == 0 ? open_state(file, "w") : NULL,
                          .descriptors = descriptors};
    bool failed;

    if (state.stream == NULL)
        return -1;
    go_through(&state, (struct server *)server); /* each value stays the same */
    putc('\n', state.stream);
    failed = ferror(state.stream) != 0;
    return fclose(state.stream) == EOF || failed ? -1 : 0;
}

int takeover_read(int file, struct server *server, bool inherited)
{
    int descriptors[TAKEOVER_DESCRIPTORS_MAX];
    struct state state = {
        .stream = open_state(file, "r"), .inherited = inherited, .descriptors = descriptors};

    if (state.stream == NULL) {
        log_error("cannot take over: cannot read the state: %s", strerror(errno));
        return -1;
    }
    state.at = state.line;
    go_through(&state, server);
    fclose(state.stream);
    if (!state.spoiled)
        return 0;
    log_error("cannot take over: line %d of the state is not understood; restart instead",
              state.lines);
    return -1;
}
