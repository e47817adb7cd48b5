/* test_arguments.c: the command line from one table (arguments.h). */
#include "suite.h"

#include "base/arguments.h"

#include <limits.h>

#define WORDS_MAX 12

/* An option without a short form, and how the readings below show it. */
#define LONG_ONLY (UCHAR_MAX + 1)
#define LONG_ONLY_SHOWN 'L'

static const struct argument table[] = {
    {'c', "count", "N", "how many"},        {'C', "count-all", "N", "how many in all"},
    {'t', "timeout", "TIME", "how long"},   {'v', "verbose", NULL, "say more"},
    {'q', "quiet", NULL, "say less"},       {'k', "kind", "NAME", "one of many kinds"},
    {LONG_ONLY, "proxy", "BLOCK", "no short form"}, {0, NULL, NULL, NULL},
};

/* A command line, and what reading it is to come to: "c=7 v q=" and so on, then the operands
 * behind "|"; or "!" and a piece of the error message. */
struct reading {
    const char *words[WORDS_MAX];
    const char *result;
};

/* Reads the command line in a process of its own, for getopt has one state a process. What
 * was read goes to standard output in the form of `result`. */
static int read_words(void *data)
{
    const struct reading *reading = data;
    char copies[WORDS_MAX][64];
    char *words[WORDS_MAX + 2] = {(char[]){"program"}};
    struct arguments arguments = {.program = "program", .synopsis = "[file]...",
                                  .about = "Tests.", .list = table, .argc = 1, .argv = words};
    int letter;

    for (size_t i = 0; reading->words[i] != NULL; i++) {
        strcpy(copies[i], reading->words[i]);
        words[arguments.argc++] = copies[i];
    }
    while ((letter = arguments_next(&arguments)) > 0) {
        printf(arguments.current->value != NULL ? "%c=%s " : "%c ",
               letter == LONG_ONLY ? LONG_ONLY_SHOWN : letter,
               arguments.current->value != NULL ? arguments.value : "");
        if (arguments.current->letter != letter)
            return 2;
    }
    printf("|");
    for (; letter == 0 && optind < arguments.argc; optind++)
        printf(" %s", words[optind]);
    fflush(stdout);
    return letter == 0 ? 0 : 1;
}

static void check_readings(const struct reading *readings, size_t count)
{
    static struct capture output, errors;

    for (size_t i = 0; i < count; i++) {
        struct reading reading = readings[i];
        bool wrong = reading.result[0] == '!';
        const char *reported;
        int status;
        capture_begin(&output, STDOUT_FILENO);
        capture_begin(&errors, STDERR_FILENO);
        status = suite_in_child(read_words, &reading);
        reported = capture_end(&errors);
        capture_end(&output);
        ck_assert_msg(status == (wrong ? 1 : 0), "reading %zu (%s): status %d, '%s'", i,
                      reading.result, status, reported);
        if (wrong) {
            ck_assert_msg(strstr(reported, reading.result + 1) != NULL, "'%s' lacks '%s'", reported,
                          reading.result + 1);
            ck_assert_msg(strncmp(reported, "program: ", 9) == 0 && lines_of(reported) == 1, "'%s'",
                          reported);
        } else {
            ck_assert_str_eq(output.text, reading.result);
            ck_assert_str_eq(reported, "");
        }
    }
}

/* Catches a form of getopt_long or XBD 12.2 that is lost, and operands taken for options. */
START_TEST(short_and_long_forms_are_the_same_and_operands_follow)
{
    static const struct reading readings[] = {
        {{NULL}, "|"},
        {{"-c", "7"}, "c=7 |"},
        {{"-c7"}, "c=7 |"},
        {{"--count", "7"}, "c=7 |"},
        {{"--count=7"}, "c=7 |"},
        {{"--count-all=7"}, "C=7 |"},
        {{"--timeout", "-1"}, "t=-1 |"},
        {{"-vqc7"}, "v q c=7 |"},
        {{"-v", "--verbose", "-q"}, "v v q |"},
        {{"--verb"}, "v |"},
        {{"-v", "a", "-q"}, "v | a -q"},
        {{"-v", "--", "-q", "b"}, "v | -q b"},
        {{"-"}, "| -"},
        {{"-c", "--", "x"}, "c=-- | x"},
        {{"--proxy", "7", "--proxy=8"}, "L=7 L=8 |"},
    };

    check_readings(readings, SUITE_LENGTH(readings));
}
END_TEST

