/* activation.c: see activation.h. */
#include "process/activation.h"

#include "base/descriptors.h"
#include "base/parse.h"
#include "process/log.h"

#include <fcntl.h>
#include <limits.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

static int sockets;

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
    if (type != SOCK_STREAM)
        return type == SOCK_DGRAM ? "it is a datagram socket; use ListenStream="
                                  : "it is not a stream socket; use ListenStream=";
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

/* `names` is LISTEN_FDNAMES: a list parted by colons, which may be shorter. */
static int check_sockets(const char *names)
{
    const char *defect = NULL;

    for (int i = 0; i < sockets && defect == NULL; i++) {
        int length = (int)strcspn(names, ":");
        defect = defect_of(ACTIVATION_FIRST + i);
        if (defect != NULL)
            log_error("cannot listen on descriptor %d%s%.*s%s of LISTEN_FDS: %s",
                      ACTIVATION_FIRST + i, length > 0 ? " (" : "", length, names,
                      length > 0 ? ")" : "", defect);
        names += length + (names[length] == ':');
    }
    return defect == NULL ? 0 : -1;
}

static int take_listeners(const char *count, const char *pid, const char *names, size_t limit)
{
    long number, process;
    bool malformed = parse_number(pid, 1, LONG_MAX, &process) == -1;

    if (!malformed && process != (long)getpid())
        return 0;
    if (malformed || parse_number(count, 1, INT_MAX - ACTIVATION_FIRST, &number) == -1) {
        log_error("LISTEN_FDS '%s', LISTEN_PID '%s' are not a number of sockets and a pid; unset "
                  "them, or start it as a socket unit does", count, pid);
        return -1;
    }
    sockets = (int)number;
    if ((size_t)number <= limit)
        return check_sockets(names);
    log_error("LISTEN_FDS hands over %ld sockets; at most %zu can be served", number, limit);
    return -1;
}

int activation_open(size_t limit)
{
    const char *count = getenv("LISTEN_FDS"), *pid = getenv("LISTEN_PID");
    const char *names = getenv("LISTEN_FDNAMES");
    int result = 0;

    if (count != NULL && *count != '\0' && pid != NULL && *pid != '\0')
        result = take_listeners(count, pid, names != NULL ? names : "", limit);
    (void)unsetenv("LISTEN_FDS");
    (void)unsetenv("LISTEN_PID");
    (void)unsetenv("LISTEN_FDNAMES");
    (void)unsetenv("LISTEN_PIDFDID");
    return result;
}

int activation_count(void)
{
    return sockets;
}
