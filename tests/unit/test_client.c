/* test_client.c: one connection of echoclient(1), and what it says (client.h). */
#include "suite.h"

#include "base/clock.h"
#include "client/client.h"

#include <signal.h>

/* Enough for a busy machine; a test that waits for it has failed. */
#define LONG 30.0
/* So short that a test may wait for it. */
#define SHORT 0.05

static struct echo_client client = {.name = "echoclient 3", .timeout = LONG, .descriptor = -1};
static struct capture capture;

/* A socket bound to a free port of loopback; `*address` becomes where it is. */
static int bound(struct address *address)
{
    int holder = socket(AF_INET, SOCK_STREAM, 0);

    memset(address, 0, sizeof *address);
    address->name.v4.sin_family = AF_INET;
    address->name.v4.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    address->length = sizeof address->name.v4;
    ck_assert_int_eq(bind(holder, &address->name.any, address->length), 0);
    ck_assert_int_eq(getsockname(holder, &address->name.any, &address->length), 0);
    return holder;
}

static int open_listener(struct address *address)
{
    int listener = bound(address);

    ck_assert_int_eq(listen(listener, 8), 0);
    return listener;
}

/* Connects, and returns the server's end. */
static int connected(void)
{
    struct address address;
    int listener = open_listener(&address), server;

    ck_assert_int_eq(client_connect(&client, &address, 1), CLIENT_ECHOED);
    server = accept(listener, NULL, NULL);
    ck_assert_int_ge(server, 0);
    close(listener);
    return server;
}

static enum client_status connect_to(const struct address *addresses, size_t count,
                                     const char **said)
{
    enum client_status status;

    capture_begin(&capture, STDERR_FILENO);
    status = client_connect(&client, addresses, count);
    *said = capture_end(&capture);
    return status;
}

/* ---- connecting ---- */

/* Catches a socket that blocks, one that leads elsewhere, and words that nobody asked for. */
START_TEST(a_connection_leads_to_the_listener_and_never_blocks)
{
    struct address address;
    int listener = open_listener(&address), server;
    const char *said;
    char bytes[8];

    ck_assert_int_eq(connect_to(&address, 1, &said), CLIENT_ECHOED);
    ck_assert_str_eq(said, "");
    ck_assert_int_ne(fcntl(client.descriptor, F_GETFL) & O_NONBLOCK, 0);
    server = accept(listener, NULL, NULL);
    ck_assert_int_ge(server, 0);
    ck_assert_int_eq(client_send(&client, "hello", 5), 5);
    ck_assert_int_eq(recv(server, bytes, 5, MSG_WAITALL), 5);
    ck_assert_mem_eq(bytes, "hello", 5);
}
END_TEST

/* Catches -v that says nothing, or confuses the two ends. */
START_TEST(a_verbose_client_names_both_ends)
{
    struct address address, own = {.length = sizeof own.name};
    char there[ADDRESS_TEXT_MAX], here[ADDRESS_TEXT_MAX], expected[512];
    const char *said;

    open_listener(&address);
    client.verbose = true;
    ck_assert_int_eq(connect_to(&address, 1, &said), CLIENT_ECHOED);
    ck_assert_int_eq(getsockname(client.descriptor, &own.name.any, &own.length), 0);
    snprintf(expected, sizeof expected, "echoclient 3: connected to %s from %s\n",
             address_text(&address.name.any, there), address_text(&own.name.any, here));
    ck_assert_str_eq(said, expected);
}
END_TEST

/* Catches a refusal that ends the search, is said although another address answered, or leaves
 * its socket open. */
START_TEST(the_first_address_that_answers_is_taken)
{
    struct address addresses[3], peer = {.length = sizeof peer.name};
    const char *said;
    int before;

    bound(&addresses[0]); /* it holds the port, and does not listen */
    open_listener(&addresses[1]);
    open_listener(&addresses[2]);
    before = open_descriptors();
    ck_assert_int_eq(connect_to(addresses, 3, &said), CLIENT_ECHOED);
    ck_assert_str_eq(said, "");
    ck_assert_int_eq(open_descriptors(), before + 1);
    ck_assert_int_eq(getpeername(client.descriptor, &peer.name.any, &peer.length), 0);
    ck_assert_uint_eq(address_port(&peer.name.any), address_port(&addresses[1].name.any));
}
END_TEST

