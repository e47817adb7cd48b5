/* test_connecting.c: how a connection that is under way turns out (connecting.h). */
#include "suite.h"

#include "base/connecting.h"

#include <poll.h>

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

/* Connects without blocking, and waits until it is over. */
static int connect_and_wait(const struct sockaddr_in *name)
{
    int descriptor = socket(AF_INET, SOCK_STREAM, 0);
    struct pollfd wait = {.fd = descriptor, .events = POLLOUT};

    set_nonblocking(descriptor);
    if (connect(descriptor, (const struct sockaddr *)name, sizeof *name) == -1)
        ck_assert_int_eq(errno, EINPROGRESS);
    ck_assert_int_eq(poll(&wait, 1, -1), 1);
    return descriptor;
}

/* Catches a connection that stands and is taken for failed. */
START_TEST(a_connection_that_stands_has_no_error)
{
    struct sockaddr_in name;
    int listener = open_listener(&name), descriptor;

    ck_assert_int_eq(listen(listener, 1), 0);
    descriptor = connect_and_wait(&name);
    ck_assert_int_eq(connecting_result(descriptor, 1), 0);
    ck_assert_int_eq(connecting_error(descriptor), 0);
}
END_TEST

/* Catches readiness that is taken for a connection: one that was refused is writable, too. */
START_TEST(a_refusal_is_its_error)
{
    struct sockaddr_in name;
    int descriptor;

    open_listener(&name); /* it holds the port, and does not listen */
    descriptor = connect_and_wait(&name);
    errno = 0;
    ck_assert_int_eq(connecting_result(descriptor, 1), -1);
    ck_assert_int_eq(errno, ECONNREFUSED);
    ck_assert_int_eq(connecting_error(descriptor), 0); /* it is told once */
}
END_TEST

/* Catches a wait without an event that counts as a connection. */
START_TEST(nothing_in_time_is_a_timeout)
{
    errno = 0;
    ck_assert_int_eq(connecting_result(-1, 0), -1);
    ck_assert_int_eq(errno, ETIMEDOUT);
}
END_TEST

/* Catches an interrupted wait whose errno is lost. */
START_TEST(a_failed_wait_keeps_its_errno)
{
    errno = EINTR;
    ck_assert_int_eq(connecting_result(-1, -1), -1);
    ck_assert_int_eq(errno, EINTR);
    ck_assert_int_eq(connecting_error(-1), EBADF);
}
END_TEST

SUITE("connecting", a_connection_that_stands_has_no_error, a_refusal_is_its_error,
      nothing_in_time_is_a_timeout, a_failed_wait_keeps_its_errno)
