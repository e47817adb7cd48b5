/* load/target.c: see load/target.h. */
#define _DEFAULT_SOURCE /* glibc shows IP_BIND_ADDRESS_NO_PORT, which is Linux's, only then */
#include "load/target.h"

#include "base/clock.h"
#include "base/connecting.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <string.h>
#include <unistd.h>

/* A name with more addresses than this is not a server under test. */
#define CANDIDATES_MAX 8

/* How long to wait between two tries to connect, in seconds. */
#define RETRY_SECONDS 0.01

/* From 127.x.y.1 to 127.x.y.254. They have seven million ports, enough for 100,000 connections a
 * second, and are so few that the kernel keeps them in its caches. */
#define SOURCES 254U

/* x and y come from the process id, so that no two processes share addresses. Neither is 0 or 255:
 * 127.0/16 has the addresses of the machine itself (127.0.0.1, 127.0.1.1, the resolver at
 * 127.0.0.53), and 255 may be taken for a broadcast. */
static uint32_t choose_neighbourhood(pid_t process)
{
    uint32_t number = (uint32_t)process;

    return 127U << 24 | (1 + number / 254 % 254) << 16 | (1 + number % 254) << 8;
}

static bool is_loopback_v4(const struct address *address)
{
    return address->name.any.sa_family == AF_INET &&
           ntohl(address->name.v4.sin_addr.s_addr) >> 24 == 127;
}

static int open_socket(int family)
{
#if defined SOCK_NONBLOCK && defined SOCK_CLOEXEC /* POSIX.1-2024: three calls in one */
    return socket(family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
#else
    int descriptor = socket(family, SOCK_STREAM, 0);
    if (descriptor != -1) {
        fcntl(descriptor, F_SETFL, O_NONBLOCK);
        fcntl(descriptor, F_SETFD, FD_CLOEXEC);
    }
    return descriptor;
#endif
}

/* Binds to the next address. Where the system has only 127.0.0.1, spreading ends here. */
static void bind_source(struct target *target, int descriptor)
{
    struct sockaddr_in source = {.sin_family = AF_INET};

#ifdef IP_BIND_ADDRESS_NO_PORT
    /* Let connect choose the port: then it need only differ for the same pair of addresses. */
    int on = 1;
    setsockopt(descriptor, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &on, sizeof on);
#endif
    source.sin_addr.s_addr = htonl(target->neighbourhood + 1 + target->turn++ % SOURCES);
    if (bind(descriptor, (const struct sockaddr *)&source, sizeof source) == -1)
        target->spread = false;
}

static int start_connect(struct target *target)
{
    int on = 1;
    int descriptor = open_socket(target->address.name.any.sa_family);

    if (descriptor == -1)
        return -1;
    if (target->spread)
        bind_source(target, descriptor);
    if (target->no_delay && target->address.name.any.sa_family != AF_UNIX)
        setsockopt(descriptor, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    if (connect(descriptor, &target->address.name.any, target->address.length) == -1 &&
        errno != EINPROGRESS && errno != EINTR)
        return connecting_failed(descriptor);
    return descriptor;
}

void target_move(struct target *target)
{
    target->neighbourhood = choose_neighbourhood(getpid());
    target->turn = 0;
}

int target_connect(struct target *target)
{
    int descriptor = target->connected;

    if (descriptor == -1)
        return start_connect(target);
    target->connected = -1;
    return descriptor;
}

bool target_must_wait(int error)
{
    return error == EADDRNOTAVAIL || error == EADDRINUSE || error == EAGAIN;
}

/* Connects to one candidate. Returns 0 with `connected` set, or -1 with errno. */
static int try_candidate(struct target *target, double seconds)
{
    double until = clock_seconds() + seconds, left = seconds;

    while ((target->connected = start_connect(target)) == -1) {
        left = until - clock_seconds();
        if (!target_must_wait(errno) || left <= 0)
            return -1;
        clock_sleep(RETRY_SECONDS);
    }
    if (connecting_wait(target->connected, left) == 0)
        return 0;
    target->connected = connecting_failed(target->connected);
    return -1;
}

/* `localhost` may name ::1 first, which has one address only; 127/8 has plenty. */
static void prefer_loopback_v4(struct address *candidates, int count)
{
    for (int i = 1; i < count; i++)
        if (is_loopback_v4(&candidates[i])) {
            struct address preferred = candidates[i];
            memmove(candidates + 1, candidates, (size_t)i * sizeof *candidates);
            candidates[0] = preferred;
            return;
        }
}

int target_find(struct target *target, const struct endpoint *endpoint, double seconds,
                char *text, const char **problem)
{
    struct address candidates[CANDIDATES_MAX];
    int count = address_resolve(endpoint, false, candidates, CANDIDATES_MAX, problem);

    text[0] = '\0';
    if (count == -1)
        return -1;
    prefer_loopback_v4(candidates, count);
    target_move(target);
    for (int i = 0; i < count; i++) {
        target->address = candidates[i];
        target->spread = is_loopback_v4(&candidates[i]);
        if (try_candidate(target, seconds) == 0)
            return 0;
        *problem = strerror(errno);
        address_text(&target->address.name.any, text);
    }
    return -1;
}
