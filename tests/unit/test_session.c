/* test_session.c: one client's echo over a socket pair (session.h). */
#include "suite.h"

#include "base/clock.h"
#include "echo/session.h"
#include "process/log.h"

#include <limits.h>
#include <poll.h>
#include <signal.h>

static struct service service; /* plain echo without limits, unless a test says otherwise */
static struct session session;
static struct peer peer;
static int ours, theirs; /* the two ends of the connection */

static const struct reply *compiled(const char *text, bool with_message)
{
    const char *problem = NULL;
    const struct reply *reply = reply_compile(text, with_message, &problem);

    ck_assert_msg(reply != NULL, "%s: %s", text, problem);
    return reply;
}

/* Opens a session of a client with a buffer of exactly the size that it asks for. */
static void open_session_of(const char *address)
{
    int ends[2];
    char *buffer = malloc(session_buffer_size(&service));

    signal(SIGPIPE, SIG_IGN); /* as servers have it */
    ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM, 0, ends), 0);
    ck_assert_ptr_nonnull(buffer);
    ours = ends[0];
    theirs = ends[1];
    peer = peer_at(address, 99);
    session_open(&session, &service, ours, &peer, buffer);
}

static void open_session(void)
{
    open_session_of("local");
}

static void close_session(void)
{
    free(session.buffer);
    close(ours);
    free((struct reply *)service.answers.reply);
    free((struct reply *)service.answers.greeting);
}

/* Starts `client` on the other end, in a process of its own. It returns 0 where all is well. */
static pid_t start_client(int (*client)(size_t), size_t value)
{
    pid_t pid = fork();

    ck_assert_int_ne(pid, -1);
    if (pid == 0) {
        close(ours);
        _exit(client(value));
    }
    close(theirs);
    return pid;
}

static void expect_client_content(pid_t pid)
{
    int status;

    while (waitpid(pid, &status, 0) == -1)
        ck_assert_int_eq(errno, EINTR);
    ck_assert_msg(WIFEXITED(status) && WEXITSTATUS(status) == 0, "client: %#x", (unsigned)status);
}

static void send_text(const char *text)
{
    ck_assert_int_eq(write(theirs, text, strlen(text)), (ssize_t)strlen(text));
}

/* Reads as much as the text has, and compares. */
static void expect_text(const char *text)
{
    char bytes[1024];
    size_t size = 0;

    while (size < strlen(text)) {
        ssize_t more = read(theirs, bytes + size, strlen(text) - size);
        ck_assert_msg(more > 0, "after %zu bytes of '%s'", size, text);
        size += (size_t)more;
    }
    ck_assert_mem_eq(bytes, text, size);
}

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

/* Catches a zero-byte connection that is taken for an error, or that writes something. */
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

/* Catches a greeting that is not counted, comes late, or is skipped by the pause behind it. */
START_TEST(the_greeting_comes_first_then_the_pause_then_the_echo)
{
    service.answers.greeting = compiled("Hi! I am server\\n", false);
    service.answers.delay = 3600;
    open_session();
    send_text("hello");
    ck_assert_int_eq(session.wants, SESSION_WRITE);
    ck_assert(session_step(&session));
    expect_text("Hi! I am server\n");
    ck_assert_int_eq(session.wants, SESSION_PAUSE);
    ck_assert_uint_eq(session.in, 0);
    ck_assert(session_step(&session)); /* the pause is over: whose time is the caller's */
    ck_assert_int_eq(session.wants, SESSION_READ);
    ck_assert(session_step(&session));
    ck_assert(session_step(&session));
    expect_text("hello");
    ck_assert_int_eq(session.wants, SESSION_READ); /* and no second pause */
    ck_assert(session.in == 5 && session.out == 16 + 5);
    close_session();
}
END_TEST

/* Catches a write of nothing where a greeting or a reply is empty. */
START_TEST(an_empty_greeting_or_reply_is_not_written)
{
    service.answers.greeting = compiled("", false);
    service.answers.reply = compiled("", true);
    service.answers.message_size = 10;
    open_session();
    ck_assert_int_eq(session.wants, SESSION_READ);
    send_text("hello");
    ck_assert(session_step(&session));
    ck_assert_int_eq(session.wants, SESSION_READ);
    ck_assert(session.in == 5 && session.out == 0);
    close_session();
}
END_TEST

/* Catches a pause that is not waited for, or is waited for before each message. */
START_TEST(the_delay_is_waited_for_once)
{
    double start;

    service.answers.delay = 0.05;
    open_session();
    ck_assert_int_eq(session.wants, SESSION_PAUSE);
    send_text("hello");
    shutdown(theirs, SHUT_WR);
    start = clock_seconds();
    session_run(&session);
    ck_assert(clock_seconds() - start >= 0.05);
    expect_text("hello");
    ck_assert_int_eq(session.ending, SESSION_EOF);
    close_session();
}
END_TEST

