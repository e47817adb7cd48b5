/* test_header.c: the PROXY header that comes before a session's first message (session.h). */
#include "one_session.h"

#include "base/clock.h"

#define PROXY_ADDRESS "192.0.2.9" /* whose headers are believed, in the tests below */
#define SIGNATURE "\r\n\r\n\0\r\nQUIT\n"

static const struct {
    const char *bytes;
    size_t size;
    const char *client; /* whom the session then serves */
} headers[] = {
#define HEADER(text, client) {text, sizeof(text) - 1, client}
    HEADER("PROXY TCP4 198.51.100.7 192.0.2.1 4242 7\r\n", "198.51.100.7:4242"),
    HEADER("PROXY TCP6 2001:db8::1 2001:db8::2 4242 7\r\n", "[2001:db8::1]:4242"),
    HEADER("PROXY TCP6 ::ffff:198.51.100.7 ::ffff:192.0.2.1 4242 7\r\n", "198.51.100.7:4242"),
    HEADER("PROXY UNKNOWN\r\n", PROXY_ADDRESS ":99"),
    HEADER(SIGNATURE "\x21\x11\0\x0c\xc6\x33\x64\x07\xc0\0\x02\x01\x10\x92\0\x07",
           "198.51.100.7:4242"),
    HEADER(SIGNATURE "\x21\x11\0\x13\xc6\x33\x64\x07\xc0\0\x02\x01\x10\x92\0\x07"
                     "\x04\0\x04\r\nhi", "198.51.100.7:4242"), /* and a TLV */
    HEADER(SIGNATURE "\x21\x00\0\x00", PROXY_ADDRESS ":99"),
    HEADER(SIGNATURE "\x20\x00\0\x03" "abc", PROXY_ADDRESS ":99"),
};

/* Opens a session of the proxy. */
static void open_proxied(void)
{
    static struct block block;
    char problem[BLOCK_PROBLEM_MAX];

    if (service.proxies.count == 0) {
        ck_assert_int_eq(block_parse("192.0.2.8/30", &block, problem), 0);
        ck_assert_int_eq(access_add(&service.proxies, ACCESS_ALLOW, &block), 0);
    }
    open_session_of(PROXY_ADDRESS);
    ck_assert(session.header.due && session.wants == SESSION_READ);
    set_nonblocking(ours);
}

static void send_bytes(const char *bytes, size_t size)
{
    ck_assert_int_eq(write(theirs, bytes, size), (ssize_t)size);
}

static void expect_silence(void)
{
    char byte;

    ck_assert_int_eq(recv(theirs, &byte, 1, MSG_DONTWAIT), -1);
    ck_assert_int_eq(errno, EAGAIN);
}

static void expect_client(const char *client)
{
    char text[ADDRESS_TEXT_MAX];

    ck_assert_str_eq(peer_text(&session.peer, text), client);
    ck_assert(session.header.named == (strcmp(client, PROXY_ADDRESS ":99") != 0));
}

/* Takes steps for as long as something moves. */
static void step_all(void)
{
    while (session_step(&session))
        ;
}

static void close_proxied(void)
{
    close_session();
    close(theirs);
}

/* Catches a header that is misread because it came in two pieces, bytes of it that are echoed or
 * counted, and bytes behind it that are lost. */
START_TEST(a_header_may_be_cut_anywhere_and_be_followed_by_data)
{
    for (size_t i = 0; i < SUITE_LENGTH(headers); i++)
        for (size_t cut = 0; cut <= headers[i].size; cut++) {
            open_proxied();
            send_bytes(headers[i].bytes, cut);
            step_all();
            ck_assert(session.wants == SESSION_READ);
            ck_assert(session.header.due == (cut < headers[i].size));
            expect_silence();
            send_bytes(headers[i].bytes + cut, headers[i].size - cut);
            send_text("hello");
            step_all();
            ck_assert(!session.header.due);
            expect_client(headers[i].client);
            expect_text("hello");
            expect_silence();
            ck_assert(session.in == 5 && session.out == 5);
            close_proxied();
        }
}
END_TEST

/* Catches a header that has to come in few pieces, and one that swallows a byte of the client's. */
START_TEST(a_header_may_come_byte_by_byte)
{
    for (size_t i = 0; i < SUITE_LENGTH(headers); i++) {
        open_proxied();
        for (size_t at = 0; at < headers[i].size; at++) {
            ck_assert(session.header.due);
            send_bytes(headers[i].bytes + at, 1);
            step_all();
        }
        ck_assert(!session.header.due && session.in == 0);
        expect_client(headers[i].client);
        close_proxied();
    }
}
END_TEST

