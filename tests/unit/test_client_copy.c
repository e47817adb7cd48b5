/* test_client_copy.c: standard input to a server, and the echo to standard output (client/copy.h). */
#include "suite.h"

#include "client/copy.h"

#include <signal.h>

#define MUCH ((size_t)3 << 20) /* more than all buffers on the way hold */

static struct capture printed, said;
static char expected[MUCH];

/* How a server echoes. */
struct manner {
    size_t wrong; /* the byte of the stream, from 1, that it changes; 0: none */
    size_t ends;  /* after so many bytes; 0: with the client's end of file */
    bool adds;    /* one byte at the end that nobody has sent */
};

static void serve(int descriptor, const struct manner *manner)
{
    static char bytes[65536];
    size_t sum = 0, room = sizeof bytes;
    ssize_t size;

    if (manner->ends > 0 && manner->ends < room)
        room = manner->ends;
    while ((size = recv(descriptor, bytes, room, 0)) > 0) {
        if (manner->wrong > sum && manner->wrong <= sum + (size_t)size)
            bytes[manner->wrong - sum - 1] ^= 1;
        sum += (size_t)size;
        if (send(descriptor, bytes, (size_t)size, 0) != size)
            return;
        if (manner->ends > 0 && sum >= manner->ends)
            return;
    }
    if (manner->adds)
        (void)send(descriptor, "!", 1, 0);
}

/* Copies `size` bytes of the pattern by a server with these manners. */
static enum client_status copy(struct manner manner, bool check, size_t size)
{
    struct echo_client client = {.name = "echoclient", .timeout = 20, .check = check};
    enum client_status status;
    FILE *input = tmpfile();
    pid_t server;
    int ends[2];

    for (size_t i = 0; i < MUCH; i++)
        expected[i] = pattern_byte(i);
    ck_assert_ptr_nonnull(input);
    ck_assert_uint_eq(fwrite(expected, 1, size, input), size);
    rewind(input);
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
    dup2(fileno(input), STDIN_FILENO);
    fclose(input);
    capture_begin(&said, STDERR_FILENO);
    capture_begin(&printed, STDOUT_FILENO);
    status = client_copy(&client);
    capture_end(&printed);
    capture_end(&said);
    close(ends[0]);
    waitpid(server, NULL, 0);
    ck_assert_uint_le(client.sent, size);
    return status;
}

/* Catches bytes that are lost, doubled or held back at the end, also of an empty input. */
START_TEST(what_goes_in_comes_out)
{
    static const size_t sizes[] = {0, 1, 4095, 4096, 4097, 60000};

    for (size_t i = 0; i < SUITE_LENGTH(sizes); i++)
        for (int check = 0; check < 2; check++) {
            ck_assert_int_eq(copy((struct manner){0}, check != 0, sizes[i]), CLIENT_ECHOED);
            ck_assert_mem_eq(printed.text, expected, sizes[i]);
            ck_assert_int_eq(printed.text[sizes[i]], '\0');
            ck_assert_str_eq(said.text, "");
        }
}
END_TEST

/* Catches a client that sends all before it reads: the buffers fill, and both sides wait. With
 * a check each byte is compared where the rings go round. */
START_TEST(more_than_the_buffers_hold_does_not_block)
{
    ck_assert_int_eq(copy((struct manner){0}, false, MUCH), CLIENT_ECHOED);
    ck_assert_int_eq(copy((struct manner){0}, true, MUCH), CLIENT_ECHOED);
    ck_assert_str_eq(said.text, "");
}
END_TEST

/* Catches a byte that is not compared, or counted wrongly; without a check none is. */
START_TEST(the_first_wrong_byte_is_named)
{
    static const size_t places[] = {1, 2, 4096, 65537, MUCH - 1, MUCH};

    for (size_t i = 0; i < SUITE_LENGTH(places); i++) {
        char line[100];
        ck_assert_int_eq(copy((struct manner){.wrong = places[i]}, true, MUCH), CLIENT_FAILED);
        snprintf(line, sizeof line, "echoclient: the echo differs at byte %zu\n", places[i]);
        ck_assert_str_eq(said.text, line);
    }
    ck_assert_int_eq(copy((struct manner){.wrong = 7}, false, MUCH), CLIENT_ECHOED);
}
END_TEST

/* Catches a byte behind the end that a check does not see. */
START_TEST(more_than_was_sent_is_extra)
{
    ck_assert_int_eq(copy((struct manner){.adds = true}, true, 10), CLIENT_FAILED);
    ck_assert_str_eq(said.text,
                     "echoclient: more came back than was sent: byte 11 is extra\n");
    ck_assert_int_eq(copy((struct manner){.adds = true}, false, 10), CLIENT_ECHOED);
    ck_assert_int_eq(printed.text[10], '!');
}
END_TEST

/* Catches an end before everything has come back that counts as success. */
START_TEST(an_early_end_is_a_failure)
{
    for (int check = 0; check < 2; check++) {
        ck_assert_int_eq(copy((struct manner){.ends = 5}, check != 0, 10), CLIENT_FAILED);
        ck_assert_int_eq(lines_of(said.text), 1);
        ck_assert_ptr_nonnull(strstr(said.text, " after 5 bytes, of 10 sent"));
    }
}
END_TEST

SUITE("client_copy", what_goes_in_comes_out, more_than_the_buffers_hold_does_not_block,
      the_first_wrong_byte_is_named, more_than_was_sent_is_extra, an_early_end_is_a_failure)
