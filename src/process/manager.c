/* manager.c: see manager.h. */
#include "process/manager.h"

#include "base/clock.h"
#include "base/descriptors.h"
#include "base/parse.h"
#include "process/log.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

/* The first descriptor that is handed over (SD_LISTEN_FDS_START). */
#define LISTEN_START 3

/* Seconds between two status texts, and until what could not be told is tried again. */
#define STATUS_PERIOD 1
#define STATE_AGAIN 0.1

/* LISTEN_FDNAMES is for messages only: what does not fit is not named. */
#define NAMES_SIZE 1024

static const char *const variables[] = {"NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID",
                                        "LISTEN_FDS", "LISTEN_PID", "LISTEN_FDNAMES",
                                        "LISTEN_PIDFDID"};

/* There is one service manager. */
static struct {
    struct sockaddr_un address;
    socklen_t length; /* of the address; 0: nobody to notify */
    int descriptor;   /* the notify socket; -1: none */
    unsigned long long watchdog; /* microseconds; 0: not wanted */
    int listeners;               /* how many were handed over */
    char names[NAMES_SIZE];      /* LISTEN_FDNAMES, parted by colons */
    double status_next;          /* when a status may be told again */
    char status[MANAGER_STATUS_MAX]; /* the last one told */
    double watchdog_next;            /* when WATCHDOG=1 is due */
    enum manager_state state;        /* the last one told, or ... */
    bool owes_state;                 /* ... still to be told */
} the_manager = {.descriptor = -1};

/* ---- the environment ---- */

/* A variable; NULL where it is not set or empty. */
static const char *variable(const char *name)
{
    const char *value = getenv(name);

    return value != NULL && *value != '\0' ? value : NULL;
}

/* Whether a variable names this process. `*malformed` is set when it is no pid at all. */
static bool is_our_pid(const char *text, bool *malformed)
{
    long pid;

    if (parse_number(text, 1, LONG_MAX, &pid) == 0)
        return pid == (long)getpid();
    *malformed = true;
    return false;
}

/* "/path", or "@name" for the abstract name space, whose length is exact: each byte behind
 * the name would be part of it, NULs, too (unix(7)). */
static void take_notify_socket(const char *text)
{
    size_t length = strlen(text);
    struct sockaddr_un *address = &the_manager.address;

    if ((text[0] != '/' && text[0] != '@') || length < 2) {
        log_error("NOTIFY_SOCKET '%s' is neither /path nor @name: the service manager is told "
                  "nothing", text);
        return;
    }
    if (length > sizeof address->sun_path - (text[0] == '/' ? 1 : 0)) {
        log_error("NOTIFY_SOCKET '%s' is longer than the address of a Unix socket: the service "
                  "manager is told nothing", text);
        return;
    }
    memset(address, 0, sizeof *address);
    address->sun_family = AF_UNIX;
    memcpy(address->sun_path, text, length);
    if (text[0] == '@')
        address->sun_path[0] = '\0';
    the_manager.length = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + length +
                                     (text[0] == '/' ? 1 : 0));
}

static void take_watchdog(const char *period, const char *pid)
{
    bool malformed = false;
    char *end = NULL;
    unsigned long long value = 0;

    if (pid != NULL && !is_our_pid(pid, &malformed) && !malformed)
        return;
    errno = 0;
    if (isdigit((unsigned char)period[0]))
        value = strtoull(period, &end, 10);
    if (malformed || value == 0 || errno != 0 || *end != '\0')
        log_error("WATCHDOG_USEC '%s', WATCHDOG_PID '%s' are not a number of microseconds and a "
                  "pid: no watchdog", period, pid != NULL ? pid : "");
    else
        the_manager.watchdog = value;
}

static int take_listeners(const char *count, const char *pid, const char *names)
{
    bool malformed = false, ours = is_our_pid(pid, &malformed);
    long number;

    if (!ours && !malformed)
        return 0;
    if (malformed || parse_number(count, 1, INT_MAX - LISTEN_START, &number) == -1) {
        log_error("LISTEN_FDS '%s', LISTEN_PID '%s' are not a number of sockets and a pid; unset "
                  "them, or start it as a socket unit does", count, pid);
        return -1;
    }
    the_manager.listeners = (int)number;
    snprintf(the_manager.names, sizeof the_manager.names, "%s", names != NULL ? names : "");
    return 0;
}

