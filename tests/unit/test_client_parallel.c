/* test_client_parallel.c: several clients at once, each a process, and one output
 * (client/parallel.h). What they do here is to write, and to wait for each other. */
#include "suite.h"

#include "client/parallel.h"

#include <signal.h>
#include <sys/resource.h>

/* So much that a pipe does not hold it: who has written it knows that some of it was read. */
#define MUCH 300000

static struct echo_client client = {.name = "echoclient", .timeout = 12.5, .check = true,
                               .descriptor = -1};
static struct capture output, errors;
static const char *said;

/* Runs them, and takes what they wrote and what was said. */
static enum client_status run(size_t count, client_work *work, void *data)
{
    enum client_status status;

    signal(SIGPIPE, SIG_IGN); /* as echoclient has it */
    capture_begin(&errors, STDERR_FILENO);
    capture_begin(&output, STDOUT_FILENO);
    status = client_parallel(&client, count, work, data);
    capture_end(&output);
    said = capture_end(&errors);
    return status;
}

/* ---- in a worker, which has no assertions: its status tells ---- */

static unsigned number_of(const struct echo_client *worker)
{
    const char *number = strrchr(worker->name, ' ');

    return number != NULL ? (unsigned)strtoul(number, NULL, 10) : 0;
}

static bool write_all(const char *bytes, size_t size)
{
    while (size > 0) {
        ssize_t written = write(STDOUT_FILENO, bytes, size);
        if (written <= 0)
            return false;
        bytes += written;
        size -= (size_t)written;
    }
    return true;
}

static bool write_text(const char *text)
{
    return write_all(text, strlen(text));
}

/* Writes so many of the same byte. */
static bool write_many(char byte, size_t count)
{
    static char bytes[MUCH];

    memset(bytes, byte, count);
    return write_all(bytes, count);
}

static bool signal_on(const int *ends)
{
    return write(ends[1], "", 1) == 1;
}

static bool await_on(const int *ends)
{
    char byte;

    return read(ends[0], &byte, 1) == 1;
}

/* ---- who they are ---- */

static enum client_status say_name(struct echo_client *worker, void *data)
{
    bool same = data == &client && worker->check && !worker->verbose && worker->descriptor == -1 &&
                worker->timeout >= 12.5 && worker->timeout <= 12.5;

    worker->sent = 7;
    return same && client_print(worker, worker->name, strlen(worker->name)) == 0 &&
                   client_print(worker, "\n", 1) == 0
               ? CLIENT_ECHOED
               : CLIENT_FAILED;
}

/* Catches two clients of one number, one that is never started, a setting that they do not have,
 * and the name of one of them in lines that are of all. */
START_TEST(each_is_a_copy_with_a_number)
{
    char line[64];

    ck_assert_int_eq(run(12, say_name, &client), CLIENT_ECHOED);
    ck_assert_int_eq(lines_of(output.text), 12);
    for (int number = 1; number <= 12; number++) {
        snprintf(line, sizeof line, "echoclient %d\n", number);
        ck_assert_msg(strstr(output.text, line) != NULL, "no %s in %s", line, output.text);
    }
    ck_assert_str_eq(said, "");
    ck_assert_str_eq(client.name, "echoclient");
    ck_assert_uint_eq(client.sent, 0);
}
END_TEST

/* Catches a name of which the number is cut: then nobody knows whose line it is. */
START_TEST(a_long_name_keeps_its_number)
{
    memset(client.name, 'x', sizeof client.name - 1);
    ck_assert_int_eq(run(2, say_name, &client), CLIENT_ECHOED);
    ck_assert_ptr_nonnull(strstr(output.text, "x 1\n"));
    ck_assert_ptr_nonnull(strstr(output.text, "x 2\n"));
}
END_TEST

enum { RING = 10 };

static enum client_status go_round(struct echo_client *worker, void *data)
{
    const int (*pipes)[2] = data;
    unsigned place = number_of(worker) - 1;

    if (place >= RING || !signal_on(pipes[(place + RING - 1) % RING]) || !await_on(pipes[place]))
        return CLIENT_FAILED;
    return CLIENT_ECHOED;
}

