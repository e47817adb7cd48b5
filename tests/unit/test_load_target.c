/* test_load_target.c: the server under load, and how it is found (load/target.h). */
#include "suite.h"

#include "load/target.h"

#include <netinet/tcp.h>
#include <poll.h>

#define SECONDS 20.0 /* to find a server; only a failed test waits so long */

static struct target target;
static char text[ADDRESS_TEXT_MAX];
static const char *problem;

/* A socket bound to a free port of loopback. Returns it, and how the port is written. */
static int bound(char *host_and_port, size_t size)
{
    struct sockaddr_in name = {.sin_family = AF_INET};
    socklen_t length = sizeof name;
    int holder = socket(AF_INET, SOCK_STREAM, 0);

    name.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    ck_assert_int_eq(bind(holder, (struct sockaddr *)&name, sizeof name), 0);
    ck_assert_int_eq(getsockname(holder, (struct sockaddr *)&name, &length), 0);
    snprintf(host_and_port, size, "127.0.0.1:%u", (unsigned)ntohs(name.sin_port));
    return holder;
}

static int find(const char *where, double seconds)
{
    struct endpoint endpoint;

    ck_assert_ptr_null(address_split(where, &endpoint));
    problem = NULL;
    strcpy(text, "untouched");
    return target_find(&target, &endpoint, seconds, text, &problem);
}

/* Finds a listener of its own. Returns that. */
static int found(void)
{
    char where[64];
    int listener = bound(where, sizeof where);

    ck_assert_int_eq(listen(listener, 64), 0);
    ck_assert_int_eq(find(where, SECONDS), 0);
    return listener;
}

/* Connects once more, and returns the server's end. */
static int served(int listener, int *descriptor)
{
    struct pollfd wait = {.events = POLLOUT};
    int server;

    *descriptor = target_connect(&target);
    ck_assert_int_ge(*descriptor, 0);
    wait.fd = *descriptor;
    ck_assert_int_eq(poll(&wait, 1, -1), 1);
    server = accept(listener, NULL, NULL);
    ck_assert_int_ge(server, 0);
    return server;
}

/* Catches the connection of the search that is wasted, given out twice, or never closed. */
START_TEST(the_connection_that_found_it_is_the_first)
{
    int listener = found(), first = target.connected, descriptor;

    ck_assert_int_ge(first, 0);
    ck_assert_int_eq(target_connect(&target), first);
    ck_assert_int_eq(target.connected, -1);
    ck_assert_int_ge(accept(listener, NULL, NULL), 0);
    served(listener, &descriptor);
    ck_assert_int_ne(descriptor, first);
    set_nonblocking(listener);
    ck_assert_int_eq(accept(listener, NULL, NULL), -1); /* two, and no more */
}
END_TEST

/* Catches a socket that blocks the whole loop, or that a program inherits. */
START_TEST(no_socket_blocks_or_is_inherited)
{
    int listener = found();

    for (int i = 0; i < 3; i++) {
        int descriptor;
        served(listener, &descriptor);
        ck_assert_int_ne(fcntl(descriptor, F_GETFL) & O_NONBLOCK, 0);
        ck_assert_int_ne(fcntl(descriptor, F_GETFD) & FD_CLOEXEC, 0);
    }
}
END_TEST

#ifdef __linux__ /* elsewhere 127/8 may be one address */
#define SOURCES 254U

/* Catches connections that share a source before all have had their turn, and sources outside of
 * this process's own network: the ports of one address last for seconds. */
START_TEST(connections_to_loopback_come_from_different_sources)
{
    int listener = found();
    bool seen[256] = {false};

    ck_assert(target.spread);
    for (unsigned i = 0; i < 2 * SOURCES; i++) {
        struct sockaddr_in source;
        socklen_t length = sizeof source;
        uint32_t address;
        int descriptor, server = served(listener, &descriptor);
        ck_assert_int_eq(getpeername(server, (struct sockaddr *)&source, &length), 0);
        address = ntohl(source.sin_addr.s_addr);
        ck_assert_uint_eq(address & 0xffffff00U, target.neighbourhood);
        ck_assert_uint_ne(address & 0xff, 0);
        ck_assert_uint_ne(address & 0xff, 255);
        if (i == SOURCES)
            memset(seen, 0, sizeof seen);
        ck_assert_msg(!seen[address & 0xff], "source %u again", (unsigned)address & 0xff);
        seen[address & 0xff] = true;
        close(descriptor);
        close(server);
    }
}
END_TEST
#endif