/* Catches a failure that names one address of several, or keeps a socket. */
START_TEST(no_connection_names_each_address_and_why)
{
    struct address addresses[2];
    char first[ADDRESS_TEXT_MAX], second[ADDRESS_TEXT_MAX], expected[512];
    const char *said, *why = strerror(ECONNREFUSED);
    int before;

    bound(&addresses[0]);
    bound(&addresses[1]);
    before = open_descriptors();
    ck_assert_int_eq(connect_to(addresses, 2, &said), CLIENT_UNREACHED);
    snprintf(expected, sizeof expected,
             "echoclient 3: cannot connect to %s: %s; to %s: %s\n",
             address_text(&addresses[0].name.any, first), why,
             address_text(&addresses[1].name.any, second), why);
    ck_assert_str_eq(said, expected);
    ck_assert_int_eq(open_descriptors(), before);
    ck_assert_int_eq(client.descriptor, -1);
}
END_TEST

/* Catches so many failures that their line exceeds its room: it is cut, and still one line. */
START_TEST(a_long_line_is_cut)
{
    static struct address addresses[64];
    const char *said;

    bound(&addresses[0]);
    for (size_t i = 1; i < SUITE_LENGTH(addresses); i++)
        addresses[i] = addresses[0];
    ck_assert_int_eq(connect_to(addresses, SUITE_LENGTH(addresses), &said), CLIENT_UNREACHED);
    ck_assert_int_eq(lines_of(said), 1);
    ck_assert_int_eq(strncmp(said, "echoclient 3: cannot connect to ", 32), 0);
    ck_assert_uint_gt(strlen(said), 1000);
    ck_assert_uint_le(strlen(said), 2048);
}
END_TEST

static int hold_backlog(struct address *address)
{
    int listener = socket(AF_UNIX, SOCK_STREAM, 0);

    memset(address, 0, sizeof *address);
    address->name.local.sun_family = AF_UNIX;
    snprintf(address->name.local.sun_path, sizeof address->name.local.sun_path,
             "/tmp/test_client.%ld", (long)getpid());
    address->length = sizeof address->name.local;
    ck_assert_int_eq(bind(listener, &address->name.any, address->length), 0);
    ck_assert_int_eq(listen(listener, 0), 0);
    return listener;
}

/* Catches a full backlog of a Unix socket that counts as refused, or is asked for ever. */
START_TEST(a_full_unix_backlog_is_waited_for_within_the_timeout)
{
    struct address address;
    enum client_status status = CLIENT_ECHOED;
    const char *said = "";
    double begun = 0;

    hold_backlog(&address);
    client.timeout = SHORT;
    for (int i = 0; i < 8 && status == CLIENT_ECHOED; i++) {
        begun = clock_seconds();
        status = connect_to(&address, 1, &said);
    }
    begun = clock_seconds() - begun;
    unlink(address.name.local.sun_path);
    ck_assert_int_eq(status, CLIENT_UNREACHED);
    ck_assert_ptr_nonnull(strstr(said, strerror(ETIMEDOUT)));
    ck_assert(begun >= SHORT && begun < LONG);
}
END_TEST

/* ---- waiting ---- */

/* Catches a timeout of 0 that means no wait at all. */
START_TEST(no_timeout_is_a_wait_without_end)
{
    client.timeout = 0;
    ck_assert(client_patience(&client) < 0);
    client.timeout = 2.5;
    ck_assert(client_patience(&client) == 2.5);
}
END_TEST

/* ---- moving bytes ---- */

/* Catches bytes that are not counted, and an error or an end that is. */
START_TEST(what_is_moved_is_counted)
{
    int server = connected();
    struct pollfd wait = {.fd = client.descriptor, .events = POLLIN};
    char bytes[16];

    ck_assert_int_eq(client_receive(&client, bytes, sizeof bytes), -1);
    ck_assert_int_eq(errno, EAGAIN);
    ck_assert_int_eq(client_send(&client, "hello", 5), 5);
    ck_assert_int_eq(client_send(&client, "you", 3), 3);
    ck_assert_uint_eq(client.sent, 8);
    ck_assert_uint_eq(client.received, 0);
    ck_assert_int_eq(send(server, "hello", 5, 0), 5);
    ck_assert_int_eq(clock_poll(&wait, 1, LONG), 1);
    ck_assert_int_eq(client_receive(&client, bytes, 3), 3);
    ck_assert_int_eq(client_receive(&client, bytes, sizeof bytes), 2);
    ck_assert_uint_eq(client.received, 5);
    ck_assert_int_eq(shutdown(server, SHUT_WR), 0);
    ck_assert_int_eq(clock_poll(&wait, 1, LONG), 1);
    ck_assert_int_eq(client_receive(&client, bytes, sizeof bytes), 0);
    ck_assert_uint_eq(client.received, 5);
    ck_assert_uint_eq(client.sent, 8);
}
END_TEST

