/* test_log.c: one event, one line, and never a wait (log.h). Each test has its log to itself. */
#include "suite.h"

#include "base/clock.h"
#include "process/log.h"

#include <poll.h>
#include <signal.h>

static struct capture errors;

/* What the log writes to a file while `act` runs. */
static const char *written_by(void (*act)(void))
{
    capture_begin(&errors, STDERR_FILENO);
    act();
    return capture_end(&errors);
}

/* How often a text is there. */
static int count_of(const char *text, const char *part)
{
    int count = 0;

    for (const char *at = text; (at = strstr(at, part)) != NULL; at++)
        count++;
    return count;
}

static enum log_level level;

static void log_refusal(const char *who)
{
    if (log_shows_refusal())
        log_event(LOG_CLIENTS, "refuse from=%s", who);
}

static void say_at_each_level(void)
{
    log_open(level, -1);
    log_event(LOG_QUIET, "quiet");
    log_event(LOG_NORMAL, "normal");
    log_event(LOG_CLIENTS, "clients n=%d", 7);
    log_event(LOG_MESSAGES, "messages");
    log_refusal("somebody");
    log_error("cannot %s: %s", "listen", "reason");
}

/* Catches a line at the wrong level, and an error that -q hides. */
START_TEST(each_level_shows_its_lines)
{
    static const char *const expected[] = {
        "quiet\nforkecho: cannot listen: reason\n",
        "quiet\nnormal\nforkecho: cannot listen: reason\n",
        "quiet\nnormal\nclients n=7\nrefuse from=somebody\nforkecho: cannot listen: reason\n",
        ("quiet\nnormal\nclients n=7\nmessages\nrefuse from=somebody\n"
         "forkecho: cannot listen: reason\n"),
    };

    for (level = LOG_QUIET; level <= LOG_MESSAGES; level++) {
        ck_assert_str_eq(written_by(say_at_each_level), expected[level]);
        for (int other = LOG_QUIET; other <= LOG_MESSAGES; other++)
            ck_assert(log_shows((enum log_level)other) == (other <= (int)level));
    }
}
END_TEST

static void start_with_syslogd(void)
{
    log_open(LOG_CLIENTS, 3);
    log_event(LOG_NORMAL, "normal");
    log_error("cannot listen");
    log_started();
    log_event(LOG_NORMAL, "normal");
    log_error("cannot accept");
}

/* Catches a start that fails without a word to whoever tried it, and a standard error on which
 * errors go on after that. */
START_TEST(with_syslogd_errors_of_the_start_are_on_standard_error_too)
{
    ck_assert_str_eq(written_by(start_with_syslogd), "forkecho: cannot listen\n");
}
END_TEST

/* Sends what is written to standard error into a socket that keeps each write apart. */
static int open_apart(void)
{
    int ends[2];

    ck_assert_int_eq(socketpair(AF_UNIX, SOCK_DGRAM, 0, ends), 0);
    dup2(ends[1], STDERR_FILENO);
    close(ends[1]);
    log_open(LOG_CLIENTS, -1);
    return ends[0];
}

/* Catches a line in pieces, which others who write to the same log could part. */
START_TEST(a_line_is_one_write)
{
    int reader = open_apart();
    char line[2 * LOG_LINE_MAX], text[2 * LOG_LINE_MAX];
    ssize_t size;

    for (size_t length = 1; length < sizeof text; length += 37) {
        size_t expected = length < LOG_LINE_MAX ? length + 1 : LOG_LINE_MAX;
        memset(text, 'a', length);
        text[length] = '\0';
        log_event(LOG_NORMAL, "%s", text);
        size = recv(reader, line, sizeof line, MSG_DONTWAIT);
        ck_assert_int_eq(size, (ssize_t)expected);
        ck_assert_int_eq(line[size - 1], '\n');
        ck_assert_ptr_null(memchr(line, '\0', (size_t)size));
        ck_assert_ptr_eq(memchr(line, '\n', (size_t)size), line + size - 1);
        ck_assert_int_eq(recv(reader, line, sizeof line, MSG_DONTWAIT), -1);
    }
    log_error("cannot %s", text);
    size = recv(reader, line, sizeof line, MSG_DONTWAIT);
    ck_assert_int_eq(size, LOG_LINE_MAX);
    ck_assert_mem_eq(line, "forkecho: cannot aaa", 20);
}
END_TEST

