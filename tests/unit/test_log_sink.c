/* test_log_sink.c: where lines go, what stands before them, and that none waits (log_sink.h). */
#define _XOPEN_SOURCE 700 /* posix_openpt */
#include "suite.h"

#include "process/log_sink.h"

#include <signal.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <time.h>

#define PATIENCE (SUITE_TIMEOUT / 4) /* seconds until a write is taken for one that waits */
#define NOBODY 65534 /* any number but root's will do */
#define LINE "event number=1 with some more text in the line"

static bool write_line(void)
{
    return log_sink_write(SINK_STANDARD, PRIORITY_NOTICE, LINE);
}

/* More lines than any buffer takes. */
#define LINES_MAX 100000

/* Writes until nothing is taken any more. Returns how many lines were, -1: there was no end. */
static int write_until_full(void)
{
    int lines = 0;

    for (int refused = 0; refused < 3; lines++) {
        if (lines == LINES_MAX)
            return -1;
        refused += !write_line();
    }
    return lines;
}

/* What stands before a line of this priority where `reader` reads it. */
static const char *prefix_of(int reader, enum log_sink sink, enum log_priority priority)
{
    static char line[LOG_LINE_MAX + 1];
    ssize_t length;
    char *text;

    ck_assert(log_sink_write(sink, priority, LINE));
    length = read(reader, line, LOG_LINE_MAX);
    ck_assert_int_gt(length, 0);
    line[length] = '\0';
    text = strstr(line, LINE);
    ck_assert_ptr_nonnull(text);
    *text = '\0';
    return line;
}

/* ---- the kinds of standard error ---- */

enum kind { KIND_PIPE, KIND_SOCKET, KIND_TERMINAL, KINDS };

/* Makes standard error one of them, for this process and those that it forks. Returns the
 * reader's end. */
static int open_kind(enum kind kind)
{
    int ends[2];

    if (kind == KIND_TERMINAL) {
        ends[0] = posix_openpt(O_RDWR | O_NOCTTY);
        if (ends[0] == -1 || grantpt(ends[0]) == -1 || unlockpt(ends[0]) == -1)
            return -1;
        ends[1] = open(ptsname(ends[0]), O_RDWR | O_NOCTTY);
    } else if ((kind == KIND_SOCKET ? socketpair(AF_UNIX, SOCK_STREAM, 0, ends) : pipe(ends)) ==
               -1) {
        return -1;
    }
    dup2(ends[1], STDERR_FILENO);
    close(ends[1]);
    return ends[0];
}

/* From now on nothing can be opened anew: not by us, nor by its owner, which we may be. */
static void deny_opening(void)
{
    (void)fchmod(STDERR_FILENO, 0);
    if (geteuid() == 0 && (setgid(NOBODY) == -1 || setuid(NOBODY) == -1))
        _exit(EXIT_FAILURE);
}

/* Fills it up. A write that waits is ended by the alarm, and so is the process. Returns 0, or
 * what is wrong. */
static int fill(bool denied, enum kind kind)
{
    if (open_kind(kind) == -1)
        return 1;
    alarm(PATIENCE);
    if (denied)
        deny_opening();
    log_sink_open_standard();
    return write_until_full() > 10 ? 0 : 2;
}

static int fill_own(void *kind)
{
    return fill(false, *(enum kind *)kind);
}

static int fill_denied(void *kind)
{
    return fill(true, *(enum kind *)kind);
}

/* Catches a server that its log stops: nobody reads, and what there is may belong to somebody
 * else. A terminal has room for less than a line in the end. */
START_TEST(a_full_log_refuses_a_line_rather_than_waits)
{
    for (enum kind kind = KIND_PIPE; kind < KINDS; kind++) {
        ck_assert_msg(suite_in_child(fill_own, &kind) == 0, "%d", kind);
        ck_assert_msg(suite_in_child(fill_denied, &kind) == 0, "%d, denied", kind);
    }
}
END_TEST

/* A shell takes the flag off its terminal whenever it prompts. */
static int take_flag_off(void *data)
{
    if (open_kind(*(enum kind *)data) == -1)
        return 1;
    alarm(PATIENCE);
    deny_opening();
    log_sink_open_standard();
    if (write_until_full() == -1)
        return 2;
    (void)fcntl(STDERR_FILENO, F_SETFL, fcntl(STDERR_FILENO, F_GETFL) & ~O_NONBLOCK);
    /* The kernel makes room in a terminal when it comes to that: so until nothing is taken again. */
    return write_until_full() == -1 ? 3 : 0;
}

