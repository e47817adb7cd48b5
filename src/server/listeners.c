/* listeners.c: see listeners.h. */
#include "server/listeners.h"

#include "base/clock.h"
#include "base/descriptors.h"
#include "base/text.h"
#include "process/activation.h"
#include "process/log.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* How often a port that the kernel chose for one family may be taken in the other. */
#define PORT_TRIES 16

/* Sockets that are asked for options that they lack: as many as a queue commonly holds. */
#define ASKS_MAX 4096

/* ---- options of accepted sockets ---- */

static bool is_local(const struct listener *listener)
{
    return listener->address.name.any.sa_family == AF_UNIX;
}

/* Failures are left alone: a connection without them still echoes. No idle limit is set as well:
 * a socket that was handed over may still have that of an earlier server. */
static void set_client_options(int descriptor, bool local, double idle)
{
    int on = 1;

    if (!local) {
        (void)setsockopt(descriptor, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
        (void)setsockopt(descriptor, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof on);
    }
    /* An urgent byte is one of those that come back (RFC 6093, 6). */
    (void)setsockopt(descriptor, SOL_SOCKET, SO_OOBINLINE, &on, sizeof on);
    session_set_timeouts(descriptor, idle);
}

static bool has_flag(int descriptor, int level, int option)
{
    return descriptors_option(descriptor, level, option) > 0;
}

/* As the kernel has it, which rounds. */
static struct timeval timeout_of(int descriptor, int option)
{
    struct timeval value = {0, 0};
    socklen_t size = sizeof value;

    (void)getsockopt(descriptor, SOL_SOCKET, option, &value, &size);
    return value;
}

static bool same_timeout(int one, int other, int option)
{
    struct timeval first = timeout_of(one, option), second = timeout_of(other, option);

    return first.tv_sec == second.tv_sec && first.tv_usec == second.tv_usec;
}

/* Whether a socket just accepted has the options of its listener, and only those: BSD lets
 * it inherit O_NONBLOCK as well. */
static bool has_client_options(int descriptor, const struct listener *listener)
{
    return (fcntl(descriptor, F_GETFL) & O_NONBLOCK) == 0 &&
           has_flag(descriptor, SOL_SOCKET, SO_OOBINLINE) &&
           (is_local(listener) || (has_flag(descriptor, IPPROTO_TCP, TCP_NODELAY) &&
                                   has_flag(descriptor, SOL_SOCKET, SO_KEEPALIVE))) &&
           same_timeout(descriptor, listener->descriptor, SO_RCVTIMEO) &&
           same_timeout(descriptor, listener->descriptor, SO_SNDTIMEO);
}

/* One that has the options settles it. One that lacks them may be older than they are, where the
 * listener was handed over with clients in its queue: a few thousand such are no answer yet. A Unix
 * socket inherits nothing on Linux either. */
static void ask_inheritance(int descriptor, struct listener *listener)
{
    if (has_client_options(descriptor, listener))
        listener->inheritance = INHERITANCE_WORKS;
    else if (++listener->asked > (is_local(listener) ? 0 : ASKS_MAX))
        listener->inheritance = INHERITANCE_FAILS;
}

int listeners_accept(struct listener *listener, double idle, struct peer *peer)
{
    socklen_t length = sizeof peer->name;
    int descriptor;

    memset(peer, 0, sizeof *peer); /* an upgrade passes on all of it (takeover.h) */
    peer->name.any.sa_family = AF_UNIX; /* stays so where a Unix client has no name at all */
    descriptor = accept(listener->descriptor, &peer->name.any, &length);
    if (descriptor == -1)
        return -1;
    if (listener->inheritance == INHERITANCE_UNKNOWN)
        ask_inheritance(descriptor, listener);
    if (listener->inheritance != INHERITANCE_WORKS) {
        (void)fcntl(descriptor, F_SETFL, fcntl(descriptor, F_GETFL) & ~O_NONBLOCK);
        set_client_options(descriptor, is_local(listener), idle);
    }
    return descriptor;
}

/* ---- opening ---- */

/* Whether a Unix socket that is in the way has nobody who listens on it. */
static bool is_stale(const struct sockaddr_un *path)
{
    struct stat status;
    int probe;
    bool stale;

    if (lstat(path->sun_path, &status) == -1 || !S_ISSOCK(status.st_mode))
        return false;
    probe = socket(AF_UNIX, SOCK_STREAM, 0);
    if (probe == -1)
        return false;
    /* A live server whose backlog is full must not hold us: EAGAIN is an answer, too. */
    (void)fcntl(probe, F_SETFL, O_NONBLOCK);
    stale = connect(probe, (const struct sockaddr *)path, sizeof *path) == -1 &&
            errno == ECONNREFUSED;
    close(probe);
    return stale;
}

static int bind_address(const struct listener *listener)
{
    const struct address *address = &listener->address;

    if (bind(listener->descriptor, &address->name.any, address->length) == 0)
        return 0;
    if (errno != EADDRINUSE || !is_local(listener))
        return -1;
    if (!is_stale(&address->name.local)) {
        errno = EADDRINUSE;
        return -1;
    }
    if (unlink(address->name.local.sun_path) == -1)
        return -1;
    return bind(listener->descriptor, &address->name.any, address->length);
}

static int set_up(struct listener *listener, const struct options *options)
{
    int on = 1, family = listener->address.name.any.sa_family;
    socklen_t length = sizeof listener->address.name;
    struct stat status;

    if (fcntl(listener->descriptor, F_SETFD, FD_CLOEXEC) == -1 ||
        fcntl(listener->descriptor, F_SETFL, O_NONBLOCK) == -1)
        return -1;
    /* A new server may bind while old connections of this port are in TIME_WAIT or still
     * served by the children of the one before. */
    if (family != AF_UNIX &&
        setsockopt(listener->descriptor, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on) == -1)
        return -1;
    if (family == AF_INET6 &&
        setsockopt(listener->descriptor, IPPROTO_IPV6, IPV6_V6ONLY, &on, sizeof on) == -1)
        return -1;
    set_client_options(listener->descriptor, family == AF_UNIX, options->service.idle);
    if (bind_address(listener) == -1)
        return -1;
    if (family == AF_UNIX && lstat(listener->address.name.local.sun_path, &status) == 0) {
        listener->device = status.st_dev;
        listener->file = status.st_ino;
    }
    if (listen(listener->descriptor, options->backlog) == -1)
        return -1;
    if (family == AF_UNIX)
        return 0;
    return getsockname(listener->descriptor, &listener->address.name.any, &length);
}

/* Removes the file of a Unix socket, unless somebody has put another in its place. As another
 * user than the one who made it the server may not be permitted to. */
static void remove_file(const struct listener *listener)
{
    const char *path = listener->address.name.local.sun_path;
    struct stat status;

    if (lstat(path, &status) == 0) {
        if (status.st_dev != listener->device || status.st_ino != listener->file ||
            unlink(path) == 0)
            return;
    } else if (errno == ENOENT) {
        return;
    }
    log_error("cannot remove %s (-l): %s; the next start replaces it", path, strerror(errno));
}

static void close_listener(struct listener *listener)
{
    if (is_local(listener) && listener->file != 0)
        remove_file(listener);
    close(listener->descriptor);
}

/* Adds a listener on `address`. Returns 0, or -1 with errno and nothing left behind. */
static int add_listener(struct listeners *listeners, const struct address *address,
                        const struct options *options)
{
    struct listener *listener = &listeners->all[listeners->count];
    int error;

    *listener = (struct listener){.address = *address};
    listener->descriptor = socket(address->name.any.sa_family, SOCK_STREAM, 0);
    if (listener->descriptor == -1)
        return -1;
    if (set_up(listener, options) == 0) {
        listeners->count++;
        return 0;
    }
    error = errno;
    close_listener(listener);
    errno = error;
    return -1;
}

static const char *way_out(int error, const struct address *address)
{
    bool local = address->name.any.sa_family == AF_UNIX;

    if (error == EACCES && !local)
        return "; ports below 1024 need root, CAP_NET_BIND_SERVICE or a lower "
               "net.ipv4.ip_unprivileged_port_start; or choose a higher one with -l";
    if (error == EADDRINUSE && local)
        return "; another server, or an earlier -l, listens on it, or it is not a socket";
    if (error == EADDRINUSE)
        return "; another server, or an earlier -l, listens on it; choose another port with -l";
    if (error == EADDRNOTAVAIL)
        return "; no interface of this machine has it";
    return "";
}

static int refuse(const char *given, const struct address *address)
{
    int error = errno;
    char text[ADDRESS_TEXT_MAX];

    log_error("cannot listen on %s (-l %s): %s%s", address_text(&address->name.any, text), given,
              strerror(error), way_out(error, address));
    return -1;
}

/* Whether this machine has addresses of that family at all: then it has a loopback one. */
static bool has_family(int family)
{
    struct sockaddr_in v4 = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    struct sockaddr_in6 v6 = {.sin6_family = AF_INET6, .sin6_addr = in6addr_loopback};
    bool is_v6 = family == AF_INET6;
    int probe = socket(family, SOCK_STREAM, 0);
    bool has;

    has = probe != -1 && bind(probe, is_v6 ? (struct sockaddr *)&v6 : (struct sockaddr *)&v4,
                              is_v6 ? sizeof v6 : sizeof v4) == 0;
    if (probe != -1)
        close(probe);
    return has;
}

/* A machine without IPv6, or without IPv4, still serves a name that has both. */
static bool family_is_missing(int error, int family)
{
    bool missing = error == EAFNOSUPPORT || (error == EADDRNOTAVAIL && !has_family(family));

    errno = error;
    return missing;
}

/* Listens on each of `found`, the addresses of one -l. Returns the index of the first that
 * failed with errno, or -1 when all that matter listen. */
static int add_all(struct listeners *listeners, struct address *found, int count,
                   const struct options *options)
{
    size_t first = listeners->count;
    int missing = -1;

    for (int i = 0; i < count; i++) {
        struct address address = found[i];
        if (listeners->count > first && address_port(&address.name.any) == 0)
            address_set_port(&address, address_port(&listeners->all[first].address.name.any));
        if (add_listener(listeners, &address, options) == 0)
            continue;
        if (count == 1 || !family_is_missing(errno, address.name.any.sa_family))
            return i;
        missing = i;
    }
    return listeners->count > first ? -1 : missing;
}

static void close_from(struct listeners *listeners, size_t first)
{
    int error = errno;

    while (listeners->count > first)
        close_listener(&listeners->all[--listeners->count]);
    errno = error;
}

/* Opens one -l. */
static int open_endpoint(struct listeners *listeners, const struct options *options,
                         const struct endpoint *endpoint, const char *given)
{
    struct address found[LISTENERS_MAX];
    size_t first = listeners->count;
    const char *problem;
    int failed = 0;
    int count = address_resolve(endpoint, true, found, LISTENERS_MAX - first, &problem);

    if (count == -1) {
        log_error("cannot resolve '%s' (-l): %s", given, problem);
        return -1;
    }
    for (int tries = 0; tries < PORT_TRIES; tries++) {
        failed = add_all(listeners, found, count, options);
        if (failed == -1)
            return 0;
        close_from(listeners, first);
        /* Only a port that the kernel chose is worth another try. */
        if (errno != EADDRINUSE || found[failed].name.any.sa_family == AF_UNIX ||
            address_port(&found[failed].name.any) != 0)
            break;
    }
    return refuse(given, &found[failed]);
}

/* Takes the sockets that the service manager hands over. Returns how many. */
static int take_handed(struct listeners *listeners, const struct options *options)
{
    int count = activation_count();

    for (int i = 0; i < count; i++) {
        struct listener *listener = &listeners->all[listeners->count++];
        *listener = (struct listener){.descriptor = ACTIVATION_FIRST + i,
                                      .address.length = sizeof listener->address.name};
        (void)getsockname(listener->descriptor, &listener->address.name.any,
                          &listener->address.length);
        set_client_options(listener->descriptor, is_local(listener), options->service.idle);
    }
    if (count > 0 && options->listen_given)
        log_error("the service manager hands over %d sockets (LISTEN_FDS); -l is ignored", count);
    return count;
}

int listeners_open(struct listeners *listeners, const struct options *options)
{
    listeners->count = 0;
    listeners->handed_over = take_handed(listeners, options) > 0;
    if (listeners->handed_over)
        return 0;
    for (size_t i = 0; i < options->listen_count; i++)
        if (open_endpoint(listeners, options, &options->listen[i].endpoint,
                          options->listen[i].text) == -1) {
            close_from(listeners, 0);
            return -1;
        }
    return 0;
}

bool listeners_accepting(const struct listeners *listeners)
{
    for (size_t i = 0; i < listeners->count; i++)
        if (descriptors_option(listeners->all[i].descriptor, SOL_SOCKET, SO_ACCEPTCONN) <= 0)
            return false;
    return true;
}

void listeners_prepare(int descriptor, const struct peer *peer, double idle)
{
    set_client_options(descriptor, peer->name.any.sa_family == AF_UNIX, idle);
}

void listeners_close(struct listeners *listeners)
{
    close_from(listeners, 0);
}

void listeners_text(const struct listeners *listeners, char *buffer, size_t size)
{
    static const char more[] = ",...";
    struct text text = text_in(buffer, size);
    char address[ADDRESS_TEXT_MAX];

    for (size_t i = 0; i < listeners->count; i++) {
        const char *comma = i > 0 ? "," : "";
        address_text(&listeners->all[i].address.name.any, address);
        if ((size_t)(text.end - text.at) < strlen(comma) + strlen(address) + strlen(more)) {
            text_add(&text, more);
            return;
        }
        text_add(&text, comma);
        text_add(&text, address);
    }
}