/* Catches a message longer than -z, two in one, and a reply that overruns its buffer. */
START_TEST(each_message_of_at_most_the_message_size_gets_its_reply)
{
    service.answers.reply = compiled("<%m>", true);
    service.answers.message_size = 4;
    open_session();
    send_text("abcdefghij");
    shutdown(theirs, SHUT_WR);
    session_run(&session);
    expect_text("<abcd><efgh><ij>");
    ck_assert(session.ending == SESSION_EOF && session.in == 10 && session.out == 16);
    close_session();
}
END_TEST

/* Catches a buffer too small for the worst reply or the longest greeting (a sanitizer sees it). */
START_TEST(the_buffer_holds_the_worst_reply_and_the_longest_greeting)
{
    static const size_t sizes[] = {1, 100, 65536};
    static char message[65536];
    char long_greeting[4096];

    for (size_t i = 0; i < SUITE_LENGTH(sizes); i++) {
        memset(long_greeting, 'g', sizeof long_greeting);
        long_greeting[sizeof long_greeting - 1] = '\0';
        service.answers.greeting = compiled(long_greeting, false);
        service.answers.reply = compiled("%q%a%t%q", true);
        service.answers.message_size = sizes[i];
        open_session();
        set_nonblocking(theirs);
        set_nonblocking(ours);
        while (session.wants == SESSION_WRITE)
            ck_assert(session_step(&session));
        ck_assert_uint_eq(session.out, sizeof long_greeting - 1);
        memset(message, '\xff', sizeof message);
        ck_assert_int_eq(write(theirs, message, sizes[i]), (ssize_t)sizes[i]);
        while (session.in < sizes[i]) {
            uint64_t before = session.in;
            ck_assert(session_step(&session));
            ck_assert_int_eq(session.wants, SESSION_WRITE);
            ck_assert_uint_ge(session.unsent.size, 8 * (session.in - before));
            while (session.wants == SESSION_WRITE)
                if (!session_step(&session))
                    while (read(theirs, message, sizeof message) > 0)
                        ;
        }
        close_session();
        close(theirs);
    }
}
END_TEST

/* Catches the buffer of a lone session that is smaller than what is asked for. */
START_TEST(the_only_buffer_has_the_size_that_its_service_needs)
{
    static const size_t sizes[] = {1, 1024, 65536};
    static char *kept[SUITE_LENGTH(sizes)]; /* they are never given back */

    memset(session_only_buffer(&service), 'x', session_buffer_size(&service));
    service.answers.reply = compiled("%q%q%m", true);
    for (size_t i = 0; i < SUITE_LENGTH(sizes); i++) {
        service.answers.message_size = sizes[i];
        kept[i] = session_only_buffer(&service);
        ck_assert_ptr_nonnull(kept[i]);
        memset(kept[i], 'x', session_buffer_size(&service));
    }
    free((struct reply *)service.answers.reply);
}
END_TEST

/* The idle limit in the form that session_run expects it. */
static void set_idle(double seconds)
{
    service.idle = seconds;
    session_set_timeouts(ours, seconds);
}

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

/* Catches a lifetime that each byte prolongs. */
START_TEST(a_busy_client_ends_with_its_lifetime)
{
    pid_t client;
    double start = clock_seconds();

    service.lifetime = 0.05;
    open_session();
    set_idle(30);
    client = start_client(dripping_client, 0);
    session_run(&session);
    ck_assert_int_eq(session.ending, SESSION_LIFETIME);
    ck_assert(clock_seconds() - start >= 0.05);
    ck_assert_uint_gt(session.in, 0);
    close_session();
    expect_client_content(client);
}
END_TEST

/* Catches a lifetime that a waiting read or write outlasts, or that is told as idle. */
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

/* Catches a reset told as an error or an orderly end: found while reading ... */
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

/* Catches the close with unread input that sends a reset, and cuts off the tail that the
 * client was about to read (RFC 2525, 2.17). */
