/* test_session.c: one client's echo over a socket pair (session.h). */
#include "one_session.h"

#include "base/clock.h"

#include <limits.h>
#include <poll.h>

/* Sends `total` pattern bytes, up to `chunk` a write, while reading what comes back, up to
 * `bite` a read. Returns 0 when all came back right, then end of file. */
static int converse(size_t total, size_t chunk, size_t bite)
{
    static char bytes[1 << 18];
    size_t sent = 0, received = 0;

    if (fcntl(theirs, F_SETFL, O_NONBLOCK) == -1)
        return 1;
    for (;;) {
        struct pollfd want = {theirs, sent < total ? POLLIN | POLLOUT : POLLIN, 0};
        ssize_t size;
        if (poll(&want, 1, -1) == -1)
            return 2;
        if (want.revents & POLLOUT && sent < total) {
            size_t part = total - sent < chunk ? total - sent : chunk;
            for (size_t i = 0; i < part; i++)
                bytes[i] = pattern_byte(sent + i);
            size = write(theirs, bytes, part);
            sent += size > 0 ? (size_t)size : 0;
            if (sent == total)
                shutdown(theirs, SHUT_WR);
        }
        size = read(theirs, bytes, bite);
        if (size == 0)
            return received == total ? 0 : 3;
        for (ssize_t i = 0; i < size; i++)
            if (bytes[i] != pattern_byte(received++))
                return 4;
    }
}

static int converse_in_chunks(size_t chunk)
{
    return converse(chunk < 100 ? 1000 : 5 * chunk / 2, chunk, 1 << 18);
}

/* Catches a byte that is lost, doubled or out of place at the edges of the buffer. */
START_TEST(chunks_of_every_size_are_echoed)
{
    static const size_t chunks[] = {1, 2, 7, 1023, 1024, 4096, 65535, 65536, 65537, 200000};

    for (size_t i = 0; i < SUITE_LENGTH(chunks); i++) {
        pid_t client;
        open_session();
        client = start_client(converse_in_chunks, chunks[i]);
        session_run(&session);
        ck_assert_int_eq(session.wants, SESSION_DONE);
        ck_assert_int_eq(session.ending, SESSION_EOF);
        ck_assert_uint_eq(session.in, chunks[i] < 100 ? 1000 : 5 * chunks[i] / 2);
        ck_assert_uint_eq(session.out, session.in);
        close_session();
        expect_client_content(client);
    }
}
END_TEST

/* Catches an echo that takes bytes for text: each value, zero among them, comes back. */
START_TEST(the_echo_is_binary_clean)
{
    char all[256], back[256];

    for (int i = 0; i < 256; i++)
        all[i] = (char)i;
    open_session();
    ck_assert_int_eq(write(theirs, all, sizeof all), sizeof all);
    ck_assert(session_step(&session));
    ck_assert(session_step(&session));
    ck_assert_int_eq(read(theirs, back, sizeof back), sizeof back);
    ck_assert_mem_eq(back, all, sizeof all);
    close_session();
}
END_TEST

/* Catches a short write that is taken for a whole one (inetd's own echo loses data so). */
START_TEST(what_a_short_write_left_is_written_later)
{
    enum { TOTAL = 300000, BITE = 701 };
    static char bytes[1 << 16];
    size_t sent = 0, received = 0, short_writes = 0;
    int tiny = 1;

    open_session();
    ck_assert_int_eq(setsockopt(ours, SOL_SOCKET, SO_SNDBUF, &tiny, sizeof tiny), 0);
    set_nonblocking(ours);
    set_nonblocking(theirs);
    while (received < TOTAL) {
        size_t part = TOTAL - sent < sizeof bytes ? TOTAL - sent : sizeof bytes;
        ssize_t size;
        for (size_t i = 0; i < part; i++)
            bytes[i] = pattern_byte(sent + i);
        size = write(theirs, bytes, part);
        sent += size > 0 ? (size_t)size : 0;
        for (;;) {
            bool writes = session.wants == SESSION_WRITE;
            if (!session_step(&session))
                break;
            short_writes += writes && session.unsent.size > 0;
        }
        size = read(theirs, bytes, BITE);
        ck_assert_int_gt(size, 0);
        for (ssize_t i = 0; i < size; i++, received++)
            if (bytes[i] != pattern_byte(received))
                ck_abort_msg("byte %zu", received);
    }
    ck_assert_uint_gt(short_writes, 0);
    ck_assert(session.wants == SESSION_READ && session.in == TOTAL && session.out == TOTAL);
    close_session();
}
END_TEST

