/* test_reply.c: reply templates (reply.h). */
#include "suite.h"

#include "echo/reply.h"

#include <time.h>

/* Makes a reply into memory of exactly the promised size, which a sanitizer watches. Returns
 * its size; the text stands in `made`. */
static char made[65536];

static size_t make(const char *template, const char *message, size_t size)
{
    struct peer peer = peer_at("192.0.2.1", 1234);
    const char *problem = NULL;
    struct reply *reply = reply_compile(template, true, &problem);
    size_t most, length;
    char *to;

    ck_assert_msg(reply != NULL, "%s: %s", template, problem);
    most = reply_size_max(reply, size);
    to = malloc(most + 1);
    ck_assert_ptr_nonnull(to);
    to[most] = 'x';
    length = reply_make(reply, message, size, &peer, to);
    ck_assert_uint_le(length, most);
    ck_assert_int_eq(to[most], 'x');
    ck_assert_uint_lt(length, sizeof made);
    memcpy(made, to, length);
    made[length] = '\0';
    free(to);
    free(reply);
    return length;
}

/* Catches a field that is left out, doubled or out of order. */
START_TEST(fields_are_filled_in)
{
    make("Echo=>'%m' 100%% of %a, again: %m", "hello", 5);
    ck_assert_str_eq(made, "Echo=>'hello' 100% of 192.0.2.1:1234, again: hello");
    make("%m", "hello", 5);
    ck_assert_str_eq(made, "hello");
    make("%m%m", "ab", 2);
    ck_assert_str_eq(made, "abab");
    make("plain", "hello", 5);
    ck_assert_str_eq(made, "plain");
    make("%%m", "hello", 5);
    ck_assert_str_eq(made, "%m");
}
END_TEST

/* Catches an empty template, by which a reply can be empty, that makes a reply all the same. */
START_TEST(an_empty_template_makes_an_empty_reply)
{
    ck_assert_uint_eq(make("", "hello", 5), 0);
    ck_assert_uint_eq(make("%m", "", 0), 0);
}
END_TEST

/* Catches a message that is taken for a string, or for a template. */
START_TEST(messages_are_bytes)
{
    ck_assert_uint_eq(make("<%m>", "a\0b%m\\n\xff", 8), 10);
    ck_assert_mem_eq(made, "<a\0b%m\\n\xff>", 10);
}
END_TEST

/* Catches a quoted message that could end its quotes, its line, or hide a byte. */
START_TEST(quoted_messages_are_escaped)
{
    make("b'%q'", "it's \\ \"x\"\n\r\t\0\x01\x1f\x7f\x80\xff~ ", 21);
    ck_assert_str_eq(made, "b'it\\'s \\\\ \"x\"\\n\\r\\t\\x00\\x01\\x1f\\x7f\\x80\\xff~ '");
}
END_TEST

/* Catches an escape that is wrong for one of the 256 bytes, or longer than promised. */
START_TEST(every_byte_is_escaped_into_printable_characters_and_back)
{
    char text[5];

    for (int byte = 0; byte < 256; byte++) {
        char one = (char)byte;
        size_t size = reply_escape(&one, 1, text);
        ck_assert_uint_ge(size, 1);
        ck_assert_uint_le(size, 4);
        for (size_t i = 0; i < size; i++)
            ck_assert(text[i] >= ' ' && text[i] <= '~');
        text[size] = '\0';
        /* A template understands what was escaped; any other character stands for itself. */
        if (one != '%')
            ck_assert_uint_eq(make(text, "", 0), 1);
        else
            made[0] = text[0];
        ck_assert_int_eq(made[0], one);
    }
}
END_TEST

/* Catches an escape of C that is missing or has the wrong value. */
START_TEST(backslash_escapes_of_templates_are_those_of_c)
{
    make("\\a\\b\\f\\n\\r\\t\\v\\\\\\'\\\"\\?", "", 0);
    ck_assert_str_eq(made, "\a\b\f\n\r\t\v\\'\"\?");
    make("\\x41\\x4a\\x4A\\xag\\7z\\101\\1018", "", 0);
    ck_assert_str_eq(made, "AJJ\ng\az"
                           "AA8");
    ck_assert_uint_eq(make("a\\0b\\x00c\\xff\\377", "", 0), 7);
    ck_assert_mem_eq(made, "a\0b\0c\xff\xff", 7);
}
END_TEST