/* Catches clients that run one after the other: here each waits for the next one. */
START_TEST(all_run_at_once)
{
    int pipes[RING][2];

    for (size_t i = 0; i < RING; i++)
        ck_assert_int_eq(pipe(pipes[i]), 0);
    ck_assert_int_eq(run(RING, go_round, pipes), CLIENT_ECHOED);
}
END_TEST

static enum client_status count_descriptors(struct echo_client *worker, void *data)
{
    (void)worker;
    return open_descriptors() == *(int *)data ? CLIENT_ECHOED : CLIENT_FAILED;
}

/* Catches a client that keeps an end of another's pipe, so that it does not break when its reader
 * is gone; and what is left open at the end, or a zombie. */
START_TEST(nobody_keeps_a_pipe)
{
    int before;

    signal(SIGPIPE, SIG_IGN);
    before = open_descriptors();
    ck_assert_int_eq(client_parallel(&client, 8, count_descriptors, &before), CLIENT_ECHOED);
    ck_assert_int_eq(open_descriptors(), before);
    ck_assert_int_eq(waitpid(-1, NULL, 0), -1);
    ck_assert_int_eq(errno, ECHILD);
}
END_TEST

/* ---- their lines ---- */

/* The first begins a line, and the second writes one of its own before that goes on. Each waits
 * until some of what it wrote must have been read. */
static enum client_status interleave(struct echo_client *worker, void *data)
{
    const int (*pipes)[2] = data;
    bool good;

    if (number_of(worker) == 1)
        good = write_many('a', MUCH) && signal_on(pipes[0]) && await_on(pipes[1]) &&
               write_text("A\n");
    else
        good = await_on(pipes[0]) && write_many('b', MUCH) && write_text("B\n") &&
               signal_on(pipes[1]);
    return good ? CLIENT_ECHOED : CLIENT_FAILED;
}

/* Reads the end of a pipe to its end; returns how much there was, of which `bytes` has room. */
static size_t read_all(int descriptor, char *bytes, size_t room)
{
    size_t size = 0;
    ssize_t more;

    while (size < room && (more = read(descriptor, bytes + size, room - size)) > 0)
        size += (size_t)more;
    return size;
}

/* Runs two of them, in a process of its own, whose standard output is a pipe. Returns how much
 * they wrote into `bytes`. */
static size_t run_into(client_work *work, void *data, char *bytes, size_t room)
{
    int ends[2], status;
    size_t size;
    pid_t pid;

    ck_assert_int_eq(pipe(ends), 0);
    pid = fork();
    ck_assert_int_ne(pid, -1);
    if (pid == 0) {
        dup2(ends[1], STDOUT_FILENO);
        close(ends[0]);
        close(ends[1]);
        _exit((int)client_parallel(&client, 2, work, data));
    }
    close(ends[1]);
    size = read_all(ends[0], bytes, room);
    close(ends[0]);
    ck_assert_int_eq(waitpid(pid, &status, 0), pid);
    ck_assert_int_eq(status, 0);
    return size;
}

/* Catches a line with another's in the middle, as it came in several reads, and one that is cut
 * where a pipe, or a buffer, is full. */
START_TEST(long_lines_stay_whole)
{
    static char bytes[3 * MUCH];
    int pipes[2][2];
    size_t size, first;
    char letter;

    ck_assert_int_eq(pipe(pipes[0]), 0);
    ck_assert_int_eq(pipe(pipes[1]), 0);
    size = run_into(interleave, pipes, bytes, sizeof bytes);
    ck_assert_uint_eq(size, 2 * (MUCH + 2));
    letter = bytes[0];
    for (first = 0; bytes[first] == letter; first++)
        ;
    ck_assert_uint_eq(first, MUCH);
    letter = letter == 'a' ? 'b' : 'a'; /* of the other line */
    ck_assert_mem_eq(bytes + first, letter == 'b' ? "A\n" : "B\n", 2);
    for (first += 2; bytes[first] == letter; first++)
        ;
    ck_assert_uint_eq(first, 2 * MUCH + 2);
    ck_assert_mem_eq(bytes + first, letter == 'a' ? "A\n" : "B\n", 2);
}
END_TEST

/* The first writes a line and the beginning of another, which it goes on with only when it has
 * been told that the line was read. */
static enum client_status begin_a_second_line(struct echo_client *worker, void *data)
{
    const int (*pipes)[2] = data;