int manager_open(void)
{
    const char *notify = variable("NOTIFY_SOCKET"), *period = variable("WATCHDOG_USEC"),
               *count = variable("LISTEN_FDS"), *pid = variable("LISTEN_PID");
    int result = 0;

    if (notify != NULL)
        take_notify_socket(notify);
    if (period != NULL)
        take_watchdog(period, variable("WATCHDOG_PID"));
    if (count != NULL && pid != NULL)
        result = take_listeners(count, pid, variable("LISTEN_FDNAMES"));
    manager_unexport();
    return result;
}

void manager_unexport(void)
{
    for (size_t i = 0; i < sizeof variables / sizeof variables[0]; i++)
        (void)unsetenv(variables[i]);
}

static int export_number(const char *name, unsigned long long value)
{
    char text[32];

    snprintf(text, sizeof text, "%llu", value);
    return setenv(name, text, 1);
}

int manager_export(void)
{
    char text[sizeof the_manager.address.sun_path + 1] = "";

    if (the_manager.length > 0) {
        memcpy(text, the_manager.address.sun_path,
               the_manager.length - offsetof(struct sockaddr_un, sun_path));
        if (text[0] == '\0')
            text[0] = '@';
        if (setenv("NOTIFY_SOCKET", text, 1) == -1)
            return -1;
    }
    if (the_manager.watchdog == 0)
        return 0;
    return export_number("WATCHDOG_USEC", the_manager.watchdog) == -1 ||
                   export_number("WATCHDOG_PID", (unsigned long long)getpid()) == -1
               ? -1
               : 0;
}

/* ---- notifying ---- */

static int connect_socket(void)
{
    return connect(the_manager.descriptor, (const struct sockaddr *)&the_manager.address,
                   the_manager.length);
}

void manager_connect(void)
{
    if (the_manager.length == 0)
        return;
    the_manager.descriptor = socket(AF_UNIX, SOCK_DGRAM, 0);
    if (the_manager.descriptor != -1 &&
        fcntl(the_manager.descriptor, F_SETFD, FD_CLOEXEC) != -1 &&
        fcntl(the_manager.descriptor, F_SETFL, O_NONBLOCK) != -1 && connect_socket() == 0)
        return;
    log_error("cannot reach the service manager (NOTIFY_SOCKET): %s; serving all the same",
              strerror(errno));
}

int manager_descriptor(void)
{
    return the_manager.descriptor;
}

void manager_adopt(int descriptor)
{
    the_manager.descriptor = descriptor;
    the_manager.status_next = clock_seconds() + STATUS_PERIOD;
}

/*
 * The manager may have made its socket anew, or only now. Then the same descriptor is connected
 * again (POSIX.1-2008, connect, lets a datagram socket change its peer): one with another
 * number could be inherited by children, which close only what is below the ledger.
 */
static int send_message(const char *message, size_t length)
{
    if (send(the_manager.descriptor, message, length, MSG_NOSIGNAL) == (ssize_t)length)
        return 1;
    if (errno == EAGAIN || errno == EWOULDBLOCK || errno == EMSGSIZE || errno == ENOBUFS ||
        connect_socket() == -1)
        return -1;
    return send(the_manager.descriptor, message, length, MSG_NOSIGNAL) == (ssize_t)length ? 1 : -1;
}

int manager_notify(const char *format, ...)
{
    char message[MANAGER_MESSAGE_MAX + 1];
    va_list values;
    int length;

    if (the_manager.length == 0)
        return 0;
    va_start(values, format);
    length = vsnprintf(message, sizeof message, format, values);
    va_end(values);
    if (length >= 0 && (size_t)length < sizeof message)
        return send_message(message, (size_t)length);
    errno = EMSGSIZE;
    return -1;
}

bool manager_present(void)
{
    return the_manager.length > 0;
}

void manager_state(enum manager_state state)
{
    struct timespec now = {0, 0};
    int sent = 0;

    (void)clock_gettime(CLOCK_MONOTONIC, &now);
    switch (state) {
    case MANAGER_READY:
        sent = manager_notify("READY=1");
        break;
    case MANAGER_RELOADING:
        sent = manager_notify("RELOADING=1\nMONOTONIC_USEC=%llu",
                              (unsigned long long)now.tv_sec * 1000000 +
                                  (unsigned long long)now.tv_nsec / 1000);
        break;
    case MANAGER_STOPPING:
        sent = manager_notify("STOPPING=1");
        break;
    }
    the_manager.state = state;
    the_manager.owes_state = sent == -1;
}