/* Catches a read past the end of a template that ends in the middle, and a silent repair. */
START_TEST(what_is_no_template_is_rejected_with_the_reason)
{
    static const char *const wrong[] = {"%",    "a%",   "%z",   "%M",   "% m", "\\", "a\\",
                                        "\\z",  "\\x",  "\\xg", "\\8",  "\\400", "\\777", "%\\n",
                                        "%m%",  "%1m",  "\\N"};

    for (size_t i = 0; i < SUITE_LENGTH(wrong); i++) {
        const char *problem = NULL;
        ck_assert_msg(reply_compile(wrong[i], true, &problem) == NULL, "'%s'", wrong[i]);
        ck_assert_msg(problem != NULL && strstr(problem, "template") != NULL, "'%s'", wrong[i]);
    }
}
END_TEST

/* Catches a greeting that reads a message which does not exist. */
START_TEST(a_greeting_has_no_message)
{
    struct peer peer = peer_at("local", 0);
    const char *problem = NULL;
    struct reply *greeting;
    char text[256];
    size_t size;

    ck_assert_ptr_null(reply_compile("hello %m", false, &problem));
    ck_assert_ptr_nonnull(problem);
    ck_assert_ptr_null(reply_compile("hello %q", false, &problem));
    greeting = reply_compile("Hi %a! 100%%\\n", false, &problem);
    ck_assert_ptr_nonnull(greeting);
    ck_assert_uint_le(reply_size_max(greeting, 0), sizeof text);
    size = reply_make(greeting, NULL, 0, &peer, text);
    text[size] = '\0';
    ck_assert_str_eq(text, "Hi local! 100%\n");
    free(greeting);
}
END_TEST

/* Catches a time in another form than ctime(3), with its newline, or padded with zeros. */
START_TEST(the_time_is_that_of_ctime_without_its_newline)
{
    char before[26], after[26];
    time_t now;

    do { /* a second may pass between the two looks */
        now = time(NULL);
        ck_assert_ptr_nonnull(ctime_r(&now, before));
        make("%t", "", 0);
        now = time(NULL);
        ck_assert_ptr_nonnull(ctime_r(&now, after));
    } while (strcmp(before, after) != 0);
    before[24] = '\0';
    ck_assert_str_eq(made, before);
}
END_TEST

/* Catches a template cut at its limit, and a table of pieces too small for it. */
START_TEST(templates_up_to_the_limit_are_accepted)
{
    char text[REPLY_TEMPLATE_MAX + 2];
    const char *problem = NULL;
    struct reply *reply;

    memset(text, 'a', sizeof text);
    text[REPLY_TEMPLATE_MAX + 1] = '\0';
    ck_assert_ptr_null(reply_compile(text, true, &problem));
    ck_assert_ptr_nonnull(strstr(problem, "4096"));
    text[REPLY_TEMPLATE_MAX] = '\0';
    ck_assert_uint_eq(make(text, "", 0), REPLY_TEMPLATE_MAX);
    for (size_t i = 0; i < REPLY_TEMPLATE_MAX; i += 2)
        memcpy(text + i, "%m", 2);
    ck_assert_uint_eq(make(text, "x", 1), REPLY_TEMPLATE_MAX / 2);
    for (size_t i = 0; i + 3 <= REPLY_TEMPLATE_MAX; i += 3)
        memcpy(text + i, "a%q", 3);
    text[REPLY_TEMPLATE_MAX - 1] = '\0';
    reply = reply_compile(text, true, &problem);
    ck_assert_ptr_nonnull(reply);
    free(reply);
}
END_TEST

/* Catches a reply larger than its promised size: random templates, the worst of messages. */
START_TEST(a_reply_never_exceeds_its_promised_size)
{
    static const char *const parts[] = {"%m", "%q", "%t", "%a", "%%", "\\n", "\\xff", "text"};
    char template[128], message[100] = "";
    uint64_t state = 7;

    for (int round = 0; round < 2000; round++) {
        size_t size = random_below(&state, sizeof message + 1);
        template[0] = '\0';
        for (unsigned left = random_below(&state, 8); left > 0; left--)
            strcat(template, parts[random_below(&state, SUITE_LENGTH(parts))]);
        for (size_t i = 0; i < size; i++)
            message[i] = (char)random_below(&state, 256);
        make(template, message, size);
    }
}
END_TEST

SUITE("reply", fields_are_filled_in, an_empty_template_makes_an_empty_reply, messages_are_bytes,
      quoted_messages_are_escaped, every_byte_is_escaped_into_printable_characters_and_back,
      backslash_escapes_of_templates_are_those_of_c,
      what_is_no_template_is_rejected_with_the_reason, a_greeting_has_no_message,
      the_time_is_that_of_ctime_without_its_newline,
      templates_up_to_the_limit_are_accepted, a_reply_never_exceeds_its_promised_size)
