/* test_connecting.c: how a connection that is under way turns out (connecting.h). */
#include "suite.h"

#include "base/connecting.h"

#include <sys/resource.h>

/* A listener on loopback; `name` becomes where it is. */
static int open_listener(struct sockaddr_in *name)
{
    socklen_t length = sizeof *name;
    int listener = socket(AF_INET, SOCK_STREAM, 0);

    *name = (struct sockaddr_in){.sin_family = AF_INET};
    name->sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    ck_assert_int_eq(bind(listener, (struct sockaddr *)name, sizeof *name), 0);
    ck_assert_int_eq(getsockname(listener, (struct sockaddr *)name, &length), 0);
    return listener;
}

/* A socket that connects there, without blocking. */
static int connect_to(const struct sockaddr_in *name)
{
    int descriptor = socket(AF_INET, SOCK_STREAM, 0);

    set_nonblocking(descriptor);
    if (connect(descriptor, (const struct sockaddr *)name, sizeof *name) == -1)
        ck_assert_int_eq(errno, EINPROGRESS);
    return descriptor;
}

/* Catches a connection that stands and is taken for failed. */
START_TEST(a_connection_that_stands_has_no_error)
{
    struct sockaddr_in name;
    int listener = open_listener(&name), descriptor;

    ck_assert_int_eq(listen(listener, 1), 0);
    descriptor = connect_to(&name);
    ck_assert_int_eq(connecting_wait(descriptor, -1), 0);
    ck_assert_int_eq(connecting_error(descriptor), 0);
}
END_TEST

/* Catches readiness that is taken for a connection: one that was refused is writable, too. */
START_TEST(a_refusal_is_its_error)
{
    struct sockaddr_in name;
    int descriptor;

    open_listener(&name); /* it holds the port, and does not listen */
    descriptor = connect_to(&name);
    ck_assert_int_eq(connecting_wait(descriptor, SUITE_TIMEOUT), -1);
    ck_assert_int_eq(errno, ECONNREFUSED);
    ck_assert_int_eq(connecting_error(descriptor), 0); /* the socket has forgotten it */
}
END_TEST

/* Catches a wait without an event that counts as a connection. */
START_TEST(nothing_in_time_is_a_timeout)
{
    char bytes[4096] = "";
    int ends[2];

    ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM, 0, ends), 0);
    set_nonblocking(ends[0]);
    while (write(ends[0], bytes, sizeof bytes) > 0)
        ; /* until it is not ready for writing, as a socket that still connects */
    ck_assert_int_eq(connecting_wait(ends[0], 0.01), -1);
    ck_assert_int_eq(errno, ETIMEDOUT);
}
END_TEST

/* Catches a wait that fails and counts as a connection, or whose errno is lost. */
START_TEST(a_failed_wait_keeps_its_errno)
{
    struct rlimit before, none;

    ck_assert_int_eq(connecting_error(-1), EBADF);
    ck_assert_int_eq(getrlimit(RLIMIT_NOFILE, &before), 0);
    none = before;
    none.rlim_cur = 0; /* then poll may look at no descriptor (POSIX.1-2008, poll: EINVAL) */
    ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &none), 0);
    ck_assert_int_eq(connecting_wait(STDIN_FILENO, 0), -1);
    ck_assert_int_eq(errno, EINVAL);
    ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &before), 0);
}
END_TEST

/* Catches one that stays open, and an error of closing in the place of the one that matters. */
START_TEST(what_failed_is_closed_and_says_why)
{
    int descriptor = dup(STDIN_FILENO);

    errno = ENOSPC;
    ck_assert_int_eq(connecting_failed(descriptor), -1);
    ck_assert_int_eq(errno, ENOSPC);
    ck_assert_int_eq(connecting_failed(descriptor), -1); /* EBADF does not show */
    ck_assert_int_eq(errno, ENOSPC);
    ck_assert_int_eq(fcntl(descriptor, F_GETFD), -1);
}
END_TEST

SUITE("connecting", a_connection_that_stands_has_no_error, a_refusal_is_its_error,
      nothing_in_time_is_a_timeout, a_failed_wait_keeps_its_errno,
      what_failed_is_closed_and_says_why)