/* Catches a greeting before the header, or for the proxy; a reply to the header; a pause that is
 * over before the header; and a message size that what came with the header overruns. */
START_TEST(greeting_and_replies_come_after_the_header_and_name_the_client)
{
    service.answers.greeting = compiled("hi %a\\n", false);
    service.answers.reply = compiled("<%a %m>", true);
    service.answers.message_size = 4;
    service.answers.delay = 3600;
    open_proxied();
    expect_silence();
    send_bytes(headers[0].bytes, headers[0].size);
    send_text("abcdef");
    ck_assert(session_step(&session));
    ck_assert_int_eq(session.wants, SESSION_WRITE);
    ck_assert(session_step(&session));
    expect_text("hi 198.51.100.7:4242\n");
    ck_assert_int_eq(session.wants, SESSION_PAUSE);
    step_all();
    expect_text("<198.51.100.7:4242 abcd><198.51.100.7:4242 ef>");
    ck_assert_uint_eq(session.in, 6);
    close_proxied();
}
END_TEST

/* Catches a buffer that the longest header overruns where messages are small (a sanitizer sees
 * it), and one byte more that is waited for. */
START_TEST(the_longest_header_fits_and_a_longer_one_ends_the_session)
{
    char header[PROXY_HEADER_MAX] = SIGNATURE "\x20\x00\x0f\xf0";

    service.answers.reply = compiled("%m", true);
    service.answers.message_size = 1;
    open_proxied();
    send_bytes(header, sizeof header - 1);
    step_all();
    ck_assert(session.header.due && session.wants == SESSION_READ);
    send_bytes("", 1);
    step_all();
    ck_assert(!session.header.due && session.wants == SESSION_READ);
    free(session.buffer);
    close(ours);
    close(theirs);
    header[15] = '\xf1';
    open_proxied();
    send_bytes(header, 16);
    step_all();
    ck_assert(session.wants == SESSION_DONE && session.ending == SESSION_PROXY);
    ck_assert_int_eq(session.header.problem, PROXY_TOO_LONG);
    close_proxied();
}
END_TEST

/* Catches what is no header but is served, echoed or waited for. */
START_TEST(a_malformed_header_ends_the_session_with_the_reason)
{
    static const struct {
        const char *text;
        enum proxy_problem problem;
    } cases[] = {{"hello", PROXY_NO_HEADER},
                 {"PROXY TCP4 1.2.3.4 1.2.3.4 1 2\n", PROXY_LINE_CHARACTER},
                 {"PROXY TCP4 1.2.3.4 1.2.3 1 2\r\n", PROXY_LINE_ADDRESS}};

    for (size_t i = 0; i < SUITE_LENGTH(cases); i++) {
        open_proxied();
        send_text(cases[i].text);
        step_all();
        ck_assert(session.wants == SESSION_DONE && session.ending == SESSION_PROXY);
        ck_assert_int_eq(session.header.problem, cases[i].problem);
        ck_assert(session.in == 0 && session.out == 0);
        expect_silence();
        close_proxied();
    }
}
END_TEST

/* Catches a proxy's health check that is logged as a fault, and a header that was cut off and is
 * logged as none. */
START_TEST(an_end_before_the_header_is_an_eof_and_one_within_it_is_a_fault)
{
    open_proxied();
    shutdown(theirs, SHUT_WR);
    session_run(&session);
    ck_assert_int_eq(session.ending, SESSION_EOF);
    close_proxied();
    open_proxied();
    send_text("PROXY TCP4");
    shutdown(theirs, SHUT_WR);
    session_run(&session);
    ck_assert(session.ending == SESSION_PROXY && session.header.problem == PROXY_CUT);
    close_proxied();
}
END_TEST

/* The idle limit of a proxied session; its descriptor blocks, as session_run wants it. */
static void open_proxied_with_idle(double idle)
{
    open_proxied();
    ck_assert_int_ne(fcntl(ours, F_SETFL, 0), -1);
    set_idle(idle);
}

/* Sends bytes of what may become a header for ever. */
/* Sends the rest of a header for eight times the idle limit. */
static int dribbling_client(size_t unused)
{
    struct timespec breath = clock_timespec(service.idle / 10);

    (void)unused;
    for (int i = 0; i < 80 && write(theirs, "x", 1) == 1; i++)
        nanosleep(&breath, NULL);
    return 0;
}

