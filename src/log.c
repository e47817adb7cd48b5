/* log.c: see log.h. */
#include "log.h"

#include "clock.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

/* How a line is written without waiting for whoever reads it. */
enum log_kind {
    LOG_FILE,   /* a file, or a pipe or terminal opened anew: write fails rather than waits */
    LOG_SOCKET, /* the journal's stream: send with MSG_DONTWAIT */
    LOG_SHARED  /* a pipe that others share: O_NONBLOCK would change it for them, so ask first */
};

/* A kind of line that can come in floods. */
struct flood {
    unsigned limit;      /* lines in a second */
    const char *summary; /* the format of the line that counts the rest */
    double since;        /* when this second began */
    unsigned long lines; /* lines in this second */
};

/* There is one standard error, so there is one log. */
static struct {
    const char *program;
    enum log_level level;
    enum log_kind kind;
    bool terminal;
    atomic_ulong lost; /* lines that could not be written */
    struct flood errors, refusals;
} the_log = {
    .program = "forkecho",
    .level = LOG_NORMAL,
    .errors = {.limit = 10, .summary = "errors more=%lu secs=1"},
    .refusals = {.limit = 100, .summary = "refuse more=%lu secs=1"},
};

/* A description of our own can be non-blocking without changing it for those who share the
 * descriptor. Only Linux opens a pipe or terminal anew by this name; elsewhere the name is
 * a duplicate, on which the flag has no effect, which fcntl tells. */
static enum log_kind reopen_nonblocking(void)
{
    int own = open("/dev/stderr", O_WRONLY | O_APPEND | O_NONBLOCK | O_NOCTTY);

    if (own == -1)
        return LOG_SHARED;
    if ((fcntl(STDERR_FILENO, F_GETFL) & O_NONBLOCK) != 0 || dup2(own, STDERR_FILENO) == -1) {
        close(own);
        return LOG_SHARED;
    }
    close(own);
    return (fcntl(STDERR_FILENO, F_GETFL) & O_NONBLOCK) != 0 ? LOG_FILE : LOG_SHARED;
}

void log_open(const char *program, enum log_level level)
{
    struct stat status;

    the_log.program = program;
    the_log.level = level;
    the_log.terminal = isatty(STDERR_FILENO);
    if (the_log.terminal)
        tzset(); /* before a child writes a line: it opens nothing */
    the_log.kind = LOG_FILE;
    if (fstat(STDERR_FILENO, &status) == -1)
        return;
    if (S_ISSOCK(status.st_mode))
        the_log.kind = LOG_SOCKET;
    else if (S_ISFIFO(status.st_mode) || the_log.terminal)
        the_log.kind = reopen_nonblocking();
}

bool log_shows(enum log_level level)
{
    return level <= the_log.level;
}

static bool write_line(const char *line, size_t length)
{
    struct pollfd room = {.fd = STDERR_FILENO, .events = POLLOUT};
    ssize_t written;

    if (the_log.kind == LOG_SHARED && (poll(&room, 1, 0) != 1 || (room.revents & POLLOUT) == 0))
        return false;
    do
        written = the_log.kind == LOG_SOCKET
                      ? send(STDERR_FILENO, line, length, MSG_DONTWAIT | MSG_NOSIGNAL)
                      : write(STDERR_FILENO, line, length);
    while (written == -1 && errno == EINTR);
    return written == (ssize_t)length;
}

/* Fills `line` from its start or from `used` on, and ends it with a newline, cut or not. */
static size_t end_line(char *line, size_t used)
{
    if (used > LOG_LINE_MAX - 1)
        used = LOG_LINE_MAX - 1;
    line[used] = '\n';
    return used + 1;
}

static size_t put_time(char *line)
{
    time_t now = time(NULL);
    struct tm local;

    if (!the_log.terminal || localtime_r(&now, &local) == NULL)
        return 0;
    return strftime(line, LOG_LINE_MAX, "%Y-%m-%d %H:%M:%S ", &local);
}

static void say_lost(void)
{
    char line[LOG_LINE_MAX];
    size_t used = put_time(line);
    unsigned long lost = atomic_exchange(&the_log.lost, 0);
    int added = snprintf(line + used, sizeof line - used, "log lost=%lu", lost);

    if (!write_line(line, end_line(line, used + (size_t)added)))
        the_log.lost += lost;
}

/* One line. `loop` says that the server's loop writes it, not a child or a thread: what was
 * lost is told by the loop alone, for a child has a copy of the count. */
static void say(bool loop, const char *prefix, const char *format, va_list values)
{
    int saved = errno;
    char line[LOG_LINE_MAX];
    size_t used = put_time(line);
    int added;

    if (loop && the_log.lost > 0)
        say_lost();
    used += (size_t)snprintf(line + used, sizeof line - used, "%s%s", prefix,
                             *prefix != '\0' ? ": " : "");
    added = vsnprintf(line + used, sizeof line - used, format, values);
    if (added >= 0 && !write_line(line, end_line(line, used + (size_t)added)))
        the_log.lost++;
    errno = saved;
}

void log_event(enum log_level level, const char *format, ...)
{
    va_list values;

    if (!log_shows(level))
        return;
    va_start(values, format);
    say(level < LOG_MESSAGES, "", format, values);
    va_end(values);
}

/* Says how many lines of a flood were left out, if any, and begins a new second. */
static void settle(struct flood *flood, double now)
{
    if (flood->lines > flood->limit)
        log_event(LOG_QUIET, flood->summary, flood->lines - flood->limit);
    flood->lines = 0;
    flood->since = now;
}

/* Counts one more line. Returns whether it may be written. */
static bool admit(struct flood *flood)
{
    double now = clock_seconds();

    if (now >= flood->since + 1)
        settle(flood, now);
    return ++flood->lines <= flood->limit;
}

void log_refusal(const char *format, ...)
{
    va_list values;

    if (!log_shows(LOG_CLIENTS) || !admit(&the_log.refusals))
        return;
    va_start(values, format);
    say(true, "", format, values);
    va_end(values);
}

void log_error(const char *format, ...)
{
    va_list values;

    if (!admit(&the_log.errors))
        return;
    va_start(values, format);
    say(true, the_log.program, format, values);
    va_end(values);
}

double log_settle(double now)
{
    struct flood *floods[] = {&the_log.errors, &the_log.refusals};
    double due = -1;

    for (size_t i = 0; i < sizeof floods / sizeof floods[0]; i++) {
        if (floods[i]->lines <= floods[i]->limit)
            continue;
        if (now >= floods[i]->since + 1)
            settle(floods[i], now);
        else if (due < 0 || floods[i]->since + 1 < due)
            due = floods[i]->since + 1;
    }
    return due;
}