/* Catches lines that are mixed where children write beside their parent. */
START_TEST(lines_of_several_processes_are_never_mixed)
{
    enum { WRITERS = 4, LINES = 200, LENGTH = 300 };
    int lines = 0, ends[2];
    char text[LENGTH + 1];
    FILE *reader;

    ck_assert_int_eq(pipe(ends), 0);
    reader = fdopen(ends[0], "r");
    ck_assert_ptr_nonnull(reader);
    for (int writer = 0; writer < WRITERS; writer++) {
        pid_t pid = fork();
        ck_assert_int_ne(pid, -1);
        if (pid != 0)
            continue;
        dup2(ends[1], STDERR_FILENO);
        log_open(LOG_NORMAL, -1);
        memset(text, 'a' + writer, LENGTH);
        text[LENGTH] = '\0';
        for (int i = 0; i < LINES; i++)
            log_event(LOG_NORMAL, "%s", text);
        _exit(0);
    }
    close(ends[1]);
    for (char line[LOG_LINE_MAX + 1]; fgets(line, sizeof line, reader) != NULL; lines++)
        if (strncmp(line, "log lost=", 9) != 0) {
            ck_assert_uint_eq(strlen(line), LENGTH + 1);
            ck_assert_uint_eq(strspn(line, (char[]){line[0], '\0'}), LENGTH);
        }
    ck_assert_int_gt(lines, 0);
    fclose(reader);
    while (wait(NULL) != -1)
        ;
}
END_TEST

static void flood_errors(void)
{
    level = LOG_QUIET;
    log_open(LOG_QUIET, -1);
    for (int i = 0; i < 1000; i++)
        log_error("cannot accept");
    (void)log_sum_up(clock_seconds() + 2);
}

static void flood_refusals(void)
{
    log_open(LOG_CLIENTS, -1);
    for (int i = 0; i < 10000; i++)
        log_refusal("somebody");
    (void)log_sum_up(clock_seconds() + 2);
}

/* The lines written, and those that a summary such as "more=N" counts, together. */
static unsigned long lines_counted(const char *text, const char *line, const char *summary)
{
    unsigned long counted = (unsigned long)count_of(text, line);

    for (const char *at = text; (at = strstr(at, summary)) != NULL;) {
        at += strlen(summary);
        counted += strtoul(at, NULL, 10);
    }
    return counted;
}

/* Catches a flood that a hostile client writes into the log, and lines that are lost from the
 * sum. A slow machine may need several seconds, each with its own lines and sum. */
START_TEST(floods_are_summed_up)
{
    const char *text = written_by(flood_errors);

    ck_assert_uint_eq(lines_counted(text, "forkecho: cannot accept\n", "errors more="), 1000);
    ck_assert_int_lt(lines_of(text), 500);
    text = written_by(flood_refusals);
    ck_assert_uint_eq(lines_counted(text, "refuse from=somebody\n", "refuse more="), 10000);
    ck_assert_int_lt(lines_of(text), 5000);
}
END_TEST

static void say_a_few(void)
{
    log_open(LOG_CLIENTS, -1);
    for (int i = 0; i < 3; i++) {
        log_error("cannot accept");
        log_refusal("somebody");
    }
    ck_assert_double_eq(log_sum_up(clock_seconds()), 0);
    ck_assert_double_eq(log_sum_up(clock_seconds() + 2), 0);
}

/* Catches a sum of nothing, and a wakeup that is asked for without need. */
START_TEST(a_few_lines_are_no_flood)
{
    ck_assert_int_eq(lines_of(written_by(say_a_few)), 6);
    ck_assert_int_eq(count_of(errors.text, "more="), 0);
}
END_TEST

static void settle_a_flood(void)
{
    double due, now;

    log_open(LOG_QUIET, -1);
    do { /* until a flood that falls into one second */
        for (int i = 0; i < 50; i++)
            log_error("cannot accept");
        now = clock_seconds();
        due = log_sum_up(now);
    } while (due < 0);
    ck_assert(due > now && due <= now + 1);
    ck_assert_double_eq(log_sum_up(due), 0);
    ck_assert_double_eq(log_sum_up(due + 10), 0);
}

/* Catches a sum that nobody is asked to write, or that is written twice. */
START_TEST(a_flood_is_due_within_a_second_and_told_once)
{
    unsigned long counted;

    written_by(settle_a_flood);
    counted = lines_counted(errors.text, "forkecho: cannot accept\n", "errors more=");
    ck_assert_uint_gt(counted, 0);
    ck_assert_uint_eq(counted % 50, 0);
    ck_assert_int_ge(count_of(errors.text, "errors more="), 1);
}
END_TEST

/* How standard error may reach a log that nobody reads. */
enum way { WAY_PIPE, WAY_NONBLOCKING_PIPE, WAY_SOCKET, WAYS };

/* Makes standard error a way that fills up. Returns the reader's end. */
static int open_way(enum way way)
{
    int ends[2];

    if (way == WAY_SOCKET)
        ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM, 0, ends), 0);
    else
        ck_assert_int_eq(pipe(ends), 0);
    if (way == WAY_NONBLOCKING_PIPE)
        set_nonblocking(ends[1]);
    dup2(ends[1], STDERR_FILENO);
    close(ends[1]);
    return ends[0];
}