/* Catches a neighbourhood that holds names of the machine itself, or a broadcast. */
START_TEST(the_neighbourhood_is_no_special_one)
{
    found();
    ck_assert_uint_eq(target.neighbourhood >> 24, 127);
    ck_assert_uint_eq(target.neighbourhood & 0xff, 0);
    for (int shift = 8; shift <= 16; shift += 8) {
        ck_assert_uint_ne(target.neighbourhood >> shift & 0xff, 0);
        ck_assert_uint_ne(target.neighbourhood >> shift & 0xff, 255);
    }
}
END_TEST

static int delays(int descriptor)
{
    int value = -1;
    socklen_t length = sizeof value;

    ck_assert_int_eq(getsockopt(descriptor, IPPROTO_TCP, TCP_NODELAY, &value, &length), 0);
    return value == 0;
}

/* Catches small segments that wait although they were not to, and the other way round. */
START_TEST(segments_wait_unless_told_not_to)
{
    int listener, descriptor;

    listener = found();
    served(listener, &descriptor);
    ck_assert_int_eq(delays(descriptor), 1);
    target.no_delay = true;
    listener = found(); /* asked for before the search, the first connection has it too */
    for (int i = 0; i < 2; i++) {
        served(listener, &descriptor);
        ck_assert_int_eq(delays(descriptor), 0);
    }
}
END_TEST

/* Catches a refusal that counts as found, whose address is not told, or whose socket is kept. */
START_TEST(a_refusal_is_told_with_its_address)
{
    char where[64];
    int before;

    bound(where, sizeof where); /* it holds the port, and does not listen */
    before = open_descriptors();
    ck_assert_int_eq(find(where, SECONDS), -1);
    ck_assert_str_eq(text, where);
    ck_assert_str_eq(problem, strerror(ECONNREFUSED));
    ck_assert_int_eq(target.connected, -1);
    ck_assert_int_eq(open_descriptors(), before);
}
END_TEST

/* Catches a Unix socket that is treated as one of TCP, and one that is not there. */
START_TEST(a_unix_socket_is_found_or_named)
{
    struct sockaddr_un name = {.sun_family = AF_UNIX};
    int listener = socket(AF_UNIX, SOCK_STREAM, 0), status, descriptor;

    snprintf(name.sun_path, sizeof name.sun_path, "/tmp/test_load_target.%ld", (long)getpid());
    ck_assert_int_eq(find(name.sun_path, SECONDS), -1);
    ck_assert_str_eq(text, name.sun_path);
    ck_assert_str_eq(problem, strerror(ENOENT));

    ck_assert_int_eq(bind(listener, (struct sockaddr *)&name, sizeof name), 0);
    ck_assert_int_eq(listen(listener, 8), 0);
    target.no_delay = true;
    status = find(name.sun_path, SECONDS);
    descriptor = target_connect(&target);
    unlink(name.sun_path);
    ck_assert_int_eq(status, 0);
    ck_assert(!target.spread);
    ck_assert_int_ge(accept(listener, NULL, NULL), 0);
    ck_assert_int_eq(write(descriptor, "x", 1), 1);
}
END_TEST

/* Catches what passes by itself and is given up, and a refusal that is waited for. */
START_TEST(only_what_passes_is_waited_for)
{
    ck_assert(target_must_wait(EADDRNOTAVAIL));
    ck_assert(target_must_wait(EADDRINUSE));
    ck_assert(target_must_wait(EAGAIN));
    ck_assert(!target_must_wait(ECONNREFUSED));
    ck_assert(!target_must_wait(EMFILE));
    ck_assert(!target_must_wait(ENOENT));
    ck_assert(!target_must_wait(ETIMEDOUT));
}
END_TEST

#ifdef __linux__
#define ONLY_HERE connections_to_loopback_come_from_different_sources,
#else
#define ONLY_HERE
#endif

SUITE("load_target", ONLY_HERE the_connection_that_found_it_is_the_first,
      no_socket_blocks_or_is_inherited, the_neighbourhood_is_no_special_one,
      segments_wait_unless_told_not_to, a_refusal_is_told_with_its_address,
      a_unix_socket_is_found_or_named, only_what_passes_is_waited_for)