/* Catches a full socket that blocks, or counts what it did not take. */
START_TEST(a_full_socket_is_no_error)
{
    static char bytes[65536];
    uint64_t sum = 0;
    ssize_t size;

    connected();
    while ((size = client_send(&client, bytes, sizeof bytes)) > 0)
        sum += (uint64_t)size;
    ck_assert_int_eq(size, -1);
    ck_assert_int_eq(errno, EAGAIN);
    ck_assert_uint_eq(client.sent, sum);
}
END_TEST

/* ---- saying ---- */

/* Catches a line without the client's name or its end. */
START_TEST(a_line_is_said_with_the_name)
{
    capture_begin(&capture, STDERR_FILENO);
    client_log(&client, "%d of %s", 3, "four");
    ck_assert_str_eq(capture_end(&capture), "echoclient 3: 3 of four\n");
}
END_TEST

/* Catches output that fails and nobody hears of it, and a word where nobody listens. */
START_TEST(failed_output_is_said_but_for_a_closed_pipe)
{
    int closed[2];

    capture_begin(&capture, STDERR_FILENO);
    client_log_output_failure(&client, EPIPE);
    ck_assert_str_eq(capture_end(&capture), "");

    capture_begin(&capture, STDERR_FILENO);
    client_log_output_failure(&client, ENOSPC);
    ck_assert_int_eq(lines_of(capture_end(&capture)), 1);
    ck_assert_ptr_nonnull(strstr(capture.text, strerror(ENOSPC)));

    signal(SIGPIPE, SIG_IGN);
    ck_assert_int_eq(pipe(closed), 0);
    close(closed[0]);
    fflush(stdout);
    dup2(closed[1], STDOUT_FILENO);
    ck_assert_int_eq(client_print(&client, "x", 1), -1);
}
END_TEST

#define MUCH ((size_t)1 << 20)

/* Reads all there is slowly. Returns 0 when it is the pattern, all of it. */
static int read_pattern(void *descriptor)
{
    static char bytes[5000];
    size_t at = 0;
    ssize_t size;

    while ((size = read(*(int *)descriptor, bytes, sizeof bytes)) > 0)
        for (ssize_t i = 0; i < size; i++)
            if (bytes[i] != pattern_byte(at++))
                return 1;
    return at == MUCH ? 0 : 2;
}

/* Catches bytes that are lost or doubled where a pipe takes less than was offered, also one that
 * somebody has made non-blocking. */
START_TEST(all_is_printed_to_a_slow_reader)
{
    static char bytes[MUCH];
    int ends[2], status = 0;
    pid_t reader;

    for (size_t i = 0; i < MUCH; i++)
        bytes[i] = pattern_byte(i);
    ck_assert_int_eq(pipe(ends), 0);
    fflush(NULL);
    reader = fork();
    if (reader == 0) {
        close(ends[1]);
        _exit(read_pattern(&ends[0]));
    }
    close(ends[0]);
    dup2(ends[1], STDOUT_FILENO);
    close(ends[1]);
    set_nonblocking(STDOUT_FILENO);
    ck_assert_int_eq(client_print(&client, bytes, MUCH), 0);
    close(STDOUT_FILENO);
    ck_assert_int_eq(waitpid(reader, &status, 0), reader);
    ck_assert_int_eq(status, 0);
}
END_TEST

SUITE("client", a_connection_leads_to_the_listener_and_never_blocks,
      a_verbose_client_names_both_ends, the_first_address_that_answers_is_taken,
      no_connection_names_each_address_and_why, a_long_line_is_cut,
      a_full_unix_backlog_is_waited_for_within_the_timeout,
      no_timeout_is_a_wait_without_end,
      what_is_moved_is_counted, a_full_socket_is_no_error, a_line_is_said_with_the_name,
      failed_output_is_said_but_for_a_closed_pipe, all_is_printed_to_a_slow_reader)
