/* log_sink.c: see log_sink.h. */
#include "process/log_sink.h"

#include "base/clock.h"
#include "base/descriptors.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#define PREFIX_MAX 64 /* characters */

/* So that no write waits: nothing for a file, or what was opened anew; MSG_DONTWAIT; or O_NONBLOCK
 * each time, for a pipe or terminal that could not be. */
enum standard_kind { STANDARD_FILE, STANDARD_SOCKET, STANDARD_SHARED };

static struct {
    enum standard_kind kind;
    bool terminal, journal;
    dev_t device; /* with `file`: shows later whether it was redirected */
    ino_t file;
} standard;

static struct {
    const char *program;
    int facility, descriptor;
    atomic_bool stream;
    double tried_at; /* when it was last connected; and why it could not be, or 0 */
    int error;
} syslogd = {.descriptor = -1};

/* /dev/tty may be opened whoever owns the terminal. Elsewhere than on Linux, /dev/stderr opened is
 * a duplicate, on which open's flags have no effect: hence the look at them. */
static enum standard_kind reopen_nonblocking(void)
{
    bool controlling = standard.terminal && tcgetpgrp(STDERR_FILENO) != -1;
    int own = open(controlling ? "/dev/tty" : "/dev/stderr",
                   O_WRONLY | O_APPEND | O_NONBLOCK | O_NOCTTY);
    bool replaced = own != -1 && (fcntl(STDERR_FILENO, F_GETFL) & O_NONBLOCK) == 0 &&
                    dup2(own, STDERR_FILENO) != -1 &&
                    (fcntl(STDERR_FILENO, F_GETFL) & O_NONBLOCK) != 0;

    if (own != -1)
        close(own);
    return replaced ? STANDARD_FILE : STANDARD_SHARED;
}

/* Whether $JOURNAL_STREAM names standard error (systemd.exec(5)). */
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

    if (fstat(STDERR_FILENO, &status) == -1)
        return;
    standard.journal = is_journal(&status);
    if (status.st_dev == standard.device && status.st_ino == standard.file)
        return; /* opened anew already, which the server's present user may not do */
    standard.kind = S_ISSOCK(status.st_mode) ? STANDARD_SOCKET : STANDARD_FILE;
    standard.terminal = isatty(STDERR_FILENO);
    if (standard.terminal)
        tzset(); /* before a child writes a line: it opens nothing */
    if (S_ISREG(status.st_mode)) /* so that it may be truncated meanwhile (log_sink.h) */
        (void)fcntl(STDERR_FILENO, F_SETFL, fcntl(STDERR_FILENO, F_GETFL) | O_APPEND);
    if (S_ISFIFO(status.st_mode) || standard.terminal)
        standard.kind = reopen_nonblocking();
    (void)fstat(STDERR_FILENO, &status); /* /dev/tty is another file */
    standard.device = status.st_dev;
    standard.file = status.st_ino;
}

int log_sink_facility(const char *name)
{
    /* RFC 3164, section 4.1.1. */
    static const char *const names[] = {
        [1] = "user", "mail", "daemon", "auth",
        [16] = "local0", "local1", "local2", "local3", "local4", "local5", "local6", "local7"};

    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
        if (names[i] != NULL && strcmp(names[i], name) == 0)
            return (int)i;
    return -1;
}

static bool connect_to_syslog(int descriptor)
{
    const struct sockaddr_un address = {.sun_family = AF_UNIX, .sun_path = "/dev/log"};
    bool connected =
        connect(descriptor, (const struct sockaddr *)&address, sizeof address) == 0;

    syslogd.error = connected ? 0 : errno;
    return connected;
}

/* Puts another socket in the place of ours. A child may open none. */
static bool replace_socket(int type)
{
    int own = socket(AF_UNIX, type, 0);
    bool replaced = own != -1 && fcntl(own, F_SETFL, O_NONBLOCK) != -1 &&
                    connect_to_syslog(own) && dup2(own, syslogd.descriptor) != -1;

    if (own != -1)
        close(own);
    if (replaced)
        log_sink_moved(syslogd.descriptor);
    return replaced;
}

/* A stream is connected once in its life. */
static void connect_syslog(void)
{
    syslogd.tried_at = clock_seconds();
    if (!connect_to_syslog(syslogd.descriptor) &&
        (syslogd.error == EPROTOTYPE || syslogd.error == EISCONN) && !replace_socket(SOCK_DGRAM))
        (void)replace_socket(SOCK_STREAM);
}