/* Reads what is there now, without waiting; adds it to `text` behind `used`. */
static size_t drain(int reader, char *text, size_t used, size_t size)
{
    struct pollfd ready = {reader, POLLIN, 0};

    while (used + 1 < size && poll(&ready, 1, 0) == 1) {
        ssize_t more = read(reader, text + used, size - 1 - used);
        if (more <= 0)
            break;
        used += (size_t)more;
    }
    text[used] = '\0';
    return used;
}

/* Catches a server that its log stops, and lines lost without a word. */
START_TEST(a_full_log_never_blocks_and_lost_lines_are_told)
{
    enum { LINES = 20000 };
    static char text[2 << 20];

    for (int way = 0; way < WAYS; way++) {
        int reader = open_way((enum way)way);
        size_t used;
        log_open(LOG_NORMAL, -1);
        for (int i = 0; i < LINES; i++)
            log_event(LOG_NORMAL, "event number=%d %s", i, "with some more text in the line");
        used = drain(reader, text, 0, sizeof text);
        ck_assert_int_gt(lines_of(text), 0);
        ck_assert_int_lt(lines_of(text), LINES);
        log_event(LOG_NORMAL, "last");
        drain(reader, text, used, sizeof text);
        ck_assert_uint_eq(lines_counted(text, "event number=", "log lost="), LINES);
        ck_assert_int_eq(strncmp(text + used, "log lost=", 9), 0);
        ck_assert_str_eq(strchr(text + used, '\n') + 1, "last\n");
        log_event(LOG_NORMAL, "after");
        drain(reader, text, 0, sizeof text);
        ck_assert_str_eq(text, "after\n");
        close(reader);
    }
}
END_TEST

/* Catches O_NONBLOCK set on a description that others share: a shell or a service manager
 * would suddenly see EAGAIN on its own output. */
START_TEST(the_flags_of_a_shared_log_are_not_changed)
{
    for (int way = 0; way < WAYS; way++) {
        int reader = open_way((enum way)way), shared = dup(STDERR_FILENO);
        int before = fcntl(shared, F_GETFL);
        log_open(LOG_NORMAL, -1);
        log_event(LOG_NORMAL, "event");
        ck_assert_int_eq(fcntl(shared, F_GETFL), before);
        close(shared);
        close(reader);
    }
}
END_TEST

/* Catches a server that ends, or waits, because the reader of its log is gone. */
START_TEST(a_broken_log_is_survived)
{
    signal(SIGPIPE, SIG_IGN); /* as servers have it */
    for (int way = 0; way < WAYS; way++) {
        int reader = open_way((enum way)way);
        log_open(LOG_NORMAL, -1);
        close(reader);
        for (int i = 0; i < 100; i++)
            log_event(LOG_NORMAL, "event");
    }
    close(STDERR_FILENO);
    log_open(LOG_NORMAL, -1);
    log_event(LOG_NORMAL, "event");
}
END_TEST

/* Catches a log line that changes the errno its caller is about to look at. */
START_TEST(errno_survives_a_line)
{
    int reader = open_way(WAY_PIPE);

    log_open(LOG_NORMAL, -1);
    for (int i = 0; i < 5000; i++) { /* also when the pipe is full */
        errno = ERANGE;
        log_event(LOG_NORMAL, "event with some text");
        if (errno != ERANGE)
            ck_abort_msg("line %d: %s", i, strerror(errno));
    }
    close(reader);
}
END_TEST

static void log_some_errors(void)
{
    int error;

    errno = ENOENT;
    log_error("cannot open '%s': %s", "a\nb", strerror(ENOENT));
    log_event(LOG_NORMAL, "event");
    ck_assert_str_eq(log_last_error(&error), "cannot open 'a\nb': No such file or directory");
    ck_assert_int_eq(error, ENOENT);
    log_error("it is no number");
    ck_assert_str_eq(log_last_error(&error), "it is no number");
    ck_assert_int_eq(error, EINVAL);
}

/* Catches a service manager that is told of another failure than the log, or of a number that
 * happened to be left in errno. */
START_TEST(the_last_error_is_kept)
{
    ck_assert_int_eq(lines_of(written_by(log_some_errors)), 3);
}
END_TEST

/* Catches a prefix that belongs to a terminal in a file: service managers add their own time. */
START_TEST(lines_in_a_file_begin_with_the_event)
{
    level = LOG_NORMAL;
    written_by(say_at_each_level);
    ck_assert_int_eq(strncmp(errors.text, "quiet\nnormal\n", 13), 0);
}
END_TEST

SUITE("log", each_level_shows_its_lines,
      with_syslogd_errors_of_the_start_are_on_standard_error_too, a_line_is_one_write,
      lines_of_several_processes_are_never_mixed, floods_are_summed_up, a_few_lines_are_no_flood,
      a_flood_is_due_within_a_second_and_told_once,
      a_full_log_never_blocks_and_lost_lines_are_told, the_flags_of_a_shared_log_are_not_changed,
      a_broken_log_is_survived, errno_survives_a_line, the_last_error_is_kept,
      lines_in_a_file_begin_with_the_event)
