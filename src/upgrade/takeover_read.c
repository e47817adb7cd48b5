/* takeover_read.c: the state that a program leaves, read, and believed no further than checked. */
#include "upgrade/takeover.h"

#include "base/descriptors.h"
#include "echo/proxy.h"
#include "process/log.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/select.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

/* The longest line is that of a pidfile or of a Unix listener. */
#define LINE_SIZE (PIDFILE_PATH_MAX + 128)

#define DIGITS "0123456789"
#define TIME_MAX 1e12 /* seconds: some ten thousand years after the machine was started */

/* One line, read word by word; what is missing or malformed spoils all of it. */
struct words {
    const char *at;
    bool spoiled;
    bool inherited; /* the descriptors that are named are open */
};

/* Words are parted by one space each; `first` says what may follow, which the functions of the
 * library, that skip more, do not. */
static void next_word(struct words *words, const char *first)
{
    if (words->at[0] != ' ' || words->at[1] == '\0' || strchr(first, words->at[1]) == NULL)
        words->spoiled = true;
    else
        words->at++;
}

static long long take_number(struct words *words, long long lowest, long long highest)
{
    char *end;
    long long value;

    next_word(words, DIGITS "-");
    errno = 0;
    value = strtoll(words->at, &end, 10);
    if (end == words->at || errno != 0 || value < lowest || value > highest)
        words->spoiled = true;
    words->at = end;
    return words->spoiled ? lowest : value;
}

static unsigned long long take_count(struct words *words)
{
    char *end;
    unsigned long long value;

    next_word(words, DIGITS);
    errno = 0;
    value = strtoull(words->at, &end, 10);
    if (end == words->at || errno != 0)
        words->spoiled = true;
    words->at = end;
    return value;
}

static double take_time(struct words *words)
{
    char *end;
    double value;

    next_word(words, DIGITS);
    value = strtod(words->at, &end);
    if (end == words->at || !(value >= 0 && value <= TIME_MAX))
        words->spoiled = true;
    words->at = end;
    return value;
}

static int take_digit(struct words *words)
{
    const char *found = *words->at != '\0' ? strchr(DIGITS "abcdef", *words->at) : NULL;

    if (found == NULL) {
        words->spoiled = true;
        return 0;
    }
    words->at++;
    return *found <= '9' ? *found - '0' : *found - 'a' + 10;
}

static void take_bytes(struct words *words, void *bytes, size_t size)
{
    unsigned char *at = bytes;

    next_word(words, DIGITS "abcdef");
    for (size_t i = 0; i < size; i++) {
        int high = take_digit(words);
        at[i] = (unsigned char)(high * 16 + take_digit(words));
    }
}

static bool is_known(const struct server *server, int descriptor)
{
    const struct earlier_program *earlier = &server->earlier;

    for (size_t i = 0; i < server->listeners.count; i++)
        if (server->listeners.all[i].descriptor == descriptor)
            return true;
    return descriptor == server->ledger.read_end || descriptor == server->ledger.write_end ||
           descriptor == earlier->manager || descriptor == earlier->syslog ||
           (server->gate.holding && descriptor == server->gate.held.descriptor);
}

/* A descriptor, which has to be open, and nobody else's; close-on-exec from now on. */
static int take_descriptor(struct words *words, const struct server *server)
{
    int descriptor = (int)take_number(words, STDERR_FILENO + 1, FD_SETSIZE - 1);

    if (is_known(server, descriptor) ||
        (words->inherited && fcntl(descriptor, F_SETFD, FD_CLOEXEC) == -1))
        words->spoiled = true;
    return descriptor;
}

/* What a descriptor has to be, where it is open. */

static void expect_pipe_end(struct words *words, int descriptor, int mode)
{
    struct stat status;

    if (words->inherited &&
        (fstat(descriptor, &status) == -1 || !S_ISFIFO(status.st_mode) ||
         (fcntl(descriptor, F_GETFL) & O_ACCMODE) != mode))
        words->spoiled = true;
}