    if (number_of(worker) == 2)
        return CLIENT_ECHOED;
    return write_text("one\ntw") && await_on(pipes[0]) && write_text("o\n") ? CLIENT_ECHOED
                                                                            : CLIENT_FAILED;
}

/* Catches a whole line that is held back until the client ends, or until the next one is whole: who
 * reads along would wait for it. */
START_TEST(a_line_is_passed_on_when_it_is_whole)
{
    int told[1][2], ends[2], status;
    char bytes[64];
    pid_t pid;

    ck_assert_int_eq(pipe(told[0]), 0);
    ck_assert_int_eq(pipe(ends), 0);
    pid = fork();
    ck_assert_int_ne(pid, -1);
    if (pid == 0) {
        dup2(ends[1], STDOUT_FILENO);
        close(ends[1]);
        _exit((int)client_parallel(&client, 2, begin_a_second_line, told));
    }
    close(ends[1]);
    ck_assert_int_eq(read(ends[0], bytes, sizeof bytes), 4);
    ck_assert_mem_eq(bytes, "one\n", 4);
    ck_assert(signal_on(told[0]));
    ck_assert_uint_eq(read_all(ends[0], bytes, sizeof bytes), 4);
    ck_assert_mem_eq(bytes, "two\n", 4);
    ck_assert_int_eq(waitpid(pid, &status, 0), pid);
    ck_assert_int_eq(status, 0);
}
END_TEST

static enum client_status write_bytes(struct echo_client *worker, void *data)
{
    (void)data;
    if (number_of(worker) == 1)
        return write_all("\0\n\n\377 no end", 11) ? CLIENT_ECHOED : CLIENT_FAILED;
    return CLIENT_ECHOED; /* says nothing at all */
}

/* Catches a last line that is lost as nothing ends it, an end that was not sent, and bytes that a
 * text cannot have. */
START_TEST(bytes_come_as_they_are)
{
    char bytes[64];

    ck_assert_uint_eq(run_into(write_bytes, NULL, bytes, sizeof bytes), 11);
    ck_assert_mem_eq(bytes, "\0\n\n\377 no end", 11);
}
END_TEST

/* ---- how they end ---- */

static enum client_status end_as_told(struct echo_client *worker, void *data)
{
    return ((const enum client_status *)data)[number_of(worker) - 1];
}

/* Catches the status of the last, or of the first, for that of all. */
START_TEST(the_worst_status_is_that_of_all)
{
    static const struct {
        enum client_status each[3], worst;
    } cases[] = {
        {{CLIENT_ECHOED, CLIENT_ECHOED, CLIENT_ECHOED}, CLIENT_ECHOED},
        {{CLIENT_FAILED, CLIENT_ECHOED, CLIENT_ECHOED}, CLIENT_FAILED},
        {{CLIENT_ECHOED, CLIENT_UNREACHED, CLIENT_FAILED}, CLIENT_UNREACHED},
        {{CLIENT_ECHOED, CLIENT_ECHOED, CLIENT_UNREACHED}, CLIENT_UNREACHED},
    };

    for (size_t i = 0; i < SUITE_LENGTH(cases); i++) {
        enum client_status each[3];
        memcpy(each, cases[i].each, sizeof each);
        ck_assert_int_eq(run(3, end_as_told, each), cases[i].worst);
        ck_assert_str_eq(said, ""); /* each has said it itself */
    }
}
END_TEST

/* Catches statuses that are lost where the starter has SIGCHLD ignored: the system then reaps. */
START_TEST(an_ignored_sigchld_hides_no_status)
{
    enum client_status each[] = {CLIENT_ECHOED, CLIENT_UNREACHED};

    signal(SIGCHLD, SIG_IGN);
    ck_assert_int_eq(run(2, end_as_told, each), CLIENT_UNREACHED);
}
END_TEST

static enum client_status die(struct echo_client *worker, void *data)
{
    (void)data;
    if (!write_text(number_of(worker) == 2 ? "dies\n" : "lives\n"))
        return CLIENT_FAILED;
    if (number_of(worker) == 2)
        kill(getpid(), SIGKILL);
    return CLIENT_ECHOED;
}