/* Each of these tells one thing if it is due, and returns when it is due again; 0: it is not. */

static double tell_state(double now)
{
    if (the_manager.owes_state)
        manager_state(the_manager.state);
    return the_manager.owes_state ? now + STATE_AGAIN : 0;
}

static double tell_status(const char *text, double now)
{
    char status[MANAGER_STATUS_MAX];

    if (!manager_present())
        return 0;
    /* A newline would begin another variable. */
    snprintf(status, sizeof status, "%.*s", (int)strcspn(text, "\n"), text);
    if (strcmp(status, the_manager.status) == 0)
        return 0;
    if (now < the_manager.status_next)
        return the_manager.status_next;
    the_manager.status_next = now + STATUS_PERIOD; /* also for what fails: it is tried again */
    if (manager_notify("STATUS=%s", status) != 1)
        return the_manager.status_next;
    strcpy(the_manager.status, status);
    return 0;
}

static double tell_watchdog(double now)
{
    double period = (double)the_manager.watchdog / 1e6 / 2;

    if (period <= 0 || !manager_present())
        return 0;
    if (now >= the_manager.watchdog_next && manager_notify("WATCHDOG=1") == 1)
        the_manager.watchdog_next = now + period;
    return now >= the_manager.watchdog_next ? now + STATE_AGAIN : the_manager.watchdog_next;
}

double manager_update(const char *text, double now)
{
    double due[] = {tell_state(now), tell_status(text, now), tell_watchdog(now)};

    return clock_earliest(due, sizeof due / sizeof due[0]);
}

/* ---- listeners ---- */

int manager_lowest_free(void)
{
    return LISTEN_START + the_manager.listeners;
}

/* What is wrong with a socket that was handed over; NULL: nothing. */
static const char *defect_of(int descriptor)
{
    struct sockaddr_storage name;
    socklen_t length = sizeof name;
    int type = descriptors_option(descriptor, SOL_SOCKET, SO_TYPE);

    if (fcntl(descriptor, F_GETFD) == -1)
        return "it is not open";
    if (type == -1)
        return "it is not a socket";
    if (type == SOCK_DGRAM)
        return "it is a datagram socket; use ListenStream=";
    if (type != SOCK_STREAM)
        return "it is not a stream socket; use ListenStream=";
    if (descriptors_option(descriptor, SOL_SOCKET, SO_ACCEPTCONN) <= 0)
        return "it does not listen; use Accept=no";
    if (getsockname(descriptor, (struct sockaddr *)&name, &length) == -1 ||
        (name.ss_family != AF_INET && name.ss_family != AF_INET6 && name.ss_family != AF_UNIX))
        return "it is of another family than IPv4, IPv6 and Unix";
    if (fcntl(descriptor, F_SETFD, FD_CLOEXEC) == -1 ||
        fcntl(descriptor, F_SETFL, fcntl(descriptor, F_GETFL) | O_NONBLOCK) == -1)
        return "it cannot be made close-on-exec and non-blocking";
    return NULL;
}

/* The part of LISTEN_FDNAMES that is about a descriptor, and its length; 0: none. */
static const char *name_of(int descriptor, int *length)
{
    const char *name = the_manager.names;

    for (int i = LISTEN_START; i < descriptor && *name != '\0'; i++) {
        name += strcspn(name, ":");
        if (*name == ':')
            name++;
    }
    *length = (int)strcspn(name, ":");
    return name;
}

int manager_check(size_t limit)
{
    if ((size_t)the_manager.listeners > limit) {
        log_error("LISTEN_FDS hands over %d sockets; at most %zu can be served",
                  the_manager.listeners, limit);
        return -1;
    }
    for (int i = LISTEN_START; i < manager_lowest_free(); i++) {
        const char *defect = defect_of(i), *name;
        int length;

        if (defect == NULL)
            continue;
        name = name_of(i, &length);
        log_error("cannot listen on descriptor %d%s%.*s%s of LISTEN_FDS: %s", i,
                  length > 0 ? " (" : "", length, name, length > 0 ? ")" : "", defect);
        return -1;
    }
    return 0;
}

int manager_listeners(int *descriptors)
{
    for (int i = 0; i < the_manager.listeners; i++)
        descriptors[i] = LISTEN_START + i;
    return the_manager.listeners;
}
