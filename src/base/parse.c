/* parse.c: see parse.h. */
#include "base/parse.h"

#include <ctype.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

int parse_number(const char *text, long lowest, long highest, long *value)
{
    char *end;
    long number;

    /* strtol skips blanks and takes a plus sign, and a minus sign before zero; we do not. */
    if (!isdigit((unsigned char)text[text[0] == '-' && lowest < 0]))
        return -1;
    errno = 0;
    number = strtol(text, &end, 10);
    if (errno != 0 || *end != '\0' || number < lowest || number > highest)
        return -1;
    *value = number;
    return 0;
}

/* strtod takes exponents, hexadecimal digits and a point at the end as well; we do not. The point
 * is one in the C locale, and no program here has another. */
const char *parse_decimal(const char *text, double *value)
{
    const char *rest = text + strspn(text, "0123456789.");
    char *end;
    double number = strtod(text, &end);

    if (!isdigit((unsigned char)text[0]) || end != rest || rest[-1] == '.')
        return NULL;
    *value = number;
    return rest;
}

int parse_duration(const char *text, double *seconds)
{
    static const struct {
        const char *name;
        double seconds;
    } units[] = {{"", 1}, {"ms", 0.001}, {"s", 1}, {"m", 60}, {"h", 3600}};
    double number = 0;
    const char *unit = parse_decimal(text, &number);

    for (size_t i = 0; unit != NULL && i < sizeof units / sizeof units[0]; i++)
        if (strcmp(unit, units[i].name) == 0 && number * units[i].seconds <= PARSE_DURATION_MAX) {
            *seconds = number * units[i].seconds;
            return 0;
        }
    return -1;
}