/* Catches a client that has crashed and counts as echoed, and others that go with it. */
START_TEST(one_that_is_killed_has_failed_and_is_named)
{
    ck_assert_int_eq(run(3, die, NULL), CLIENT_FAILED);
    ck_assert_str_eq(said, "echoclient: client 2 was ended by signal 9\n");
    ck_assert_int_eq(lines_of(output.text), 3);
    ck_assert_ptr_nonnull(strstr(output.text, "dies\n"));
}
END_TEST

/* Writes a line, and then works for ever. */
static enum client_status write_and_stay(struct echo_client *worker, void *data)
{
    (void)worker;
    (void)data;
    while (write_text("line\n"))
        pause();
    return CLIENT_FAILED;
}

/* Runs such clients while standard output is `descriptor`. */
static enum client_status stay_into(int descriptor)
{
    int saved = dup(STDOUT_FILENO);
    enum client_status status;

    signal(SIGPIPE, SIG_IGN);
    signal(SIGTERM, SIG_DFL); /* check has a handler, which ends all of a test */
    capture_begin(&errors, STDERR_FILENO);
    dup2(descriptor, STDOUT_FILENO);
    close(descriptor);
    status = client_parallel(&client, 3, write_and_stay, NULL);
    dup2(saved, STDOUT_FILENO);
    close(saved);
    said = capture_end(&errors);
    return status;
}

/* Catches clients that go on for a reader who has gone, a word about it, as in `| head`, and a
 * success that nobody has seen. */
START_TEST(they_end_quietly_when_nobody_reads)
{
    int ends[2];

    ck_assert_int_eq(pipe(ends), 0);
    close(ends[0]);
    ck_assert_int_eq(stay_into(ends[1]), CLIENT_FAILED);
    ck_assert_str_eq(said, "");
    ck_assert_int_eq(waitpid(-1, NULL, 0), -1);
}
END_TEST

/* Catches an output that is lost without a word, one that is told once a client, and the clients
 * that were ended for it told as crashes. */
START_TEST(an_output_that_fails_is_said_once)
{
    int full = open("/dev/full", O_WRONLY);

    if (full == -1)
        return; /* a system that has no such device */
    ck_assert_int_eq(stay_into(full), CLIENT_FAILED);
    ck_assert_int_eq(lines_of(said), 1);
    ck_assert_ptr_nonnull(strstr(said, "echoclient: cannot write to standard output: "));
}
END_TEST

/* Catches a client that is not there and is not missed, or takes those that are there with it. */
START_TEST(where_one_cannot_start_the_others_work)
{
    struct rlimit before, limit;
    char expected[128];
    int room[3] = {0}, status;

    ck_assert_int_eq(getrlimit(RLIMIT_NOFILE, &before), 0);
    signal(SIGPIPE, SIG_IGN);
    capture_begin(&errors, STDERR_FILENO);
    capture_begin(&output, STDOUT_FILENO);
    for (size_t i = 0; i < SUITE_LENGTH(room); i++) /* each keeps one, and begins with two */
        ck_assert_int_ne(room[i] = dup(STDIN_FILENO), -1);
    limit = before;
    limit.rlim_cur = (rlim_t)room[SUITE_LENGTH(room) - 1] + 1;
    for (size_t i = 0; i < SUITE_LENGTH(room); i++)
        close(room[i]);
    ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &limit), 0);
    status = (int)client_parallel(&client, 5, say_name, &client);
    ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &before), 0);
    capture_end(&output);
    capture_end(&errors);
    ck_assert_int_eq(status, CLIENT_FAILED);
    snprintf(expected, sizeof expected, "echoclient: cannot start client 3 of 5: %s\n",
             strerror(EMFILE));
    ck_assert_str_eq(errors.text, expected);
    ck_assert_int_eq(lines_of(output.text), 2);
}
END_TEST

SUITE("client_parallel", each_is_a_copy_with_a_number, a_long_name_keeps_its_number,
      all_run_at_once, nobody_keeps_a_pipe, long_lines_stay_whole,
      a_line_is_passed_on_when_it_is_whole, bytes_come_as_they_are, the_worst_status_is_that_of_all,
      an_ignored_sigchld_hides_no_status, one_that_is_killed_has_failed_and_is_named,
      they_end_quietly_when_nobody_reads, an_output_that_fails_is_said_once,
      where_one_cannot_start_the_others_work)
