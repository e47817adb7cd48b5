/* test_text.c: texts without printf (text.h). */
#include "suite.h"

#include "base/text.h"

#include <limits.h>

/* Catches a number that loses a digit, zero that is empty, and parts in another order. */
START_TEST(parts_follow_each_other)
{
    static const unsigned long long numbers[] = {0, 7, 10, 4294967296ULL, ULLONG_MAX};
    char buffer[64], expected[64];

    for (size_t i = 0; i < SUITE_LENGTH(numbers); i++) {
        struct text text = text_in(buffer, sizeof buffer);
        ck_assert_str_eq(buffer, "");
        text_add(&text, "a ");
        text_add_number(&text, numbers[i]);
        text_add(&text, "");
        text_add(&text, ".");
        snprintf(expected, sizeof expected, "a %llu.", numbers[i]);
        ck_assert_str_eq(buffer, expected);
    }
}
END_TEST

/* Catches a write behind the buffer, or a text without an end. */
START_TEST(what_does_not_fit_is_left_out)
{
    for (size_t size = 1; size <= 8; size++) {
        char buffer[16], expected[16] = "ab12345";
        struct text text = text_in(buffer, size);
        memset(buffer + 1, 'x', sizeof buffer - 1);
        text_add(&text, "ab");
        text_add_number(&text, 12345);
        text_add(&text, "");
        expected[size - 1] = '\0';
        ck_assert_str_eq(buffer, expected);
        ck_assert_int_eq(buffer[size], 'x');
    }
}
END_TEST

SUITE("text", parts_follow_each_other, what_does_not_fit_is_left_out)