static volatile sig_atomic_t interrupts;

static void interrupt(int number)
{
    (void)number;
    interrupts++;
}

/* Signals the server before each byte that it sends or reads, so that the server's reads and
 * writes are interrupted wherever they wait. */
static int interrupting_client(size_t total)
{
    size_t sent = 0, received = 0;
    char bytes[5000];

    if (fcntl(theirs, F_SETFL, O_NONBLOCK) == -1)
        return 1;
    while (received < total) {
        struct pollfd want = {theirs, sent < total ? POLLIN | POLLOUT : POLLIN, 0};
        ssize_t size;
        if (kill(getppid(), SIGUSR1) == -1 || poll(&want, 1, -1) == -1)
            return 2;
        for (size_t i = 0; i < sizeof bytes; i++)
            bytes[i] = pattern_byte(sent + i);
        size = write(theirs, bytes, total - sent < sizeof bytes ? total - sent : sizeof bytes);
        sent += size > 0 ? (size_t)size : 0;
        size = read(theirs, bytes, 1000);
        for (ssize_t i = 0; i < size; i++)
            if (bytes[i] != pattern_byte(received++))
                return 3;
        if (size == 0)
            return 4;
    }
    return 0;
}

/* Catches EINTR taken for an error, for end of file, or for the idle limit. */
START_TEST(an_interrupted_read_or_write_goes_on)
{
    struct sigaction action = {.sa_handler = interrupt}; /* without SA_RESTART */
    int tiny = 1;
    pid_t client;

    ck_assert_int_eq(sigaction(SIGUSR1, &action, NULL), 0);
    open_session();
    setsockopt(ours, SOL_SOCKET, SO_SNDBUF, &tiny, sizeof tiny);
    client = start_client(interrupting_client, 300000);
    session_run(&session);
    ck_assert_int_gt(interrupts, 0);
    ck_assert_int_eq(session.ending, SESSION_EOF);
    ck_assert(session.in == 300000 && session.out == 300000);
    expect_client_content(client);
    close_session();
}
END_TEST

/* Catches a connection without a byte that counts as an error, or that writes something. */
START_TEST(a_client_that_only_ends_is_an_eof)
{
    char byte;

    open_session();
    ck_assert_int_eq(session.wants, SESSION_READ);
    ck_assert_int_eq(shutdown(theirs, SHUT_WR), 0);
    session_run(&session);
    ck_assert(session.ending == SESSION_EOF && session.in == 0 && session.out == 0);
    close_session();
    ck_assert_int_eq(read(theirs, &byte, 1), 0);
}
END_TEST

/* Catches a step that waits, or that moves although nothing is ready. */
START_TEST(a_step_without_input_moves_nothing)
{
    open_session();
    set_nonblocking(ours);
    for (int i = 0; i < 3; i++) {
        ck_assert(!session_step(&session));
        ck_assert_int_eq(session.wants, SESSION_READ);
    }
    close_session();
}
END_TEST

/* Catches the buffer of a lone session that is smaller than what is asked for. */
START_TEST(the_only_buffer_has_the_size_that_its_service_needs)
{
    static const size_t sizes[] = {1, 1024, 65536};
    static char own[MESSAGE_SIZE_MAX], *kept[SUITE_LENGTH(sizes)]; /* they are never given back */

    ck_assert_ptr_eq(session_only_buffer(&service, own), own);
    ck_assert_uint_le(session_buffer_size(&service), sizeof own);
    service.answers.reply = compiled("%q%q%m", true);
    for (size_t i = 0; i < SUITE_LENGTH(sizes); i++) {
        service.answers.message_size = sizes[i];
        kept[i] = session_only_buffer(&service, own);
        ck_assert_ptr_nonnull(kept[i]);
        memset(kept[i], 'x', session_buffer_size(&service));
    }
    free((struct reply *)service.answers.reply);
}
END_TEST