static void expect_socket(struct words *words, int descriptor, int type, bool listens)
{
    if (words->inherited &&
        (descriptors_option(descriptor, SOL_SOCKET, SO_TYPE) != type ||
         (descriptors_option(descriptor, SOL_SOCKET, SO_ACCEPTCONN) == 1) != listens))
        words->spoiled = true;
}

/* A client's address, or none where `may_lack` says so. */
static void take_peer(struct words *words, struct peer *peer, bool may_lack)
{
    sa_family_t family;

    take_bytes(words, peer, sizeof *peer);
    family = peer->name.any.sa_family;
    if (family != AF_INET && family != AF_INET6 && family != AF_UNIX &&
        !(may_lack && family == AF_UNSPEC))
        words->spoiled = true;
}

static void read_statistics(struct words *words, struct server *server)
{
    struct statistics *count = &server->statistics;

    if (server->started > 0)
        words->spoiled = true;
    count->accepted = take_count(words);
    count->ended = take_count(words);
    count->refused = take_count(words);
    count->deferred = take_count(words);
    count->deferred_cap = take_count(words);
    count->in = take_count(words);
    count->out = take_count(words);
    count->peak = (size_t)take_count(words);
    server->started = take_time(words);
}

/* Whether a listener's address can be shown: a path has to end. */
static bool is_address(const struct address *address)
{
    const char *path = address->name.local.sun_path;
    size_t room = sizeof address->name - offsetof(struct sockaddr_un, sun_path);

    switch (address->name.any.sa_family) {
    case AF_INET:
    case AF_INET6:
        return true;
    case AF_UNIX: /* an abstract one begins with a NUL, and is shown from behind it */
        return memchr(path + 1, '\0', room - 1) != NULL;
    default:
        return false;
    }
}

static void read_listener(struct words *words, struct server *server)
{
    struct listener *listener = &server->listeners.all[server->listeners.count];

    if (server->listeners.count == LISTENERS_MAX) {
        words->spoiled = true;
        return;
    }
    listener->descriptor = take_descriptor(words, server);
    listener->device = (dev_t)take_count(words);
    listener->file = (ino_t)take_count(words);
    listener->inherits = take_number(words, 0, 1) == 1;
    listener->address.length =
        (socklen_t)take_number(words, 0, (long long)sizeof listener->address.name);
    take_bytes(words, &listener->address.name, sizeof listener->address.name);
    expect_socket(words, listener->descriptor, SOCK_STREAM, true);
    if (!is_address(&listener->address))
        words->spoiled = true;
    server->listeners.count++;
}

static void read_child(struct words *words, struct server *server)
{
    struct child read = {.id = take_number(words, 1, INT_MAX)}, *child; /* it is sent signals */

    read.since = take_time(words);
    read.exit_recorded = take_number(words, 0, 1) == 1;
    read.ending = (int)take_number(words, INT_MIN, INT_MAX);
    read.problem = (int)take_number(words, INT_MIN, INT_MAX);
    read.in = take_count(words);
    read.out = take_count(words);
    read.stop_signal = (int)take_number(words, 0, INT_MAX);
    take_peer(words, &read.peer, false);
    take_peer(words, &read.client, true);
    child = words->spoiled ? NULL : children_add(server->children, read.id, &read.peer, read.since);
    if (child == NULL) {
        words->spoiled = true;
        return;
    }
    child->exit_recorded = read.exit_recorded;
    if (child->exit_recorded)
        children_leave_source(server->children, child);
    child->ending = read.ending;
    child->problem = read.problem;
    child->in = read.in;
    child->out = read.out;
    child->stop_signal = read.stop_signal;
    child->client = read.client;
}

static void read_held(struct words *words, struct server *server)
{
    if (server->gate.holding)
        words->spoiled = true;
    server->gate.held.descriptor = take_descriptor(words, server);
    take_peer(words, &server->gate.held.peer, false);
    expect_socket(words, server->gate.held.descriptor, SOCK_STREAM, false);
    server->gate.holding = true;
}