int log_sink_open_syslog(const char *program, int facility)
{
    syslogd.program = program;
    syslogd.facility = facility;
    tzset();
    syslogd.descriptor = socket(AF_UNIX, SOCK_DGRAM, 0);
    if (syslogd.descriptor == -1)
        return -1;
    log_sink_moved(syslogd.descriptor);
    connect_syslog();
    return 0;
}

int log_sink_unreached(void)
{
    return syslogd.error;
}

int log_sink_descriptor(void)
{
    return syslogd.descriptor;
}

void log_sink_moved(int descriptor)
{
    syslogd.descriptor = descriptor;
    syslogd.stream = descriptors_option(descriptor, SOL_SOCKET, SO_TYPE) == SOCK_STREAM;
    if (descriptor != -1)
        (void)fcntl(descriptor, F_SETFD, FD_CLOEXEC);
}

/* Of threads that find it gone one connects it again; the others lose their line. */
static ssize_t write_syslog(const char *line, size_t length)
{
    static atomic_flag connecting = ATOMIC_FLAG_INIT;
    ssize_t sent = send(syslogd.descriptor, line, length, MSG_DONTWAIT | MSG_NOSIGNAL);

    if (sent != -1 || errno == EAGAIN || errno == ENOBUFS ||
        atomic_flag_test_and_set(&connecting))
        return sent;
    if (clock_seconds() >= syslogd.tried_at + 1) {
        connect_syslog();
        sent = send(syslogd.descriptor, line, length, MSG_DONTWAIT | MSG_NOSIGNAL);
    }
    atomic_flag_clear(&connecting);
    return sent;
}

/* Puts what stands before a text into `line`. Returns its length. */
static size_t put_prefix(enum log_sink sink, enum log_priority priority, char *line)
{
    time_t now;
    struct tm local;
    size_t used;

    if (sink == SINK_STANDARD && standard.journal)
        return (size_t)snprintf(line, PREFIX_MAX, "<%d>", (int)priority);
    if (sink == SINK_STANDARD && !standard.terminal)
        return 0;
    now = time(NULL);
    if (localtime_r(&now, &local) == NULL)
        memset(&local, 0, sizeof local);
    if (sink == SINK_STANDARD)
        return strftime(line, PREFIX_MAX, "%Y-%m-%d %H:%M:%S ", &local);
    used = (size_t)snprintf(line, PREFIX_MAX, "<%d>", syslogd.facility * 8 + (int)priority);
    used += strftime(line + used, PREFIX_MAX - used, "%b %e %H:%M:%S ", &local);
    return used + (size_t)snprintf(line + used, PREFIX_MAX - used, "%s[%ld]: ",
                                   syslogd.program, (long)getpid());
}

static ssize_t write_standard(const char *line, size_t length)
{
    if (standard.kind == STANDARD_SOCKET)
        return send(STDERR_FILENO, line, length, MSG_DONTWAIT | MSG_NOSIGNAL);
    if (standard.kind == STANDARD_SHARED) /* each time, for a shell clears it on its terminal */
        (void)fcntl(STDERR_FILENO, F_SETFL, fcntl(STDERR_FILENO, F_GETFL) | O_NONBLOCK);
    return write(STDERR_FILENO, line, length);
}

bool log_sink_write(enum log_sink sink, enum log_priority priority, const char *text)
{
    char line[LOG_LINE_MAX], *end;
    size_t length = put_prefix(sink, priority, line);
    ssize_t written;

    snprintf(line + length, sizeof line - length, "%s", text);
    for (end = line + length; *end != '\0'; end++) /* one line, whatever it quotes */
        if (iscntrl((unsigned char)*end))
            *end = '?';
    if (sink == SINK_STANDARD)
        *end++ = '\n'; /* in place of the NUL, also where the line was cut */
    else
        end += syslogd.stream; /* its lines end with the NUL; Linux takes all of one or nothing */
    length = (size_t)(end - line);
    do
        written = sink == SINK_SYSLOG ? write_syslog(line, length) : write_standard(line, length);
    while (written == -1 && errno == EINTR);
    return written == (ssize_t)length;
}

bool log_sink_hung_up(void)
{
    return standard.terminal && !isatty(STDERR_FILENO);
}
