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
    if (!isdigit((unsigned char)text[0]) &&
        !(text[0] == '-' && lowest < 0 && isdigit((unsigned char)text[1])))
        return -1;
    errno = 0;
    number = strtol(text, &end, 10);
    if (errno != 0 || *end != '\0' || number < lowest || number > highest)
        return -1;
    *value = number;
    return 0;
}

/* Digits, at most one point between them. Returns where they end, NULL when there are none. */
static const char *decimal(const char *text, double *number)
{
    double scale = 1;
    const char *at = text;

    if (!isdigit((unsigned char)*at))
        return NULL;
    for (*number = 0; isdigit((unsigned char)*at); at++)
        *number = *number * 10 + (*at - '0');
    if (at[0] == '.' && isdigit((unsigned char)at[1]))
        for (at++; isdigit((unsigned char)*at); at++)
            *number += (*at - '0') * (scale /= 10);
    return at;
}

int parse_duration(const char *text, double *seconds)
{
    static const struct {
        const char *name;
        double seconds;
    } units[] = {{"", 1}, {"ms", 0.001}, {"s", 1}, {"m", 60}, {"h", 3600}};
    double number;
    const char *unit = decimal(text, &number);

    if (unit == NULL)
        return -1;
    for (size_t i = 0; i < sizeof units / sizeof units[0]; i++)
        if (strcmp(unit, units[i].name) == 0 && number * units[i].seconds <= PARSE_DURATION_MAX) {
            *seconds = number * units[i].seconds;
            return 0;
        }
    return -1;
}
