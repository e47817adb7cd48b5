/* listener.c: see listener.h. */
#include "server/listener.h"

#include "platform/platform.h"
#include "process/log.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <unistd.h>

/* The kernel's buffers of an echo's connection, one for each direction, in bytes; Linux takes up to
 * twice that. Left to itself it lets them grow to several MB for a client that sends and never
 * reads. It is what any process may ask Linux for by default (net.core.wmem_max). */
#define CONNECTION_BUFFER 212992

#define LOCK_SUFFIX ".forkecho-lock" /* behind the path of a Unix socket */

static bool is_local(const struct listener *listener)
{
    return listener->address.name.any.sa_family == AF_UNIX;
}

/* What fails is left alone: a connection without its options still echoes. An idle limit of 0 is
 * set as well: a socket that was handed over may still have the limit of an earlier server. */
void listener_set_options(int descriptor, bool local, const struct options *options)
{
    int on = 1, size = CONNECTION_BUFFER, echoes = options->command == NULL;

    if (!local) {
        (void)setsockopt(descriptor, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
        (void)setsockopt(descriptor, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof on);
    }
    if (!local && echoes) {
        (void)setsockopt(descriptor, SOL_SOCKET, SO_RCVBUF, &size, sizeof size);
        (void)setsockopt(descriptor, SOL_SOCKET, SO_SNDBUF, &size, sizeof size);
    }
    /* An urgent byte is one of those that come back (RFC 6093, 6). */
    (void)setsockopt(descriptor, SOL_SOCKET, SO_OOBINLINE, &echoes, sizeof echoes);
    session_set_timeouts(descriptor, options->service.idle);
}

/* Whether the socket of a TCP client has the options of its listener, and only those: BSD lets it
 * inherit O_NONBLOCK as well. The kernel doubles sizes and rounds times: its own are compared. */
static bool has_client_options(int descriptor, int listener, bool echoes)
{
    static const int options[][2] = {
        {IPPROTO_TCP, TCP_NODELAY}, {SOL_SOCKET, SO_KEEPALIVE}, {SOL_SOCKET, SO_OOBINLINE},
        {SOL_SOCKET, SO_RCVTIMEO},  {SOL_SOCKET, SO_SNDTIMEO},
        {SOL_SOCKET, SO_RCVBUF},    {SOL_SOCKET, SO_SNDBUF}}; /* the last two for the echo alone */
    size_t count = sizeof options / sizeof options[0] - (echoes ? 0 : 2);
    bool same = (fcntl(descriptor, F_GETFL) & O_NONBLOCK) == 0;

    for (size_t i = 0; same && i < count; i++) {
        unsigned char its[sizeof(struct timeval)] = {0}, wanted[sizeof its] = {0};
        socklen_t size = sizeof its;
        (void)getsockopt(descriptor, options[i][0], options[i][1], its, &size);
        (void)getsockopt(listener, options[i][0], options[i][1], wanted, &size);
        same = memcmp(its, wanted, sizeof its) == 0;
    }
    return same;
}

void listener_prepare(const struct listener *listener, const struct options *options)
{
    if (is_local(listener))
        platform_forbid_rights(listener->descriptor);
    listener_set_options(listener->descriptor, is_local(listener), options);
}

int listener_accept(struct listener *listener, const struct options *options, struct peer *peer)
{
    socklen_t length = sizeof peer->name;

    memset(peer, 0, sizeof *peer); /* an upgrade passes on all of it (takeover.h) */
    peer->name.any.sa_family = AF_UNIX; /* stays so where a Unix client has no name at all */
    int descriptor = accept(listener->descriptor, &peer->name.any, &length);
    if (descriptor == -1)
        return -1;
    if (is_local(listener))
        peer->user = platform_peer_user(descriptor, NULL, NULL);
    if (!listener->inherits && !is_local(listener))
        listener->inherits = has_client_options(descriptor, listener->descriptor,
                                                options->command == NULL);
    if (!listener->inherits) {
        (void)fcntl(descriptor, F_SETFL, fcntl(descriptor, F_GETFL) & ~O_NONBLOCK);
        listener_set_options(descriptor, is_local(listener), options);
    }
    return descriptor;
}

/* Closes what a client can make slow to close. Where no process is to be had: a plain close. */
static void close_by_exit(int descriptor)
{
    pid_t self = getpid(), holder = platform_fork();

    if (holder == 0) { /* it has open what its parent had, until that ends it, or has ended */
        while (getppid() == self)
            sleep(1);
        _exit(0);
    }
    close(descriptor);
    if (holder == -1)
        return;
    (void)kill(holder, SIGKILL);
    while (waitpid(holder, NULL, 0) == -1 && errno == EINTR)
        continue;
}

void listener_refuse(int descriptor, const struct peer *peer)
{
    if (peer->name.any.sa_family == AF_UNIX && !platform_forbids_rights(descriptor))
        close_by_exit(descriptor);
    else
        close(descriptor);
}

/* Whether nobody listens on a Unix socket whose file is in the way. Sets errno to EADDRINUSE. */
static bool is_stale(const struct sockaddr_un *path)
{
    struct stat status;
    bool is_socket = lstat(path->sun_path, &status) == 0 && S_ISSOCK(status.st_mode);
    int probe = is_socket ? socket(AF_UNIX, SOCK_STREAM, 0) : -1;
    bool stale = false;

    if (probe != -1) {
        /* A live server whose backlog is full must not hold us: EAGAIN is an answer, too. */
        (void)fcntl(probe, F_SETFL, O_NONBLOCK);
        stale = connect(probe, (const struct sockaddr *)path, sizeof *path) == -1 &&
                errno == ECONNREFUSED;
        close(probe);
    }
    errno = EADDRINUSE;
    return stale;
}

static int bind_and_listen(struct listener *listener, int backlog)
{
    const struct address *address = &listener->address;
    const char *path = address->name.local.sun_path;
    struct stat status;
    int bound = bind(listener->descriptor, &address->name.any, address->length);

    if (bound == -1 && errno == EADDRINUSE && is_local(listener) &&
        is_stale(&address->name.local) && unlink(path) == 0)
        bound = bind(listener->descriptor, &address->name.any, address->length);
    if (bound == -1)
        return -1;
    if (is_local(listener) && lstat(path, &status) == 0) {
        listener->device = status.st_dev;
        listener->file = status.st_ino;
    }
    return listen(listener->descriptor, backlog);
}

/* Whether it is our turn at a path, which takes the lock on a file of this name. Where the file
 * that we have locked is gone, another server has just had its turn; where there can be no such
 * file (-1), or no lock, turns are not taken. */
static bool lock_path(const char *name, int *file)
{
    struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET};
    struct stat named, opened;

    *file = open(name, O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC, S_IRUSR | S_IWUSR);
    return *file == -1 ||
           ((fcntl(*file, F_SETLK, &lock) == 0 || (errno != EAGAIN && errno != EACCES)) &&
            lstat(name, &named) == 0 && fstat(*file, &opened) == 0 &&
            named.st_ino == opened.st_ino);
}

