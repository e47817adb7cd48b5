/* test_nonblocking.c: a session in an event-driven server (nonblocking.h). The times are the
 * caller's to say, so nothing here waits. */
#include "suite.h"

#include "parts/nonblocking.h"

#include <signal.h>

static struct service service;
static struct nonblocking *nonblocking;
static int ours, theirs;

/* Opens one of a client at the time 1000. */
static void open_session_of(const char *address)
{
    struct client client = {.peer = peer_at(address, 99)};
    int ends[2];

    signal(SIGPIPE, SIG_IGN);
    ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM, 0, ends), 0);
    ours = ends[0];
    theirs = ends[1];
    client.descriptor = ours;
    nonblocking = nonblocking_open(&service, &client, 1000);
    ck_assert_ptr_nonnull(nonblocking);
}

static void open_session(void)
{
    open_session_of("local");
}

static enum session_ending ending(void)
{
    enum session_ending how = nonblocking->session.ending;

    ck_assert_int_eq(nonblocking->session.wants, SESSION_DONE);
    nonblocking_close(nonblocking);
    return how;
}

static void send_byte(void)
{
    ck_assert_int_eq(write(theirs, "x", 1), 1);
}

/* Takes the two steps that echo a byte. */
static void echo_byte(double now)
{
    char byte = 0;

    send_byte();
    ck_assert(nonblocking_step(nonblocking, true, now));
    ck_assert(nonblocking_step(nonblocking, true, now));
    ck_assert_int_eq(read(theirs, &byte, 1), 1);
    ck_assert_int_eq(byte, 'x');
}

/* Catches a server of many that one client can block. */
START_TEST(the_descriptor_is_made_nonblocking)
{
    open_session();
    ck_assert_int_ne(fcntl(ours, F_GETFL) & O_NONBLOCK, 0);
    ck_assert(nonblocking_step(nonblocking, true, 1000)); /* ready in word only */
    nonblocking_close(nonblocking);
}
END_TEST

/* Catches a step that is taken although the descriptor was not ready. */
START_TEST(nothing_moves_unless_it_is_ready)
{
    open_session();
    send_byte();
    ck_assert(nonblocking_step(nonblocking, false, 1001));
    ck_assert_uint_eq(nonblocking->session.in, 0);
    ck_assert(nonblocking_step(nonblocking, true, 1001));
    ck_assert_uint_eq(nonblocking->session.in, 1);
    nonblocking_close(nonblocking);
}
END_TEST

/* Catches an orderly end that is not told to the loop. */
START_TEST(an_eof_ends_it)
{
    open_session();
    echo_byte(1001);
    ck_assert_int_eq(shutdown(theirs, SHUT_WR), 0);
    ck_assert(!nonblocking_step(nonblocking, true, 1002));
    ck_assert_int_eq(ending(), SESSION_EOF);
}
END_TEST

/* Catches a wakeup that is asked for although nothing limits the session: the loop would spin. */
START_TEST(without_limits_it_is_never_due)
{
    open_session();
    ck_assert(nonblocking_due(nonblocking) <= 0);
    ck_assert(nonblocking_step(nonblocking, false, 1e9));
    nonblocking_close(nonblocking);
}
END_TEST

/* Catches an idle limit that ends too early or is not postponed by a byte. */
START_TEST(idle_counts_from_the_last_byte)
{
    service.idle = 10;
    open_session();
    ck_assert_double_eq(nonblocking_due(nonblocking), 1010);
    ck_assert(nonblocking_step(nonblocking, false, 1009));
    echo_byte(1009);
    ck_assert_double_eq(nonblocking_due(nonblocking), 1019);
    ck_assert(nonblocking_step(nonblocking, false, 1018));
    ck_assert(!nonblocking_step(nonblocking, false, 1019));
    ck_assert_int_eq(ending(), SESSION_IDLE);
}
END_TEST

