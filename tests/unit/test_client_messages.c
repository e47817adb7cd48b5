/* test_client_messages.c: messages and what their replies are (client/messages.h). */
#include "suite.h"

#include "base/clock.h"
#include "client/messages.h"

#include <signal.h>

static struct capture printed, said;
static pid_t server;

/* What a server does with what it receives, but for sending it back. */
struct manner {
    const char *before, *after; /* words around what it was sent */
    size_t most;                /* of the bytes that it sends back */
    double pause;               /* in the middle of them */
    size_t wrong;               /* the byte of the stream, from 1, that it changes; 0: none */
    size_t ends;                /* after so many bytes; 0: never */
};

static bool send_all(int descriptor, const char *bytes, size_t size)
{
    return size == 0 || send(descriptor, bytes, size, 0) == (ssize_t)size;
}

static void serve(int descriptor, const struct manner *manner)
{
    static char bytes[65536];
    size_t sum = 0, size, half;
    ssize_t got;

    while ((got = recv(descriptor, bytes, sizeof bytes, 0)) > 0) {
        size = manner->most > 0 && (size_t)got > manner->most ? manner->most : (size_t)got;
        if (manner->wrong > sum && manner->wrong <= sum + size)
            bytes[manner->wrong - sum - 1] ^= 1;
        sum += size;
        half = manner->pause > 0 ? size / 2 : 0;
        if (!send_all(descriptor, manner->before, strlen(manner->before)) ||
            !send_all(descriptor, bytes, half))
            return;
        if (manner->pause > 0)
            clock_sleep(manner->pause);
        if (!send_all(descriptor, bytes + half, size - half) ||
            !send_all(descriptor, manner->after, strlen(manner->after)))
            return;
        if (manner->ends > 0 && sum >= manner->ends)
            return;
    }
}

/* Sends the messages to a server with these manners. What it prints and says is captured. */
static enum client_status exchange(struct manner manner, bool check, char *const *messages,
                                   size_t count, long repeat)
{
    struct echo_client client = {.name = "echoclient", .timeout = 20, .check = check};
    enum client_status status;
    int ends[2];

    if (manner.before == NULL)
        manner.before = "";
    if (manner.after == NULL)
        manner.after = "";
    signal(SIGPIPE, SIG_IGN);
    ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM, 0, ends), 0);
    fflush(NULL);
    server = fork();
    if (server == 0) {
        close(ends[0]);
        serve(ends[1], &manner);
        _exit(0);
    }
    close(ends[1]);
    set_nonblocking(ends[0]);
    client.descriptor = ends[0];
    capture_begin(&said, STDERR_FILENO);
    capture_begin(&printed, STDOUT_FILENO);
    status = client_messages(&client, messages, count, repeat);
    capture_end(&printed);
    capture_end(&said);
    close(ends[0]);
    while (waitpid(server, NULL, 0) == -1 && errno == EINTR)
        ;
    return status;
}

static char *const two[] = {"hello", "world\n"};

/* Catches replies out of order, without a line of their own, or with an empty one behind. */
START_TEST(each_reply_is_a_line)
{
    for (int check = 0; check < 2; check++) {
        ck_assert_int_eq(exchange((struct manner){0}, check != 0, two, 2, 3), CLIENT_ECHOED);
        ck_assert_str_eq(printed.text, "hello\nworld\nhello\nworld\nhello\nworld\n");
        ck_assert_str_eq(said.text, "");
    }
}
END_TEST

/* Catches words around an echo that are taken for the next reply. */
START_TEST(words_around_an_echo_belong_to_it)
{
    const struct manner manner = {.before = "<", .after = ">"};

    ck_assert_int_eq(exchange(manner, false, two, 1, 1), CLIENT_ECHOED);
    ck_assert_int_eq(printed.text[0], '<');
    ck_assert_str_eq(said.text, "");
}
END_TEST

/* Catches a short reply that is waited for until the timeout, or fails; and with a check one that
 * is taken for whole. */
START_TEST(silence_ends_a_short_reply_but_no_echo)
{
    const struct manner manner = {.most = 2}, cut = {.most = 2, .ends = 2};
    double begun = clock_seconds();

    ck_assert_int_eq(exchange(manner, false, two, 2, 1), CLIENT_ECHOED);
    ck_assert_str_eq(printed.text, "he\nwo\n");
    ck_assert(clock_seconds() - begun >= 2 * CLIENT_QUIET);
    ck_assert_int_eq(exchange(cut, true, two, 1, 1), CLIENT_FAILED);
    ck_assert_int_eq(lines_of(said.text), 1);
    ck_assert_ptr_nonnull(strstr(said.text, " after 2 of 5 bytes of the reply to message 1\n"));
}
END_TEST

/* Catches a checked echo that is given up because it comes slowly. */
START_TEST(a_checked_echo_may_come_slowly)
{
    const struct manner slow = {.pause = 2 * CLIENT_QUIET};

    ck_assert_int_eq(exchange(slow, true, two, 2, 1), CLIENT_ECHOED);
    ck_assert_str_eq(printed.text, "hello\nworld\n");
}
END_TEST

/* Catches a byte that is not compared, and one that is named wrongly. */
START_TEST(each_wrong_byte_is_named)
{
    for (size_t wrong = 1; wrong <= 11; wrong++) {
        const struct manner manner = {.wrong = wrong};
        char expected[100];
        ck_assert_int_eq(exchange(manner, true, two, 2, 1), CLIENT_FAILED);
        snprintf(expected, sizeof expected,
                 "echoclient: the echo of message %d differs at byte %zu\n", wrong > 5 ? 2 : 1,
                 wrong > 5 ? wrong - 5 : wrong);
        ck_assert_str_eq(said.text, expected);
        ck_assert_int_eq(exchange(manner, false, two, 2, 1), CLIENT_ECHOED);
    }
}
END_TEST

/* Catches bytes behind the last echo that a check does not see. */
START_TEST(more_than_was_sent_is_no_echo)
{
    const struct manner manner = {.after = "!"};

    ck_assert_int_eq(exchange(manner, true, two, 1, 1), CLIENT_FAILED);
    ck_assert_int_eq(lines_of(said.text), 1);
}
END_TEST

/* Catches an end of the server between two messages that is taken for a reply. */
START_TEST(a_server_that_ends_early_is_a_failure)
{
    const struct manner manner = {.ends = 5};

    ck_assert_int_eq(exchange(manner, false, two, 2, 1), CLIENT_FAILED);
    ck_assert_str_eq(printed.text, "hello\n");
    ck_assert_int_eq(lines_of(said.text), 1);
    ck_assert_ptr_nonnull(strstr(said.text, " after 0 of 6 bytes of the reply to message 2\n"));
}
END_TEST

/* Catches a client that only sends while the server only echoes: both would wait for ever. */
START_TEST(a_long_message_comes_back_whole)
{
    static char bytes[4 << 20];
    char *const messages[] = {bytes};

    memset(bytes, 'x', sizeof bytes - 1);
    ck_assert_int_eq(exchange((struct manner){0}, true, messages, 1, 1), CLIENT_ECHOED);
    ck_assert_str_eq(said.text, "");
}
END_TEST

SUITE("client_messages", each_reply_is_a_line, words_around_an_echo_belong_to_it,
      silence_ends_a_short_reply_but_no_echo, a_checked_echo_may_come_slowly,
      each_wrong_byte_is_named, more_than_was_sent_is_no_echo,
      a_server_that_ends_early_is_a_failure, a_long_message_comes_back_whole)