/* Catches a client that is waited for without end, or beyond the idle limit because it sends a
 * byte now and then. On a busy machine all bytes may be there by then: tried three times. */
START_TEST(the_header_has_one_time_for_all_of_it)
{
    double start = clock_seconds(), idle = 0.05;
    size_t size;

    open_proxied_with_idle(0.03);
    session_run(&session);
    ck_assert_int_eq(session.ending, SESSION_IDLE); /* nothing came at all */
    ck_assert(clock_seconds() - start >= 0.03);
    close_proxied();
    do {
        pid_t client;
        open_proxied_with_idle(idle);
        send_text("PROXY UNKNOWN ");
        client = start_client(dribbling_client, 0);
        session_run(&session);
        ck_assert(session.ending == SESSION_PROXY && session.header.problem == PROXY_LATE);
        size = session.header.size;
        close_session();
        expect_client_content(client);
        idle *= 10;
    } while (size >= 80 && idle < 10);
    ck_assert_uint_lt(size, 80);
}
END_TEST

/* Catches a lifetime that the wait for the header outlasts. */
START_TEST(a_header_is_not_waited_for_beyond_the_lifetime)
{
    service.lifetime = 0.03;
    for (int begun = 0; begun < 2; begun++) {
        open_proxied_with_idle(begun ? 0 : 30);
        if (begun)
            send_text("PROXY");
        session_run(&session);
        ck_assert_int_eq(session.ending, SESSION_LIFETIME);
        close_proxied();
    }
}
END_TEST

/* Catches a header that is waited for without end where the other limits are off. */
START_TEST(a_header_has_a_time_without_an_idle_limit_too)
{
    service.idle = 0;
    ck_assert_double_eq(session_header_time(service.idle), HEADER_TIME);
    service.idle = 2 * HEADER_TIME;
    ck_assert_double_eq(session_header_time(service.idle), HEADER_TIME);
    service.idle = 0.5;
    ck_assert_double_eq(session_header_time(service.idle), 0.5);
}
END_TEST

/* Catches the header's time limit that stays behind, or the idle limit that is lost with it. */
START_TEST(after_the_header_the_idle_limit_holds)
{
    struct timeval limit = {0, 0};
    socklen_t size = sizeof limit;

    open_proxied_with_idle(3600);
    send_bytes(headers[0].bytes, headers[0].size);
    shutdown(theirs, SHUT_WR);
    session_run(&session);
    ck_assert_int_eq(session.ending, SESSION_EOF);
    ck_assert_int_eq(getsockopt(ours, SOL_SOCKET, SO_RCVTIMEO, &limit, &size), 0);
    ck_assert_int_eq(limit.tv_sec, 3600);
    close_proxied();
}
END_TEST

/* Catches a header that any client may send: it could then claim any address. */
START_TEST(from_others_a_header_is_echoed)
{
    static const char *const others[] = {"192.0.2.12", "2001:db8::9", "local"};

    open_proxied();
    close_proxied();
    for (size_t i = 0; i < SUITE_LENGTH(others); i++) {
        open_session_of(others[i]);
        ck_assert(!session.header.due);
        send_text("PROXY UNKNOWN\r\n");
        ck_assert(session_step(&session) && session_step(&session));
        expect_text("PROXY UNKNOWN\r\n");
        ck_assert(session.in == 15 && !session.header.named);
        close_proxied();
    }
    open_session_of("::ffff:" PROXY_ADDRESS); /* the proxy, by a socket of the other family */
    ck_assert(session.header.due);
    close_proxied();
}
END_TEST

SUITE("header", a_header_may_be_cut_anywhere_and_be_followed_by_data,
      a_header_may_come_byte_by_byte,
      greeting_and_replies_come_after_the_header_and_name_the_client,
      the_longest_header_fits_and_a_longer_one_ends_the_session,
      a_malformed_header_ends_the_session_with_the_reason,
      an_end_before_the_header_is_an_eof_and_one_within_it_is_a_fault,
      the_header_has_one_time_for_all_of_it, a_header_is_not_waited_for_beyond_the_lifetime,
      a_header_has_a_time_without_an_idle_limit_too, after_the_header_the_idle_limit_holds,
      from_others_a_header_is_echoed)
