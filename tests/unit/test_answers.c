/* test_answers.c: greetings, delays, replies and their buffer, in a session (answers.h). */
#include "one_session.h"

#include "base/clock.h"
#include "process/log.h"

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

/* Catches a message that breaks the line of the log, or is longer than it. */
START_TEST(messages_are_shown_escaped_and_cut)
{
    static struct capture errors;
    char text[201];

    memset(text, '\xff', sizeof text);
    text[200] = '\0';
    capture_begin(&errors, STDERR_FILENO);
    log_open(LOG_MESSAGES, -1);
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

SUITE("answers", the_greeting_comes_first_then_the_pause_then_the_echo,
      an_empty_greeting_or_reply_is_not_written, the_delay_is_waited_for_once,
      each_message_of_at_most_the_message_size_gets_its_reply,
      the_buffer_holds_the_worst_reply_and_the_longest_greeting, messages_are_shown_escaped_and_cut)