/* Catches a flag that is set once, and trusted for ever though it is not ours. */
START_TEST(a_shared_description_may_be_made_blocking_again)
{
    enum kind kinds[] = {KIND_PIPE, KIND_TERMINAL};

    for (size_t i = 0; i < SUITE_LENGTH(kinds); i++)
        ck_assert_int_eq(suite_in_child(take_flag_off, &kinds[i]), 0);
}
END_TEST

/* In a session of its own, whose terminal is standard error. Returns 0, or what is wrong. */
static int use_controlling_terminal(void *unused)
{
    int reader, shared;

    (void)unused;
    if (setsid() == -1 || (reader = open_kind(KIND_TERMINAL)) == -1)
        return 1;
    /* Without O_NOCTTY: it becomes the controlling one, here as in most systems. */
    close(open(ptsname(reader), O_RDWR));
    if (tcgetpgrp(STDERR_FILENO) == -1)
        return 2;
    shared = dup(STDERR_FILENO);
    deny_opening();
    log_sink_open_standard();
    if (!write_line() || (fcntl(shared, F_GETFL) & O_NONBLOCK) != 0)
        return 3;
    return (fcntl(STDERR_FILENO, F_GETFL) & O_NONBLOCK) != 0 ? 0 : 4;
}

/* Catches a shell that sees EAGAIN on its terminal after sudo -u nobody forkecho. */
START_TEST(the_controlling_terminal_is_opened_anew_whoever_owns_it)
{
    ck_assert_int_eq(suite_in_child(use_controlling_terminal, NULL), 0);
}
END_TEST

/* Catches a reader that is gone, and ends the server or holds it up. */
START_TEST(what_nobody_can_read_is_refused)
{
    signal(SIGPIPE, SIG_IGN); /* as servers have it */
    for (enum kind kind = KIND_PIPE; kind < KINDS; kind++) {
        int reader = open_kind(kind);
        ck_assert_int_ne(reader, -1);
        log_sink_open_standard();
        ck_assert(write_line());
        close(reader);
        ck_assert_msg(!write_line(), "%d", kind);
    }
    close(STDERR_FILENO);
    log_sink_open_standard();
    ck_assert(!write_line());
}
END_TEST

/* Catches a log that goes on as what standard error was before it was redirected, and one that
 * is opened again although it is the same. */
START_TEST(a_redirected_standard_error_is_looked_at_again)
{
    int terminal = open_kind(KIND_TERMINAL), pipe, flags;

    ck_assert_int_ne(terminal, -1);
    log_sink_open_standard();
    ck_assert_str_ne(prefix_of(terminal, SINK_STANDARD, PRIORITY_NOTICE), "");
    flags = fcntl(STDERR_FILENO, F_GETFL) & ~O_NONBLOCK;
    ck_assert_int_ne(fcntl(STDERR_FILENO, F_SETFL, flags), -1);
    log_sink_open_standard();
    ck_assert_int_eq(fcntl(STDERR_FILENO, F_GETFL) & O_NONBLOCK, 0);
    pipe = open_kind(KIND_PIPE);
    log_sink_open_standard();
    ck_assert_str_eq(prefix_of(pipe, SINK_STANDARD, PRIORITY_NOTICE), "");
    close(terminal);
    close(pipe);
}
END_TEST

/* ---- prefixes ---- */

/* Whether `text` is what strftime makes of some second since `earliest`. */
static bool is_now(const char *text, const char *format, time_t earliest)
{
    for (time_t at = earliest; at <= time(NULL); at++) {
        char expected[64];
        struct tm local;
        localtime_r(&at, &local);
        strftime(expected, sizeof expected, format, &local);
        if (strcmp(text, expected) == 0)
            return true;
    }
    return false;
}

/* Catches a time where something else adds one, and a line without any where nothing does. */
START_TEST(each_kind_has_its_prefix)
{
    static const char *const expected[] = {[KIND_PIPE] = "", [KIND_SOCKET] = "",
                                           [KIND_TERMINAL] = "%Y-%m-%d %H:%M:%S "};
    time_t before = time(NULL);

    for (enum kind kind = KIND_PIPE; kind < KINDS; kind++) {
        int reader = open_kind(kind);
        ck_assert_int_ne(reader, -1);
        log_sink_open_standard();
        ck_assert(is_now(prefix_of(reader, SINK_STANDARD, PRIORITY_NOTICE), expected[kind], before));
        close(reader);
    }
}
END_TEST

