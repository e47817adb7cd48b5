/* log_sink.c: see log_sink.h. */
#include "log_sink.h"

#include "clock.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

enum sink_kind {
    SINK_FILE,   /* a file, or a pipe or terminal opened anew: write fails rather than waits */
    SINK_SOCKET, /* the journal's stream: send with MSG_DONTWAIT */
    SINK_SHARED, /* a pipe that others share: ask before writing */
    SINK_SYSLOG
};

/* There is one standard error and one syslogd, so there is one sink. */
static struct {
    enum sink_kind kind;
    bool terminal, journal;
    dev_t device; /* what standard error is: ... */
    ino_t file;   /* ... to tell whether it was redirected */
    const char *program; /* of syslog: */
    int facility;
    int descriptor;
    double tried_at; /* when it was last connected */
} sink;

/* Children close what lies below their ledger (serve_fork.c): one that is to log with -vv
 * keeps a descriptor that lies above it. */
#define CHILDREN_DESCRIPTOR 512

/* A description of our own can be non-blocking without changing it for those who share the
 * descriptor. Only Linux opens a pipe or terminal anew by this name; elsewhere the name is
 * a duplicate, on which the flag has no effect, which fcntl tells. */
static enum sink_kind reopen_nonblocking(void)
{
    int own = open("/dev/stderr", O_WRONLY | O_APPEND | O_NONBLOCK | O_NOCTTY);

    if (own == -1)
        return SINK_SHARED;
    if ((fcntl(STDERR_FILENO, F_GETFL) & O_NONBLOCK) != 0 || dup2(own, STDERR_FILENO) == -1) {
        close(own);
        return SINK_SHARED;
    }
    close(own);
    return (fcntl(STDERR_FILENO, F_GETFL) & O_NONBLOCK) != 0 ? SINK_FILE : SINK_SHARED;
}

/* Whether standard error is the journal's: $JOURNAL_STREAM names its device and inode
 * (systemd.exec(5)). */
static bool is_journal(const struct stat *status)
{
    const char *stream = getenv("JOURNAL_STREAM");
    char own[64];

    snprintf(own, sizeof own, "%llu:%llu", (unsigned long long)status->st_dev,
             (unsigned long long)status->st_ino);
    return stream != NULL && strcmp(stream, own) == 0;
}

void log_sink_open_standard(void)
{
    struct stat status;

    sink.kind = SINK_FILE;
    sink.terminal = isatty(STDERR_FILENO);
    if (sink.terminal)
        tzset(); /* before a child writes a line: it opens nothing */
    if (fstat(STDERR_FILENO, &status) == -1)
        return;
    sink.device = status.st_dev;
    sink.file = status.st_ino;
    sink.journal = is_journal(&status);
    if (S_ISSOCK(status.st_mode))
        sink.kind = SINK_SOCKET;
    else if (S_ISFIFO(status.st_mode) || sink.terminal)
        sink.kind = reopen_nonblocking();
}

/* What was opened anew is not opened once more: by now another user may not be allowed to. */
void log_sink_redirected(void)
{
    struct stat status;

    if (sink.kind == SINK_SYSLOG || fstat(STDERR_FILENO, &status) == -1 ||
        (status.st_dev == sink.device && status.st_ino == sink.file))
        return;
    log_sink_open_standard();
}

/* ---- syslog ---- */

int log_sink_facility(const char *name)
{
    /* The numbers of RFC 3164, section 4.1.1. */
    static const struct {
        const char *name;
        int number;
    } facilities[] = {{"user", 1},    {"mail", 2},    {"daemon", 3},  {"auth", 4},
                      {"local0", 16}, {"local1", 17}, {"local2", 18}, {"local3", 19},
                      {"local4", 20}, {"local5", 21}, {"local6", 22}, {"local7", 23}};

    for (size_t i = 0; i < sizeof facilities / sizeof facilities[0]; i++)
        if (strcmp(facilities[i].name, name) == 0)
            return facilities[i].number;
    return -1;
}

/* A datagram socket can be connected again and again (POSIX.1-2008, connect): to a syslogd
 * that was restarted, and has a new socket under the old name. */
static void connect_syslog(void)
{
    const struct sockaddr_un address = {.sun_family = AF_UNIX, .sun_path = "/dev/log"};

    sink.tried_at = clock_seconds();
    (void)connect(sink.descriptor, (const struct sockaddr *)&address, sizeof address);
}

int log_sink_open_syslog(const char *program, int facility, bool for_children)
{
    int descriptor = socket(AF_UNIX, SOCK_DGRAM, 0);

    if (descriptor == -1)
        return -1;
    if (for_children) {
        sink.descriptor = fcntl(descriptor, F_DUPFD, CHILDREN_DESCRIPTOR);
        close(descriptor);
    } else {
        sink.descriptor = descriptor;
    }
    (void)fcntl(sink.descriptor, F_SETFD, FD_CLOEXEC);
    sink.kind = SINK_SYSLOG;
    sink.terminal = sink.journal = false;
    sink.program = program;
    sink.facility = facility;
    tzset();
    connect_syslog();
    return 0;
}

static ssize_t send_syslog(const char *line, size_t length)
{
    /* The newline is the end of a line elsewhere; a datagram has its own. */
    ssize_t sent = send(sink.descriptor, line, length - 1, MSG_DONTWAIT | MSG_NOSIGNAL);

    return sent == -1 ? -1 : sent + 1;
}

static ssize_t write_syslog(const char *line, size_t length)
{
    ssize_t sent = send_syslog(line, length);

    if (sent != -1 || errno == EAGAIN || errno == ENOBUFS || clock_seconds() < sink.tried_at + 1)
        return sent;
    connect_syslog();
    return send_syslog(line, length);
}

/* ---- all of them ---- */

size_t log_sink_prefix(char *line, enum log_priority priority)
{
    time_t now;
    struct tm local;
    size_t used = 0;

    if (sink.journal)
        return (size_t)snprintf(line, LOG_PREFIX_MAX, "<%d>", (int)priority);
    if (!sink.terminal && sink.kind != SINK_SYSLOG)
        return 0;
    now = time(NULL);
    if (localtime_r(&now, &local) == NULL)
        memset(&local, 0, sizeof local);
    if (sink.terminal)
        return strftime(line, LOG_PREFIX_MAX, "%Y-%m-%d %H:%M:%S ", &local);
    used = (size_t)snprintf(line, LOG_PREFIX_MAX, "<%d>", sink.facility * 8 + (int)priority);
    used += strftime(line + used, LOG_PREFIX_MAX - used, "%b %e %H:%M:%S ", &local);
    return used + (size_t)snprintf(line + used, LOG_PREFIX_MAX - used, "%s[%ld]: ", sink.program,
                                   (long)getpid());
}

bool log_sink_write(const char *line, size_t length)
{
    struct pollfd room = {.fd = STDERR_FILENO, .events = POLLOUT};
    ssize_t written = -1;

    /* A child may not ask (confine.h); it may wait, for it has one client only. */
    if (sink.kind == SINK_SHARED && poll(&room, 1, 0) != -1 && (room.revents & POLLOUT) == 0)
        return false;
    do
        switch (sink.kind) {
        case SINK_FILE:
        case SINK_SHARED:
            written = write(STDERR_FILENO, line, length);
            break;
        case SINK_SOCKET:
            written = send(STDERR_FILENO, line, length, MSG_DONTWAIT | MSG_NOSIGNAL);
            break;
        case SINK_SYSLOG:
            written = write_syslog(line, length);
            break;
        }
    while (written == -1 && errno == EINTR);
    return written == (ssize_t)length;
}