/* Catches a readiness without a byte that counts as life. */
START_TEST(a_false_readiness_does_not_postpone_the_idle_limit)
{
    service.idle = 10;
    open_session();
    ck_assert(nonblocking_step(nonblocking, true, 1009));
    ck_assert_double_eq(nonblocking_due(nonblocking), 1010);
    ck_assert(!nonblocking_step(nonblocking, false, 1010));
    ck_assert_int_eq(ending(), SESSION_IDLE);
}
END_TEST

/* Catches a client that never reads and is taken for busy. */
START_TEST(a_client_that_never_reads_ends_as_idle)
{
    static char bytes[1 << 16];

    service.idle = 10;
    open_session();
    set_nonblocking(theirs);
    while (write(theirs, bytes, sizeof bytes) > 0 || nonblocking->session.wants == SESSION_READ)
        ck_assert(nonblocking_step(nonblocking, true, 1001));
    ck_assert(nonblocking_step(nonblocking, true, 1002)); /* may still move some bytes */
    ck_assert(nonblocking_step(nonblocking, true, 1003)); /* moves none */
    ck_assert_double_lt(nonblocking_due(nonblocking), 1013);
    ck_assert_int_eq(nonblocking->session.wants, SESSION_WRITE);
    ck_assert(!nonblocking_step(nonblocking, false, nonblocking_due(nonblocking)));
    ck_assert_int_eq(ending(), SESSION_IDLE);
}
END_TEST

/* Catches a lifetime that a byte prolongs, and a ready descriptor that is served beyond it. */
START_TEST(the_lifetime_ends_a_busy_session)
{
    service.lifetime = 5;
    open_session();
    ck_assert_double_eq(nonblocking_due(nonblocking), 1005);
    echo_byte(1004);
    ck_assert_double_eq(nonblocking_due(nonblocking), 1005);
    send_byte();
    ck_assert(!nonblocking_step(nonblocking, true, 1005));
    ck_assert_int_eq(ending(), SESSION_LIFETIME);
}
END_TEST

/* Catches the later of two limits asked for instead of the earlier. */
START_TEST(it_is_due_at_its_earliest_limit)
{
    service.lifetime = 15;
    service.idle = 10;
    open_session();
    ck_assert_double_eq(nonblocking_due(nonblocking), 1010);
    echo_byte(1008);
    ck_assert_double_eq(nonblocking_due(nonblocking), 1015);
    ck_assert(!nonblocking_step(nonblocking, false, 1015));
    ck_assert_int_eq(ending(), SESSION_LIFETIME);
}
END_TEST

/* Catches a read during the delay, an idle limit that ends it, or idleness counted from before. */
START_TEST(the_delay_is_neither_read_in_nor_idle)
{
    service.answers.delay = 100;
    service.idle = 10;
    open_session();
    ck_assert_double_eq(nonblocking_due(nonblocking), 1100);
    send_byte();
    ck_assert(nonblocking_step(nonblocking, true, 1050));
    ck_assert_uint_eq(nonblocking->session.in, 0);
    ck_assert(nonblocking_step(nonblocking, false, 1100));
    ck_assert_int_eq(nonblocking->session.wants, SESSION_READ);
    ck_assert_double_eq(nonblocking_due(nonblocking), 1110);
    ck_assert(nonblocking_step(nonblocking, true, 1101));
    ck_assert_uint_eq(nonblocking->session.in, 1);
    nonblocking_close(nonblocking);
}
END_TEST

/* Catches a delay that outlasts the lifetime. */
START_TEST(a_delay_ends_with_the_lifetime)
{
    service.answers.delay = 100;
    service.lifetime = 5;
    open_session();
    ck_assert_double_eq(nonblocking_due(nonblocking), 1005);
    ck_assert(nonblocking_step(nonblocking, false, 1004));
    ck_assert(!nonblocking_step(nonblocking, false, 1005));
    ck_assert_int_eq(ending(), SESSION_LIFETIME);
}
END_TEST