/* Between the look at who listens on a path and our own listen(2), no other server may have one:
 * it would take us, or we it, for one that has gone, and remove its file. */
static int bind_and_listen_alone(struct listener *listener, int backlog)
{
    char name[sizeof listener->address.name.local.sun_path + sizeof LOCK_SUFFIX];
    int file, result = -1, error = EADDRINUSE;

    snprintf(name, sizeof name, "%s" LOCK_SUFFIX, listener->address.name.local.sun_path);
    if (lock_path(name, &file)) {
        result = bind_and_listen(listener, backlog);
        error = errno;
        if (file != -1)
            (void)unlink(name);
    }
    if (file != -1)
        close(file);
    errno = error;
    return result;
}

static int set_up(struct listener *listener, const struct options *options)
{
    int descriptor = listener->descriptor, family = listener->address.name.any.sa_family, on = 1;
    int backlog = (int)options->backlog;
    socklen_t length = sizeof listener->address.name;

    /* SO_REUSEADDR: a new server may bind while old connections of this port are in TIME_WAIT, or
     * still served by the children of the one before. */
    if (fcntl(descriptor, F_SETFD, FD_CLOEXEC) == -1 ||
        fcntl(descriptor, F_SETFL, O_NONBLOCK) == -1 ||
        (family != AF_UNIX &&
         setsockopt(descriptor, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on) == -1) ||
        (family == AF_INET6 &&
         setsockopt(descriptor, IPPROTO_IPV6, IPV6_V6ONLY, &on, sizeof on) == -1))
        return -1;
    listener_prepare(listener, options);
    if ((family == AF_UNIX ? bind_and_listen_alone(listener, backlog)
                           : bind_and_listen(listener, backlog)) == -1)
        return -1;
    return getsockname(descriptor, &listener->address.name.any, &length);
}

/* Removes the file of a Unix socket, unless somebody has put another in its place. */
static void remove_file(const struct listener *listener)
{
    const char *path = listener->address.name.local.sun_path;
    struct stat status;

    if (lstat(path, &status) == -1 ? errno != ENOENT
                                   : status.st_dev == listener->device &&
                                         status.st_ino == listener->file && unlink(path) == -1)
        log_error("cannot remove %s (-l): %s; the next start replaces it", path, strerror(errno));
}

int listener_open(struct listener *listener, const struct address *address,
                  const struct options *options)
{
    *listener = (struct listener){.address = *address};
    listener->descriptor = socket(address->name.any.sa_family, SOCK_STREAM, 0);
    if (listener->descriptor == -1)
        return -1;
    if (set_up(listener, options) == 0)
        return 0;
    int error = errno;
    listener_close(listener);
    errno = error;
    return -1;
}

void listener_adopt(struct listener *listener, int descriptor, const struct options *options)
{
    *listener = (struct listener){.descriptor = descriptor,
                                  .address.length = sizeof listener->address.name};
    (void)getsockname(descriptor, &listener->address.name.any, &listener->address.length);
    listener_prepare(listener, options);
}

void listener_close(struct listener *listener)
{
    if (is_local(listener) && listener->file != 0)
        remove_file(listener);
    if (is_local(listener)) /* with it go the clients that wait */
        close_by_exit(listener->descriptor);
    else
        close(listener->descriptor);
}