static void read_ledger(struct words *words, struct server *server)
{
    if (server->ledger.write_end > 0)
        words->spoiled = true;
    server->ledger.read_end = take_descriptor(words, server);
    server->ledger.write_end = take_descriptor(words, server);
    expect_pipe_end(words, server->ledger.read_end, O_RDONLY);
    expect_pipe_end(words, server->ledger.write_end, O_WRONLY);
}

static void take_socket(struct words *words, const struct server *server, int *descriptor)
{
    if (*descriptor > 0)
        words->spoiled = true;
    *descriptor = take_descriptor(words, server);
    expect_socket(words, *descriptor, SOCK_DGRAM, false);
}

static void read_manager(struct words *words, struct server *server)
{
    take_socket(words, server, &server->earlier.manager);
}

static void read_syslog(struct words *words, struct server *server)
{
    take_socket(words, server, &server->earlier.syslog);
}

/* What a line is about; where reading ends. */
enum reading { READING_ON, READING_DONE, READING_FAILED };

static enum reading read_line(char *line, struct server *server, struct pidfile *pidfile,
                              bool inherited)
{
    static const struct {
        const char *name;
        void (*read)(struct words *words, struct server *server);
    } kinds[] = {{"statistics", read_statistics}, {"listener", read_listener},
                 {"child", read_child},           {"held", read_held},
                 {"ledger", read_ledger},         {"manager", read_manager},
                 {"syslog", read_syslog}};
    size_t length = strcspn(line, " ");
    struct words words = {.at = line + length, .inherited = inherited};

    if (strcmp(line, "end") == 0)
        return READING_DONE;
    if (strncmp(line, "pidfile ", length + 1) == 0) {
        int descriptor = take_descriptor(&words, server);
        next_word(&words, "/");
        if (words.spoiled)
            return READING_FAILED;
        /* Where it cannot be written anew, which is said, the lock stays, and so do the clients. */
        if (inherited && pidfile != NULL)
            (void)pidfile_adopt(pidfile, descriptor, words.at);
        return READING_ON;
    }
    for (size_t i = 0; i < sizeof kinds / sizeof kinds[0]; i++)
        if (strlen(kinds[i].name) == length && strncmp(line, kinds[i].name, length) == 0) {
            kinds[i].read(&words, server);
            return words.spoiled || *words.at != '\0' ? READING_FAILED : READING_ON;
        }
    return READING_FAILED;
}

/* The first line says whether the rest can be understood. */
static bool is_ours(const char *line, const char *program)
{
    char expected[LINE_SIZE];

    snprintf(expected, sizeof expected, "takeover %d %s", TAKEOVER_FORMAT, program);
    return strcmp(line, expected) == 0;
}

/* The state from its beginning, on a descriptor of its own. Returns NULL with errno. */
static FILE *open_state(int file)
{
    int own = lseek(file, 0, SEEK_SET) == -1 ? -1 : dup(file);
    FILE *stream = own != -1 ? fdopen(own, "r") : NULL;

    if (stream == NULL && own != -1)
        close(own);
    return stream;
}

int takeover_read(int file, struct server *server, struct pidfile *pidfile, bool inherited)
{
    char line[LINE_SIZE];
    int number = 0;
    FILE *stream = open_state(file);
    enum reading reading = READING_ON;

    if (stream == NULL) {
        log_error("cannot take over: cannot read the state: %s", strerror(errno));
        return -1;
    }
    while (reading == READING_ON && fgets(line, sizeof line, stream) != NULL) {
        line[strcspn(line, "\n")] = '\0';
        if (number++ > 0)
            reading = read_line(line, server, pidfile, inherited);
        else if (!is_ours(line, server->options->program))
            reading = READING_FAILED;
    }
    fclose(stream);
    server->earlier.any = true;
    if (reading == READING_DONE && server->started > 0 && server->listeners.count > 0 &&
        server->ledger.write_end > 0)
        return 0;
    log_error("cannot take over: line %d of the state is not understood; restart instead", number);
    return -1;
}