/* Catches the journal's lines without their priority, and a priority on a pipe to somebody
 * else: $JOURNAL_STREAM is inherited also by those whose output goes elsewhere. */
START_TEST(only_the_journal_gets_priorities)
{
    struct stat status;
    char stream[64];
    int reader = open_kind(KIND_SOCKET);

    ck_assert_int_ne(reader, -1);
    ck_assert_int_eq(fstat(STDERR_FILENO, &status), 0);
    snprintf(stream, sizeof stream, "%llu:%llu", (unsigned long long)status.st_dev,
             (unsigned long long)status.st_ino);
    setenv("JOURNAL_STREAM", stream, 1);
    log_sink_open_standard();
    ck_assert_str_eq(prefix_of(reader, SINK_STANDARD, PRIORITY_ERROR), "<3>");
    ck_assert_str_eq(prefix_of(reader, SINK_STANDARD, PRIORITY_DEBUG), "<7>");
    setenv("JOURNAL_STREAM", "1:1", 1);
    log_sink_open_standard();
    ck_assert_str_eq(prefix_of(reader, SINK_STANDARD, PRIORITY_ERROR), "");
}
END_TEST

/* ---- syslogd ---- */

/* Catches a facility that is another one's number, or an unknown one that is taken for any. */
START_TEST(facilities_have_the_numbers_of_rfc_3164)
{
    ck_assert_int_eq(log_sink_facility("user"), 1);
    ck_assert_int_eq(log_sink_facility("daemon"), 3);
    ck_assert_int_eq(log_sink_facility("local0"), 16);
    ck_assert_int_eq(log_sink_facility("local7"), 23);
    ck_assert_int_eq(log_sink_facility("local8"), -1);
    ck_assert_int_eq(log_sink_facility("kern"), -1);
    ck_assert_int_eq(log_sink_facility(""), -1);
}
END_TEST

/* Catches a header that syslogd does not understand. */
START_TEST(a_line_for_syslogd_has_its_header)
{
    char format[64];
    time_t before = time(NULL);
    int ends[2];

    ck_assert_int_eq(log_sink_open_syslog("forkecho", 3), 0);
    ck_assert_int_eq(socketpair(AF_UNIX, SOCK_DGRAM, 0, ends), 0);
    log_sink_moved(ends[0]);
    snprintf(format, sizeof format, "<29>%%b %%e %%H:%%M:%%S forkecho[%ld]: ", (long)getpid());
    ck_assert_msg(is_now(prefix_of(ends[1], SINK_SYSLOG, PRIORITY_NOTICE), format, before), "%s",
                  prefix_of(ends[1], SINK_SYSLOG, PRIORITY_NOTICE));
    ck_assert_int_eq(strncmp(prefix_of(ends[1], SINK_SYSLOG, PRIORITY_ERROR), "<27>", 4), 0);
}
END_TEST

/* In a child, whose descriptors are moved and closed. */
static int log_from_another_descriptor(void *data)
{
    int before;

    (void)data;
    if (log_sink_open_syslog("forkecho", 3) == -1)
        return 1;
    before = log_sink_descriptor();
    if (fcntl(before, F_GETFD) != FD_CLOEXEC || dup2(before, 63) != 63)
        return 2;
    close(before);
    log_sink_moved(63);
    if (log_sink_descriptor() != 63)
        return 3;
    return log_sink_write(SINK_SYSLOG, PRIORITY_NOTICE, "x") || errno != EBADF ? 0 : 4;
}

/* Catches a log that writes to the number that its socket had before, which may be a client's. */
START_TEST(the_log_follows_its_socket)
{
    ck_assert_int_eq(suite_in_child(log_from_another_descriptor, NULL), 0);
}
END_TEST

SUITE("log_sink", a_full_log_refuses_a_line_rather_than_waits,
      a_shared_description_may_be_made_blocking_again,
      the_controlling_terminal_is_opened_anew_whoever_owns_it, what_nobody_can_read_is_refused,
      a_redirected_standard_error_is_looked_at_again, each_kind_has_its_prefix,
      only_the_journal_gets_priorities, facilities_have_the_numbers_of_rfc_3164,
      a_line_for_syslogd_has_its_header, the_log_follows_its_socket)
