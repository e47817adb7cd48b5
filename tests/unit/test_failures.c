/* test_failures.c: what a server does about each errno (server/gate.h). */
#include "suite.h"

#include "server/gate.h"

static void expect(enum failure_action action, const int *errors, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        unsigned retries = 0;
        ck_assert_msg(failure_action(errors[i], &retries) == action, "%s", strerror(errors[i]));
    }
}

/* Catches a server that dies, or closes its gate, because one client vanished before accept. */
START_TEST(errors_of_one_connection_are_retried)
{
    static const int errors[] = {EINTR,      EAGAIN,      EWOULDBLOCK, ECONNABORTED, EPROTO,
                                 ECONNRESET, ENETDOWN,    ENOPROTOOPT, EHOSTUNREACH, ENETUNREACH,
                                 ETIMEDOUT,  EPERM,       EOPNOTSUPP,
#ifdef EHOSTDOWN
                                 EHOSTDOWN,
#endif
#ifdef ENONET
                                 ENONET,
#endif
    };

    expect(FAILURE_RETRY, errors, SUITE_LENGTH(errors));
}
END_TEST

/* Catches a spin, or the server's end, when descriptors or memory run out. */
START_TEST(errors_that_others_can_cure_are_waited_out)
{
    static const int errors[] = {EMFILE, ENFILE, ENOBUFS, ENOMEM};

    expect(FAILURE_PAUSE, errors, SUITE_LENGTH(errors));
}
END_TEST

/* Catches a server that waits for ever for a listener that is none. */
START_TEST(errors_that_cannot_pass_stop_the_server)
{
    static const int errors[] = {EBADF, EINVAL, ENOTSOCK, EFAULT};

    expect(FAILURE_STOP, errors, SUITE_LENGTH(errors));
}
END_TEST

/* Catches an unknown error that ends the server or makes it spin. */
START_TEST(an_unknown_error_is_waited_out)
{
    static const int errors[] = {0, -1, EIO, ENOSYS, EACCES, EDOM, ENOSPC, 99999};

    expect(FAILURE_PAUSE, errors, SUITE_LENGTH(errors));
}
END_TEST

/* Catches accepts that fail as fast as they are called, and a gate that one vanished client
 * closes, or that nobody waits. */
START_TEST(what_passes_is_waited_out_when_it_does_not)
{
    unsigned retries = 0;

    for (int i = 0; i < 1000; i++)
        ck_assert_int_eq(failure_action(i % 2 ? EAGAIN : EINTR, &retries), FAILURE_RETRY);
    for (int i = 0; i < 31; i++)
        ck_assert_int_eq(failure_action(ECONNABORTED, &retries), FAILURE_RETRY);
    ck_assert_int_eq(failure_action(ECONNABORTED, &retries), FAILURE_PAUSE);
    ck_assert_int_eq(failure_action(ECONNABORTED, &retries), FAILURE_RETRY); /* counted anew */
}
END_TEST

SUITE("failures", errors_of_one_connection_are_retried, errors_that_others_can_cure_are_waited_out,
      errors_that_cannot_pass_stop_the_server, an_unknown_error_is_waited_out,
      what_passes_is_waited_out_when_it_does_not)
