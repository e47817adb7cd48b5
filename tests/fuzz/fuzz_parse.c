/*
 * fuzz_parse.c: numbers and durations of a command line and of the environment (parse.h).
 *
 * Input: lines, each a number and a duration at once; a line of two numbers, "low..high",
 * bounds the numbers from there on. Catches: a value outside its range or not finite, one that
 * differs from what is written, blanks, signs or a tail that are let through, and a value that
 * is touched though the text was refused.
 */
#include "base/parse.h"
#include "fuzz.h"

#include <limits.h>
#include <math.h>

/* Where a value is not to be touched. */
#define UNTOUCHED_NUMBER (-4711L)
#define UNTOUCHED_SECONDS ((double)-47.11) /* x87 would keep more of it */

/* What one text is as a number, digit by digit; false where it is none that a long holds. */
static bool number_of(const char *text, bool signs, long *value)
{
    bool negative = signs && text[0] == '-';
    const char *at = text + negative;
    unsigned long sum = 0, most = negative ? (unsigned long)LONG_MAX + 1 : LONG_MAX;

    if (*at == '\0' || at[strspn(at, "0123456789")] != '\0')
        return false;
    for (; *at != '\0'; at++) {
        unsigned long digit = (unsigned long)(*at - '0');
        if (sum > (most - digit) / 10)
            return false;
        sum = sum * 10 + digit;
    }
    *value = (long)(negative ? 0 - sum : sum);
    return true;
}

static void check_number(const char *text, long lowest, long highest)
{
    long value = UNTOUCHED_NUMBER, expected;
    bool right = number_of(text, lowest < 0, &expected) && expected >= lowest &&
                 expected <= highest;

    FUZZ_HOLDS((parse_number(text, lowest, highest, &value) == 0) == right);
    FUZZ_HOLDS(value == (right ? expected : UNTOUCHED_NUMBER));
}

/* The unit behind a number; 0 where it is none. */
static double unit_of(const char *unit)
{
    return *unit == '\0' || strcmp(unit, "s") == 0 ? 1
           : strcmp(unit, "ms") == 0               ? 0.001
           : strcmp(unit, "m") == 0                ? 60
           : strcmp(unit, "h") == 0                ? 3600
                                                   : 0;
}

/* What a text is as a duration, by strtod, which takes more: that is ruled out first. */
static bool duration_of(const char *text, double *seconds)
{
    size_t whole = strspn(text, "0123456789");
    size_t fraction = text[whole] == '.' ? strspn(text + whole + 1, "0123456789") : 0;
    size_t length = whole + (fraction > 0 ? 1 + fraction : 0);
    double unit = unit_of(text + length);

    if (whole == 0 || unit <= 0)
        return false;
    *seconds = strtod(text, NULL) * unit;
    return true;
}

static void check_duration(const char *text)
{
    double seconds = UNTOUCHED_SECONDS, expected = 0;
    bool form = duration_of(text, &expected), taken = parse_duration(text, &seconds) == 0;
    /* Digit by digit and strtod's way differ in the last bits. */
    double slack = PARSE_DURATION_MAX * 1e-12;

    if (!taken) {
        FUZZ_HOLDS(seconds <= UNTOUCHED_SECONDS && seconds >= UNTOUCHED_SECONDS);
        FUZZ_HOLDS(!form || expected > PARSE_DURATION_MAX - slack);
        return;
    }
    FUZZ_HOLDS(isfinite(seconds) && seconds >= 0 && seconds <= PARSE_DURATION_MAX);
    FUZZ_HOLDS(form && fabs(seconds - expected) <= expected * 1e-12 + 1e-300);
}

/* Takes a line "low..high"; the range then is in that order. */
static bool read_range(const char *text, long *lowest, long *highest)
{
    const char *dots = strstr(text, "..");
    char *first = dots != NULL ? strndup(text, (size_t)(dots - text)) : NULL;
    long low = 0, high = 0;
    bool right = first != NULL && number_of(first, true, &low) && number_of(dots + 2, true, &high);

    if (right) {
        *lowest = low < high ? low : high;
        *highest = low < high ? high : low;
    }
    free(first);
    return right;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct input input = input_of(data, size);
    long lowest = 0, highest = 65535;
    char *line;

    while ((line = take_line(&input)) != NULL) {
        if (!read_range(line, &lowest, &highest)) {
            check_number(line, lowest, highest);
            check_number(line, LONG_MIN, LONG_MAX);
            check_duration(line);
        }
        free(line);
    }
    return 0;
}