START_TEST(finishing_after_a_limit_keeps_the_tail)
{
    static const enum session_ending endings[] = {SESSION_IDLE, SESSION_LIFETIME};
    static char bytes[1 << 16];

    for (size_t i = 0; i < SUITE_LENGTH(endings); i++) {
        size_t received = 0;
        ssize_t size;
        service.answers.reply =
            compiled("%m%m%m%m%m%m%m%m%m%m%m%m%m%m%m%m%m%m%m%m%m%m%m%m%m%m%m%m", true);
        service.answers.message_size = 64;
        open_session();
        close(ours);
        close(theirs);
        connect_over_tcp();
        leave_tail_and_input();
        session_end(&session, endings[i]);
        session_finish(&session);
        close_session();
        while ((size = read(theirs, bytes, sizeof bytes)) > 0)
            received += (size_t)size;
        ck_assert_msg(size == 0, "after %zu of %llu bytes: %s", received,
                      (unsigned long long)session.out, strerror(errno));
        ck_assert_uint_eq(received, session.out);
        close(theirs);
    }
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
 * a subverted child says. */
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

/* Catches a message that breaks the line of the log, or is longer than it. */
START_TEST(messages_are_shown_escaped_and_cut)
{
    static struct capture errors;
    char text[201];

    memset(text, '\xff', sizeof text);
    text[200] = '\0';
    capture_begin(&errors, STDERR_FILENO);
    log_open("forkecho", LOG_MESSAGES, -1);
    open_session();
    send_text("it's\n");
    ck_assert(session_step(&session));
    ck_assert(session_step(&session));
    send_text(text);
    ck_assert(session_step(&session));
    capture_end(&errors);
    ck_assert_int_eq(lines_of(errors.text), 2);
    ck_assert_ptr_nonnull(strstr(errors.text, "message from=local bytes=5 text='it\\'s\\n'\n"));
    ck_assert_ptr_nonnull(strstr(errors.text, "message from=local bytes=200 text='\\xff\\xff"));
    ck_assert_ptr_nonnull(strstr(errors.text, "\\xff'...\n"));
    close_session();
}
END_TEST

/* ---- PROXY headers ---- */

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

/* Catches a header that has to come in few pieces, and one byte of the client taken for it. */
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

/* Catches a proxy's check of our health that is told as a fault, and a header that was cut off
 * told as no fault. */
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
static int dribbling_client(size_t unused)
{
    struct timespec breath = clock_timespec(0.005);

    (void)unused;
    if (write(theirs, "PROXY UNKNOWN ", 14) != 14)
        return 1;
    for (int i = 0; i < 80 && write(theirs, "x", 1) == 1; i++)
        nanosleep(&breath, NULL);
    return 0;
}

/* Catches a client that is waited for without end, or beyond the idle limit because it sends a
 * byte now and then. */
START_TEST(the_header_has_one_time_for_all_of_it)
{
    double start = clock_seconds();
    pid_t client;

    open_proxied_with_idle(0.03);
    session_run(&session);
    ck_assert_int_eq(session.ending, SESSION_IDLE); /* nothing came at all */
    ck_assert(clock_seconds() - start >= 0.03);
    close_proxied();
    open_proxied_with_idle(0.05);
    client = start_client(dribbling_client, 0);
    session_run(&session);
    ck_assert(session.ending == SESSION_PROXY && session.header.problem == PROXY_LATE);
    ck_assert_uint_lt(session.header.size, 80);
    close_session();
    expect_client_content(client);
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
    ck_assert_double_eq(header_time(service.idle), HEADER_TIME);
    service.idle = 2 * HEADER_TIME;
    ck_assert_double_eq(header_time(service.idle), HEADER_TIME);
    service.idle = 0.5;
    ck_assert_double_eq(header_time(service.idle), 0.5);
}
END_TEST

/* Catches the time for the header that goes on to limit the session, or the idle limit that is
 * lost with it. */
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

/* Catches a header that anybody may send: he could then be whom he likes. */
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

SUITE("session", chunks_of_every_size_are_echoed, the_echo_is_binary_clean,
      what_a_short_write_left_is_written_later, an_interrupted_read_or_write_goes_on,
      a_client_that_only_ends_is_an_eof, a_step_without_input_moves_nothing,
      the_greeting_comes_first_then_the_pause_then_the_echo,
      an_empty_greeting_or_reply_is_not_written, the_delay_is_waited_for_once,
      each_message_of_at_most_the_message_size_gets_its_reply,
      the_buffer_holds_the_worst_reply_and_the_longest_greeting,
      the_only_buffer_has_the_size_that_its_service_needs, a_silent_client_ends_as_idle,
      a_client_that_never_reads_ends_as_idle, a_busy_client_ends_with_its_lifetime,
      a_waiting_read_or_write_ends_with_the_lifetime,
      the_idle_limit_holds_beside_a_longer_lifetime, a_delay_ends_with_the_lifetime,
      a_reset_found_by_a_read_is_a_reset, a_client_gone_before_its_echo_is_a_reset,
      any_other_error_ends_the_session_as_an_error, an_ended_session_stays_ended,
      finishing_after_a_limit_keeps_the_tail, finishing_does_not_wait,
      endings_have_the_names_of_the_log, messages_are_shown_escaped_and_cut,
      a_header_may_be_cut_anywhere_and_be_followed_by_data, a_header_may_come_byte_by_byte,
      greeting_and_replies_come_after_the_header_and_name_the_client,
      the_longest_header_fits_and_a_longer_one_ends_the_session,
      a_malformed_header_ends_the_session_with_the_reason,
      an_end_before_the_header_is_an_eof_and_one_within_it_is_a_fault,
      the_header_has_one_time_for_all_of_it, a_header_is_not_waited_for_beyond_the_lifetime,
      a_header_has_a_time_without_an_idle_limit_too, after_the_header_the_idle_limit_holds,
      from_others_a_header_is_echoed)