/* Catches an error that does not name its option, or names another one. */
START_TEST(errors_name_the_option_in_one_line)
{
    static const struct reading readings[] = {
        {{"-x"}, "!unknown option -x"},
        {{"-vx"}, "!unknown option -x"},
        {{"-v", "-xv"}, "!unknown option -x"},
        {{"--verbose", "-xv"}, "!unknown option -x"},
        {{"--nothing"}, "!unknown option --nothing"},
        {{"--proxy"}, "!option --proxy takes a value"},
        {{"--cuont=3"}, "!unknown option --cuont=3"},
        {{"--verbatim"}, "!unknown option --verbatim; did you mean --verbose?"},
        {{"--count-al1=3"}, "!did you mean --count-all?"},
        {{"--quiet=3"}, "!option --quiet takes no value"},
        {{"-c"}, "!option -c, --count takes a value: how many"},
        {{"-vc"}, "!option -c, --count takes a value"},
        {{"--timeout"}, "!option -t, --timeout takes a value: how long"},
        {{"-c", ""}, "!option -c, --count"},
        {{"--count="}, "!option -c, --count"},
        {{"--"}, "|"},
        {{"-v", "-c7", "-x", "operand"}, "!unknown option -x"},
    };

    check_readings(readings, SUITE_LENGTH(readings));
}
END_TEST

/* Reads "-c value" and holds it to a range, or to a duration. */
static const char *value_said(const char *value, bool duration, long *number, double *seconds)
{
    static struct capture errors;
    struct arguments arguments = {.program = "program", .list = table, .current = &table[0]};
    int result;

    arguments.value = value;
    capture_begin(&errors, STDERR_FILENO);
    result = duration ? arguments_duration(&arguments, seconds)
                      : arguments_number(&arguments, 1, 9, number);
    capture_end(&errors);
    ck_assert_int_eq(result, errors.text[0] == '\0' ? 0 : -1);
    return errors.text;
}

/* Catches a wrong value whose message does not say what would be right. */
START_TEST(a_wrong_value_is_answered_with_what_the_option_takes)
{
    double seconds = 0;
    long number = 0;

    ck_assert_str_eq(value_said("9", false, &number, &seconds), "");
    ck_assert_int_eq(number, 9);
    ck_assert_str_eq(value_said("1.5s", true, &number, &seconds), "");
    ck_assert_double_eq(seconds, 1.5);
    ck_assert_str_eq(value_said("10", false, &number, &seconds),
                     "program: option -c, --count: '10' is not a whole number from 1 to 9 "
                     "(see program --help)\n");
    ck_assert_str_eq(value_said("1.5x", true, &number, &seconds),
                     "program: option -c, --count: '1.5x' is not a duration such as 500ms, 30s, "
                     "5m or 2h, at most 87600h (see program --help)\n");
    ck_assert_int_eq(number, 9);
    ck_assert_double_eq(seconds, 1.5);
}
END_TEST

/* Catches an option that --help forgets, short ones that do not share a line, and a short form
 * for an option that has none. */
START_TEST(the_help_shows_each_option_with_its_value)
{
    static struct capture output;
    struct arguments arguments = {
        .program = "program", .synopsis = "[file]...", .about = "Tests.", .list = table};

    capture_begin(&output, STDOUT_FILENO);
    arguments_help(&arguments);
    capture_end(&output);
    ck_assert_str_eq(output.text, "usage: program [options] [file]...\n"
                                  "Tests.\n"
                                  "\n"
                                  "  -c, --count N       how many           "
                                  "-C, --count-all N   how many in all\n"
                                  "  -t, --timeout TIME  how long           "
                                  "-v, --verbose       say more\n"
                                  "  -q, --quiet         say less           "
                                  "-k, --kind NAME     one of many kinds\n"
                                  "      --proxy BLOCK            no short form\n");
}
END_TEST

SUITE("arguments", short_and_long_forms_are_the_same_and_operands_follow,
      errors_name_the_option_in_one_line, a_wrong_value_is_answered_with_what_the_option_takes,
      the_help_shows_each_option_with_its_value)