/* Catches a descriptor that stays open, and a close that resets what was still to be read. */
START_TEST(closing_frees_the_descriptor_and_keeps_the_tail)
{
    char byte;

    service.idle = 10;
    open_session();
    send_byte();
    ck_assert(nonblocking_step(nonblocking, true, 1000));
    ck_assert(nonblocking_step(nonblocking, true, 1000));
    send_byte(); /* unread at the end */
    ck_assert(!nonblocking_step(nonblocking, false, 1010));
    ck_assert_int_eq(ending(), SESSION_IDLE);
    ck_assert_int_eq(fcntl(ours, F_GETFD), -1);
    ck_assert_int_eq(read(theirs, &byte, 1), 1);
    ck_assert_msg(read(theirs, &byte, 1) == 0, "%s", strerror(errno));
}
END_TEST

/* Opens one of a proxy. */
static void open_proxied(void)
{
    struct block block;
    char problem[BLOCK_PROBLEM_MAX];

    ck_assert_int_eq(block_parse("192.0.2.9", &block, problem), 0);
    ck_assert_int_eq(access_add(&service.proxies, ACCESS_ALLOW, &block), 0);
    open_session_of("192.0.2.9");
}

/* Sends a part of a PROXY header and takes a step. */
static void send_header(const char *text, double now)
{
    ck_assert_int_eq(write(theirs, text, strlen(text)), (ssize_t)strlen(text));
    ck_assert(nonblocking_step(nonblocking, true, now));
}

/* Catches a header that each byte of it gives more time, and one that ends as mere idleness. */
START_TEST(a_header_has_one_time_for_all_of_it)
{
    service.idle = 10;
    open_proxied();
    ck_assert_double_eq(nonblocking_due(nonblocking), 1010);
    send_header("PROXY", 1009);
    ck_assert_double_eq(nonblocking_due(nonblocking), 1010);
    ck_assert(!nonblocking_step(nonblocking, false, 1010));
    ck_assert_int_eq(nonblocking->session.header.problem, PROXY_LATE);
    ck_assert_int_eq(ending(), SESSION_PROXY);
}
END_TEST

/* Catches a header that is waited for without end where there is no idle limit. */
START_TEST(a_header_has_a_time_without_an_idle_limit_too)
{
    open_proxied();
    ck_assert_double_eq(nonblocking_due(nonblocking), 1000 + HEADER_TIME);
    ck_assert(!nonblocking_step(nonblocking, false, 1000 + HEADER_TIME));
    ck_assert_int_eq(ending(), SESSION_IDLE);
}
END_TEST

/* Catches a pause or an idle limit that the header's time is taken from, and the header's time
 * that goes on to limit the session. */
START_TEST(after_the_header_the_other_limits_begin)
{
    service.idle = 10;
    service.answers.delay = 100;
    open_proxied();
    send_header("PROXY UNKN", 1004);
    send_header("OWN\r\n", 1005);
    ck_assert_int_eq(nonblocking->session.wants, SESSION_PAUSE);
    ck_assert_double_eq(nonblocking_due(nonblocking), 1105);
    ck_assert(nonblocking_step(nonblocking, false, 1105));
    ck_assert_double_eq(nonblocking_due(nonblocking), 1115);
    ck_assert(!nonblocking_step(nonblocking, false, 1115));
    ck_assert_int_eq(ending(), SESSION_IDLE);
}
END_TEST

SUITE("nonblocking", the_descriptor_is_made_nonblocking, nothing_moves_unless_it_is_ready,
      an_eof_ends_it, without_limits_it_is_never_due, idle_counts_from_the_last_byte,
      a_false_readiness_does_not_postpone_the_idle_limit, a_client_that_never_reads_ends_as_idle,
      the_lifetime_ends_a_busy_session, it_is_due_at_its_earliest_limit,
      the_delay_is_neither_read_in_nor_idle, a_delay_ends_with_the_lifetime,
      closing_frees_the_descriptor_and_keeps_the_tail, a_header_has_one_time_for_all_of_it,
      a_header_has_a_time_without_an_idle_limit_too, after_the_header_the_other_limits_begin)
