/* manager.c: see manager.h. */
#include "process/manager.h"

#include "base/clock.h"
#include "base/parse.h"
#include "process/log.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#define STATUS_PERIOD 1   /* seconds between two status texts */
#define PAUSE_FIRST 0.1   /* seconds until a queue that was full is tried again: at first, ... */
#define PAUSE_LONGEST 120 /* ... at most, and until a manager that has gone is looked for */
#define ADDRESS_MAX sizeof ((struct sockaddr_un *)NULL)->sun_path

static struct {
    char address[ADDRESS_MAX + 1]; /* NOTIFY_SOCKET; empty: nobody to notify */
    int descriptor;                /* the notify socket; -1: none */
    unsigned long long watchdog;   /* microseconds; 0: not wanted */
    double watchdog_next;          /* when WATCHDOG=1 is due */
    double status_next;            /* when a new status may be sent */
    char status[MANAGER_STATUS_MAX]; /* the last one */
    enum manager_state state;
    bool owes_state, owes_status; /* it could not be sent yet */
    double pause, again;          /* so long a pause is over then; 0: none is made */
} the_manager = {.descriptor = -1};

/* The bytes of an address: "/path" with the NUL that ends it, or "@name" in the abstract name space
 * (unix(7)), where a NUL behind it would make another name of it. */
static size_t address_length(const char *address)
{
    return strlen(address) + (address[0] == '/');
}

static void take_notify_socket(const char *text)
{
    bool named = (text[0] == '/' || text[0] == '@') && text[1] != '\0';

    if (named && address_length(text) <= ADDRESS_MAX)
        strcpy(the_manager.address, text);
    else
        log_error("NOTIFY_SOCKET '%s' is %s: the service manager is told nothing", text,
                  named ? "longer than the address of a Unix socket" : "neither /path nor @name");
}

/* `pid` names the process that is to answer; NULL or empty: whoever has the variable. */
static void take_watchdog(const char *period, const char *pid)
{
    long process = (long)getpid();
    bool malformed = pid != NULL && *pid != '\0' && parse_number(pid, 1, LONG_MAX, &process) == -1;
    char *end = NULL;
    unsigned long long value = 0;

    if (process != (long)getpid())
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

void manager_open(void)
{
    const char *notify = getenv("NOTIFY_SOCKET"), *period = getenv("WATCHDOG_USEC");

    if (notify != NULL && *notify != '\0')
        take_notify_socket(notify);
    if (period != NULL && *period != '\0')
        take_watchdog(period, getenv("WATCHDOG_PID"));
    manager_unexport();
}

void manager_unexport(void)
{
    (void)unsetenv("NOTIFY_SOCKET");
    (void)unsetenv("WATCHDOG_USEC");
    (void)unsetenv("WATCHDOG_PID");
}

int manager_export(void)
{
    char period[32], pid[32];

    if (manager_present() && setenv("NOTIFY_SOCKET", the_manager.address, 1) == -1)
        return -1;
    if (the_manager.watchdog == 0)
        return 0;
    snprintf(period, sizeof period, "%llu", the_manager.watchdog);
    snprintf(pid, sizeof pid, "%ld", (long)getpid());
    return setenv("WATCHDOG_USEC", period, 1) == -1 ? -1 : setenv("WATCHDOG_PID", pid, 1);
}

/* As much of a text as can be a status: behind a newline another variable would begin. */
static int line_length(const char *text)
{
    size_t length = strcspn(text, "\n");

    return (int)(length < MANAGER_STATUS_MAX ? length : MANAGER_STATUS_MAX - 1);
}

static int connect_socket(void)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    size_t length = address_length(the_manager.address);

    memcpy(address.sun_path, the_manager.address, length);
    if (address.sun_path[0] == '@')
        address.sun_path[0] = '\0';
    return connect(the_manager.descriptor, (const struct sockaddr *)&address,
                   (socklen_t)(offsetof(struct sockaddr_un, sun_path) + length));
}

static int open_socket(void)
{
    the_manager.descriptor = socket(AF_UNIX, SOCK_DGRAM, 0);
    if (the_manager.descriptor == -1 ||
        fcntl(the_manager.descriptor, F_SETFD, FD_CLOEXEC) == -1 ||
        fcntl(the_manager.descriptor, F_SETFL, O_NONBLOCK) == -1)
        return -1;
    return connect_socket();
}