/* Catches a silent client that keeps its process for ever. */
START_TEST(a_silent_client_ends_as_idle)
{
    double start;

    open_session();
    set_idle(0.03);
    send_text("hello");
    start = clock_seconds();
    session_run(&session);
    ck_assert_int_eq(session.ending, SESSION_IDLE);
    ck_assert(clock_seconds() - start >= 0.015); /* the kernel may be a tick early */
    ck_assert(session.in == 5 && session.out == 5);
    close_session();
}
END_TEST

/* Fills the way to the server and leaves the way back full as well. */
static void fill_connection(void)
{
    static char bytes[1 << 16];
    int tiny = 1;

    setsockopt(ours, SOL_SOCKET, SO_SNDBUF, &tiny, sizeof tiny);
    set_nonblocking(theirs);
    while (write(theirs, bytes, sizeof bytes) > 0)
        ;
}

/* Catches a client that never reads and so keeps its process for ever in a write. */
START_TEST(a_client_that_never_reads_ends_as_idle)
{
    open_session();
    set_idle(0.03);
    fill_connection();
    session_run(&session);
    ck_assert_int_eq(session.ending, SESSION_IDLE);
    ck_assert_uint_gt(session.in, session.out);
    close_session();
}
END_TEST

/* Sends a byte whenever its echo is back, for as long as it is let. */
static int dripping_client(size_t unused)
{
    char byte = 'x';

    (void)unused;
    while (write(theirs, &byte, 1) == 1 && read(theirs, &byte, 1) == 1)
        ;
    return byte == 'x' ? 0 : 1;
}

/* Catches a lifetime that each byte prolongs. On a busy machine the client may not come to send one
 * in the first. */
START_TEST(a_busy_client_ends_with_its_lifetime)
{
    service.lifetime = 0.05;
    do {
        pid_t client;
        double start = clock_seconds();

        open_session();
        set_idle(30);
        client = start_client(dripping_client, 0);
        session_run(&session);
        ck_assert_int_eq(session.ending, SESSION_LIFETIME);
        ck_assert(clock_seconds() - start >= service.lifetime);
        close_session();
        expect_client_content(client);
        service.lifetime *= 10;
    } while (session.in == 0);
}
END_TEST

/* Catches a lifetime that a waiting read or write outlasts, or that is logged as idle. */
START_TEST(a_waiting_read_or_write_ends_with_the_lifetime)
{
    service.lifetime = 0.03;
    for (int full = 0; full < 2; full++) {
        for (int idle = 0; idle < 2; idle++) {
            open_session();
            set_idle(idle == 0 ? 0 : 30);
            if (full)
                fill_connection();
            session_run(&session);
            ck_assert_int_eq(session.ending, SESSION_LIFETIME);
            close_session();
            close(theirs);
        }
    }
}
END_TEST

/* Catches an idle limit that a longer lifetime overrides. */
START_TEST(the_idle_limit_holds_beside_a_longer_lifetime)
{
    service.lifetime = 3600;
    open_session();
    set_idle(0.03);
    session_run(&session);
    ck_assert_int_eq(session.ending, SESSION_IDLE);
    close_session();
}
END_TEST

/* Catches a delay that outlasts the lifetime: this one is an hour. */
START_TEST(a_delay_ends_with_the_lifetime)
{
    service.lifetime = 0.02;
    service.answers.delay = 3600;
    open_session();
    session_run(&session);
    ck_assert_int_eq(session.ending, SESSION_LIFETIME);
    close_session();
}
END_TEST

/* Catches a reset logged as an error or an orderly end: found while reading ... */
START_TEST(a_reset_found_by_a_read_is_a_reset)
{
    open_session();
    ck_assert_int_eq(write(ours, "unread", 6), 6);
    close(theirs); /* with unread input, which resets */
    session_run(&session);
    ck_assert_int_eq(session.ending, SESSION_RESET);
    ck_assert_str_eq(session_ending_name((int)session.ending), "reset");
    close_session();
}
END_TEST

