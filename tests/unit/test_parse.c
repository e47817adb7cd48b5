/* test_parse.c: strict numbers and durations (parse.h). */
#include "suite.h"

#include "base/parse.h"

#include <limits.h>

/* Catches an off-by-one at either end of a range. */
START_TEST(numbers_up_to_both_ends_of_the_range_are_taken)
{
    long value = 0;

    ck_assert_int_eq(parse_number("1", 1, 65535, &value), 0);
    ck_assert_int_eq(value, 1);
    ck_assert_int_eq(parse_number("65535", 1, 65535, &value), 0);
    ck_assert_int_eq(value, 65535);
    ck_assert_int_eq(parse_number("-3", -3, 3, &value), 0);
    ck_assert_int_eq(value, -3);
    ck_assert_int_eq(parse_number("007", 0, 10, &value), 0);
    ck_assert_int_eq(value, 7);
}
END_TEST

/* Catches a value that is clamped to its range instead of refused. */
START_TEST(numbers_outside_the_range_are_refused)
{
    long value;

    ck_assert_int_eq(parse_number("0", 1, 65535, &value), -1);
    ck_assert_int_eq(parse_number("65536", 1, 65535, &value), -1);
    ck_assert_int_eq(parse_number("-1", 0, 10, &value), -1);
    ck_assert_int_eq(parse_number("-0", 0, 10, &value), -1);
}
END_TEST

/* Catches atoi's and strtol's leniency: blanks, signs, other bases, a unit behind it. */
START_TEST(numbers_with_anything_around_them_are_refused)
{
    static const char *const wrong[] = {"",    " 1",  "1 ",  "+1", "-",   "--1", "1x", "x1",
                                        "0x1", "1.0", "1e3", "\t1", "1\n", "one", "1,0", "- 1"};
    long value;

    for (size_t i = 0; i < SUITE_LENGTH(wrong); i++)
        ck_assert_msg(parse_number(wrong[i], LONG_MIN, LONG_MAX, &value) == -1, "'%s'", wrong[i]);
}
END_TEST

/* Catches an overflow that wraps into the range. */
START_TEST(numbers_beyond_a_long_are_refused)
{
    char text[64];
    long value;

    snprintf(text, sizeof text, "%ld", LONG_MAX);
    ck_assert_int_eq(parse_number(text, 0, LONG_MAX, &value), 0);
    ck_assert(value == LONG_MAX);
    strcat(text, "0");
    ck_assert_int_eq(parse_number(text, 0, LONG_MAX, &value), -1);
    ck_assert_int_eq(parse_number("18446744073709551617", 0, LONG_MAX, &value), -1);
    ck_assert_int_eq(parse_number("-99999999999999999999999", LONG_MIN, 0, &value), -1);
}
END_TEST

/* Catches a default that a wrong value has overwritten. */
START_TEST(a_refused_value_leaves_the_result_untouched)
{
    double seconds = 42;
    long value = 42;

    ck_assert_int_eq(parse_number("43x", 0, 100, &value), -1);
    ck_assert_int_eq(parse_number("101", 0, 100, &value), -1);
    ck_assert_int_eq(value, 42);
    ck_assert_int_eq(parse_duration("43x", &seconds), -1);
    ck_assert_int_eq(parse_duration("100000000h", &seconds), -1);
    ck_assert_double_eq(seconds, 42);
}
END_TEST

/* Catches a number that takes what is behind it along, or does without a digit. */
START_TEST(a_decimal_number_ends_where_its_digits_do)
{
    static const char *const wrong[] = {"", ".5", "5.", "-5", " 5", "1.2.3", "x", "1..2", "1e3", "0x5"};
    double value = 42;

    ck_assert_str_eq(parse_decimal("12.5ms", &value), "ms");
    ck_assert_double_eq(value, 12.5);
    ck_assert_str_eq(parse_decimal("0", &value), "");
    value = 42;
    for (size_t i = 0; i < SUITE_LENGTH(wrong); i++)
        ck_assert_msg(parse_decimal(wrong[i], &value) == NULL, "'%s'", wrong[i]);
    ck_assert_double_eq(value, 42);
}
END_TEST

/* Catches a unit that is missing or has the wrong factor; `m` read as milliseconds. */
START_TEST(durations_have_units_and_a_bare_number_is_seconds)
{
    static const struct {
        const char *text;
        double seconds;
    } cases[] = {{"0", 0},       {"0ms", 0},    {"30", 30},     {"30s", 30}, {"500ms", 0.5},
                 {"5m", 300},    {"2h", 7200},  {"1.5s", 1.5},  {"1.5", 1.5}, {"0.25h", 900},
                 {"2.5ms", 0.0025}, {"0.001", 0.001}, {"00010s", 10}};
    double seconds;

    for (size_t i = 0; i < SUITE_LENGTH(cases); i++) {
        ck_assert_msg(parse_duration(cases[i].text, &seconds) == 0, "'%s'", cases[i].text);
        ck_assert_msg(seconds > cases[i].seconds - 1e-9 && seconds < cases[i].seconds + 1e-9,
                      "'%s' is %g", cases[i].text, seconds);
    }
}
END_TEST

/* Catches strtod's leniency (nan, inf, exponents, hexadecimal), unknown and upper-case units. */
START_TEST(durations_with_anything_else_are_refused)
{
    static const char *const wrong[] = {"",      "s",    " 1s", "1 s",  "1s ",  "-1",    "+1",
                                        "1.",    ".5",   "1.s", "1..5", "1.5.5s", "1e3", "0x10",
                                        "nan",   "inf",  "1d",  "1us",  "1S",   "1M",    "1sec",
                                        "1h30m", "1,5s", "1ss", "1mss"};
    double seconds;

    for (size_t i = 0; i < SUITE_LENGTH(wrong); i++)
        ck_assert_msg(parse_duration(wrong[i], &seconds) == -1, "'%s'", wrong[i]);
}
END_TEST

/* Catches a duration that overflows a time_t or becomes infinite. */
START_TEST(durations_longer_than_the_longest_are_refused)
{
    char digits[500];
    double seconds;

    ck_assert_int_eq(parse_duration("315360000", &seconds), 0);
    ck_assert_double_eq(seconds, PARSE_DURATION_MAX);
    ck_assert_int_eq(parse_duration("315360001", &seconds), -1);
    ck_assert_int_eq(parse_duration("87600h", &seconds), 0);
    ck_assert_int_eq(parse_duration("87601h", &seconds), -1);
    memset(digits, '9', sizeof digits - 1);
    digits[sizeof digits - 1] = '\0';
    ck_assert_int_eq(parse_duration(digits, &seconds), -1);
    digits[400] = 'm';
    digits[401] = 's';
    digits[402] = '\0';
    ck_assert_int_eq(parse_duration(digits, &seconds), -1);
}
END_TEST

SUITE("parse", a_decimal_number_ends_where_its_digits_do, numbers_up_to_both_ends_of_the_range_are_taken,
      numbers_outside_the_range_are_refused, numbers_with_anything_around_them_are_refused,
      numbers_beyond_a_long_are_refused, a_refused_value_leaves_the_result_untouched,
      durations_have_units_and_a_bare_number_is_seconds, durations_with_anything_else_are_refused,
      durations_longer_than_the_longest_are_refused)