void manager_connect(int earlier)
{
    if (earlier != 0) {
        the_manager.descriptor = earlier;
        the_manager.status_next = clock_seconds() + STATUS_PERIOD; /* one may just have been sent */
    } else if (manager_present() && open_socket() == -1) {
        log_error("cannot reach the service manager (NOTIFY_SOCKET): %s; serving all the same",
                  strerror(errno));
    }
}

int manager_descriptor(void)
{
    return the_manager.descriptor;
}

bool manager_present(void)
{
    return the_manager.address[0] != '\0';
}

/* Whether errno says that the manager is there, but its queue has no room. */
static bool is_full(void)
{
    return errno == EAGAIN || errno == EWOULDBLOCK || errno == ENOBUFS;
}

/* Where the manager has made its socket anew, or only now, the same descriptor is connected again:
 * a datagram socket may change its peer (POSIX.1-2008, connect). */
int manager_notify(const char *format, ...)
{
    char message[MANAGER_STATUS_MAX + 64]; /* longer than any of ours */
    va_list values;
    ssize_t sent;

    if (!manager_present())
        return 0;
    va_start(values, format);
    vsnprintf(message, sizeof message, format, values);
    va_end(values);
    sent = send(the_manager.descriptor, message, strlen(message), MSG_NOSIGNAL);
    if (sent == -1 && !is_full() && connect_socket() == 0)
        sent = send(the_manager.descriptor, message, strlen(message), MSG_NOSIGNAL);
    return sent == -1 ? -1 : 1; /* a datagram is sent whole */
}

void manager_failed(const char *why, int error)
{
    if (manager_present() && the_manager.descriptor == -1)
        (void)open_socket();
    (void)manager_notify("STATUS=%.*s\nERRNO=%d", line_length(why), why, error);
}

/* Half of what the manager waits for, in seconds (sd_watchdog_enabled(3)). */
static double watchdog_interval(void)
{
    return (double)the_manager.watchdog / 1e6 / 2;
}

static bool send_state(void)
{
    enum manager_state state = the_manager.state;
    int sent = state == MANAGER_RELOADING
                   ? manager_notify("RELOADING=1\nMONOTONIC_USEC=%llu",
                                    (unsigned long long)(clock_seconds() * 1e6))
                   : manager_notify(state == MANAGER_READY ? "READY=1" : "STOPPING=1");

    the_manager.owes_state = sent == -1;
    return sent != -1;
}

void manager_state(enum manager_state state)
{
    the_manager.state = state;
    the_manager.again = the_manager.pause = 0;
    (void)send_state();
}

/* Takes the status text where it is new and may be sent. Returns when it may be; 0: it is not. */
static double note_status(const char *text, double now)
{
    char status[MANAGER_STATUS_MAX];

    snprintf(status, sizeof status, "%.*s", line_length(text), text);
    if (strcmp(status, the_manager.status) == 0)
        return 0;
    if (now < the_manager.status_next)
        return the_manager.status_next;
    strcpy(the_manager.status, status);
    the_manager.owes_status = true;
    the_manager.status_next = now + STATUS_PERIOD;
    the_manager.again = 0; /* there is something new to say */
    return 0;
}

/* Sends all that is due. Returns false, with errno, at the first that cannot be sent. */
static bool send_due(double now)
{
    if (the_manager.owes_state && !send_state())
        return false;
    if (the_manager.owes_status && manager_notify("STATUS=%s", the_manager.status) == -1)
        return false;
    the_manager.owes_status = false;
    if (the_manager.watchdog == 0 || now < the_manager.watchdog_next)
        return true;
    if (manager_notify("WATCHDOG=1") == -1)
        return false;
    the_manager.watchdog_next = now + watchdog_interval();
    return true;
}

/* How long to wait after a failure, with errno: it is not to wake an idle server for ever. */
static double next_pause(void)
{
    double longest = the_manager.watchdog > 0 ? watchdog_interval() / 2 : PAUSE_LONGEST;
    double pause = the_manager.pause > 0 ? 2 * the_manager.pause : PAUSE_FIRST;

    return is_full() && pause < longest ? pause : longest;
}

double manager_update(const char *text, double now)
{
    double due = note_status(text, now);

    if (now >= the_manager.again) {
        the_manager.pause = send_due(now) ? 0 : next_pause();
        the_manager.again = the_manager.pause > 0 ? now + the_manager.pause : 0;
    }
    return clock_earlier(due, the_manager.again > 0 ? the_manager.again
                                                    : the_manager.watchdog_next);
}