/* ... and while writing; there a signal would end the process where PIPE is not ignored. */
START_TEST(a_client_gone_before_its_echo_is_a_reset)
{
    open_session();
    send_text("hello");
    ck_assert(session_step(&session));
    close(theirs);
    session_run(&session);
    ck_assert_int_eq(session.ending, SESSION_RESET);
    ck_assert(session.in == 5 && session.out == 0);
    close_session();
}
END_TEST

/* Catches an unknown error that is taken for "not now", which would spin. */
START_TEST(any_other_error_ends_the_session_as_an_error)
{
    open_session();
    close(ours);
    ours = open("/", O_RDONLY);
    ck_assert_int_ne(ours, -1);
    session.descriptor = ours;
    session_run(&session);
    ck_assert_int_eq(session.ending, SESSION_ERROR);
    close_session();
}
END_TEST

/* Catches an end from outside that is forgotten at the next step. */
START_TEST(an_ended_session_stays_ended)
{
    open_session();
    send_text("hello");
    session_end(&session, SESSION_LIFETIME);
    ck_assert(!session_step(&session));
    ck_assert(session.wants == SESSION_DONE && session.ending == SESSION_LIFETIME);
    ck_assert_uint_eq(session.in, 0);
    session_run(&session);
    ck_assert_int_eq(session.ending, SESSION_LIFETIME);
    close_session();
}
END_TEST

/* A connection over TCP, where a reset throws away what is still under way. */
static void connect_over_tcp(void)
{
    struct sockaddr_in any = {.sin_family = AF_INET};
    socklen_t length = sizeof any;
    int listener = socket(AF_INET, SOCK_STREAM, 0), small = 8192;

    any.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    ck_assert_int_eq(bind(listener, (struct sockaddr *)&any, length), 0);
    ck_assert_int_eq(listen(listener, 1), 0);
    ck_assert_int_eq(getsockname(listener, (struct sockaddr *)&any, &length), 0);
    theirs = socket(AF_INET, SOCK_STREAM, 0);
    setsockopt(theirs, SOL_SOCKET, SO_RCVBUF, &small, sizeof small);
    ck_assert_int_eq(connect(theirs, (struct sockaddr *)&any, length), 0);
    ours = accept(listener, NULL, NULL);
    ck_assert_int_ne(ours, -1);
    close(listener);
    session.descriptor = ours;
}

/* Lets the client send without reading until the way back takes no more, and then leaves more
 * of it unread than the session's buffer holds. A reply is much larger than its message, so that
 * all the client sent has arrived. */
static void leave_tail_and_input(void)
{
    char message[64], last[10000];

    set_nonblocking(ours);
    memset(message, 'm', sizeof message);
    while (session.wants == SESSION_READ) {
        ck_assert_int_eq(write(theirs, message, sizeof message), sizeof message);
        ck_assert_int_eq(poll(&(struct pollfd){ours, POLLIN, 0}, 1, -1), 1);
        while (session_step(&session))
            ;
    }
    ck_assert_int_eq(session.wants, SESSION_WRITE);
    memset(last, 'l', sizeof last);
    ck_assert_uint_lt(session_buffer_size(&service), sizeof last);
    ck_assert_int_eq(write(theirs, last, sizeof last), sizeof last);
    ck_assert_int_eq(poll(&(struct pollfd){ours, POLLIN, 0}, 1, -1), 1);
}

/* Ends a session whose tail the client has not read, and reads that. Returns what the last read
 * returned; `*received` is how much came before. */
static ssize_t finish_with_tail(enum session_ending ending, size_t *received)
{
    static char bytes[1 << 16];
    ssize_t size;

    service.answers.reply =
        compiled("%m%m%m%m%m%m%m%m%m%m%m%m%m%m%m%m%m%m%m%m%m%m%m%m%m%m%m%m", true);
    service.answers.message_size = 64;
    open_session();
    close(ours);
    close(theirs);
    connect_over_tcp();
    leave_tail_and_input();
    session_end(&session, ending);
    session_finish(&session);
    close_session();
    *received = 0;
    while ((size = read(theirs, bytes, sizeof bytes)) > 0)
        *received += (size_t)size;
    return size;
}

/* Catches the close with unread input that sends a reset, and cuts off the tail that the
 * client was about to read (RFC 2525, 2.17). */
START_TEST(finishing_after_a_lifetime_keeps_the_tail)
{
    size_t received;
    ssize_t last = finish_with_tail(SESSION_LIFETIME, &received);

    ck_assert_msg(last == 0, "after %zu of %llu bytes: %s", received,
                  (unsigned long long)session.out, strerror(errno));
    ck_assert_uint_eq(received, session.out);
}
END_TEST

/* Catches a tail that stays with the kernel for minutes because nobody reads it. */
START_TEST(finishing_an_idle_session_with_a_tail_resets)
{
    size_t received;

    ck_assert_int_eq(finish_with_tail(SESSION_IDLE, &received), -1);
    ck_assert_int_eq(errno, ECONNRESET);
    ck_assert_uint_lt(received, session.out);
}
END_TEST

/* Catches descriptors that a Unix client has passed, and whose close may wait, left to whoever closes
 * the socket last. */
START_TEST(finishing_leaves_nothing_in_the_queue_of_a_reset_unix_client)
{
    char byte;

    open_session();
    session.peer.name.any.sa_family = AF_UNIX;
    send_text("x");
    session.unsent.size = 1;
    session_end(&session, SESSION_RESET);
    session_finish(&session);
    ck_assert_int_eq(recv(ours, &byte, 1, MSG_DONTWAIT), -1);
    ck_assert_int_eq(errno, EAGAIN);
    close_session();
}
END_TEST

/* Catches a finish that waits for a client that has nothing more to say. */
START_TEST(finishing_does_not_wait)
{
    char byte;

    open_session(); /* on a descriptor that blocks */
    session_end(&session, SESSION_IDLE);
    session_finish(&session);
    ck_assert_int_eq(read(theirs, &byte, 1), 0);
    close_session();
}
END_TEST

/* Catches a word of the log that no longer fits its ending, and a read beyond the names for what
 * a compromised child writes. */
START_TEST(endings_have_the_names_of_the_log)
{
    ck_assert_str_eq(session_ending_name(SESSION_EOF), "eof");
    ck_assert_str_eq(session_ending_name(SESSION_IDLE), "idle");
    ck_assert_str_eq(session_ending_name(SESSION_LIFETIME), "lifetime");
    ck_assert_str_eq(session_ending_name(SESSION_RESET), "reset");
    ck_assert_str_eq(session_ending_name(SESSION_ERROR), "error");
    ck_assert_str_eq(session_ending_name(SESSION_PROXY), "proxy");
    ck_assert_str_eq(session_ending_name(SESSION_ENDINGS), "error");
    ck_assert_str_eq(session_ending_name(-1), "error");
    ck_assert_str_eq(session_ending_name(INT_MAX), "error");
    ck_assert_str_eq(session_ending_name(INT_MIN), "error");
}
END_TEST

SUITE("session", chunks_of_every_size_are_echoed, the_echo_is_binary_clean,
      what_a_short_write_left_is_written_later, an_interrupted_read_or_write_goes_on,
      a_client_that_only_ends_is_an_eof, a_step_without_input_moves_nothing,
      the_only_buffer_has_the_size_that_its_service_needs, a_silent_client_ends_as_idle,
      a_client_that_never_reads_ends_as_idle, a_busy_client_ends_with_its_lifetime,
      a_waiting_read_or_write_ends_with_the_lifetime, the_idle_limit_holds_beside_a_longer_lifetime,
      a_delay_ends_with_the_lifetime, a_reset_found_by_a_read_is_a_reset,
      a_client_gone_before_its_echo_is_a_reset, any_other_error_ends_the_session_as_an_error,
      an_ended_session_stays_ended, finishing_after_a_lifetime_keeps_the_tail,
      finishing_an_idle_session_with_a_tail_resets,
      finishing_leaves_nothing_in_the_queue_of_a_reset_unix_client, finishing_does_not_wait,
      endings_have_the_names_of_the_log)
