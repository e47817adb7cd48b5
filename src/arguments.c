/* arguments.c: see arguments.h. */
#include "arguments.h"

#include "parse.h"

#include <ctype.h>
#include <getopt.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

/* More options than any program here has; a longer table is a programming error that
 * the unit tests of the tables find. */
#define ARGUMENTS_MAX 48

/* A usage error with the value that caused it; a longer one is cut. */
#define MESSAGE_MAX 1024

int arguments_misused(const struct arguments *arguments, const char *format, ...)
{
    char text[MESSAGE_MAX];
    va_list values;

    va_start(values, format);
    vsnprintf(text, sizeof text, format, values);
    va_end(values);
    /* One line, whatever was typed. */
    for (char *at = text; *at != '\0'; at++)
        if (iscntrl((unsigned char)*at))
            *at = '?';
    fprintf(stderr, "%s: %s (see %s --help)\n", arguments->program, text, arguments->program);
    return -1;
}

static const struct argument *find_letter(const struct arguments *arguments, int letter)
{
    for (const struct argument *each = arguments->list; each->letter != 0; each++)
        if (each->letter == letter)
            return each;
    return NULL;
}

/* How many of the first characters two names share. */
static size_t common_prefix(const char *one, const char *other)
{
    size_t length = 0;

    while (one[length] != '\0' && one[length] == other[length])
        length++;
    return length;
}

/* The long option that starts most like `name`, for "did you mean"; NULL when none does. */
static const char *nearest_name(const struct arguments *arguments, const char *name)
{
    const char *nearest = NULL;
    size_t best = 2;

    for (const struct argument *each = arguments->list; each->letter != 0; each++) {
        size_t alike = common_prefix(name, each->name);
        if (alike > best) {
            best = alike;
            nearest = each->name;
        }
    }
    return nearest;
}

static int reject_unknown(const struct arguments *arguments, const char *word)
{
    const struct argument *known = optopt != 0 ? find_letter(arguments, optopt) : NULL;
    const char *nearest;

    /* getopt_long leaves in optopt the letter of a short option that is unknown, or of a long
     * one that takes no value but was given one; 0 for a long one that is unknown. Only
     * then is `word` sure to be the option: a letter may stand before others. */
    if (known != NULL)
        return arguments_misused(arguments, "option --%s takes no value", known->name);
    if (optopt != 0)
        return arguments_misused(arguments, "unknown option -%c", optopt);
    nearest = nearest_name(arguments, word + 2);
    if (nearest != NULL)
        return arguments_misused(arguments, "unknown option %s; did you mean --%s?", word, nearest);
    return arguments_misused(arguments, "unknown option %s", word);
}

/* The two forms that getopt_long wants, made from the table. */
static void make_forms(const struct arguments *arguments, char *letters, struct option *names)
{
    *letters++ = '+'; /* stop at the first operand, as POSIX has it */
    *letters++ = ':'; /* tell a missing value from an unknown option */
    for (const struct argument *each = arguments->list; each->letter != 0; each++) {
        *letters++ = (char)each->letter;
        if (each->value != NULL)
            *letters++ = ':';
        *names++ = (struct option){each->name, each->value != NULL ? required_argument : no_argument,
                                   NULL, each->letter};
    }
    *letters = '\0';
    *names = (struct option){NULL, 0, NULL, 0};
}

/* Says that the current option lacks its value, with the first line of its help. */
static int reject_missing(const struct arguments *arguments)
{
    const struct argument *current = arguments->current;
    size_t length = strcspn(current->help, "\n");

    while (length > 0 && current->help[length - 1] == ';')
        length--;
    return arguments_misused(arguments, "option -%c, --%s takes a value: %.*s", current->letter,
                             current->name, (int)length, current->help);
}

int arguments_next(struct arguments *arguments)
{
    char letters[2 + 2 * ARGUMENTS_MAX + 1];
    struct option names[ARGUMENTS_MAX + 1];
    int letter;

    make_forms(arguments, letters, names);
    opterr = 0;
    letter = getopt_long(arguments->argc, arguments->argv, letters, names, NULL);
    if (letter == -1)
        return 0;
    if (letter == '?')
        return reject_unknown(arguments, arguments->argv[optind - 1]);
    arguments->current = find_letter(arguments, letter == ':' ? optopt : letter);
    arguments->value = optarg;
    if (letter == ':' || (arguments->current->value != NULL && *optarg == '\0'))
        return reject_missing(arguments);
    return letter;
}

int arguments_reject(const struct arguments *arguments, const char *expected)
{
    return arguments_misused(arguments, "option -%c, --%s: '%s' is not %s",
                             arguments->current->letter, arguments->current->name,
                             arguments->value, expected);
}

int arguments_number(const struct arguments *arguments, long lowest, long highest, long *value)
{
    char expected[80];

    if (parse_number(arguments->value, lowest, highest, value) == 0)
        return 0;
    snprintf(expected, sizeof expected, "a whole number from %ld to %ld", lowest, highest);
    return arguments_reject(arguments, expected);
}

int arguments_duration(const struct arguments *arguments, double *seconds)
{
    if (parse_duration(arguments->value, seconds) == 0)
        return 0;
    return arguments_reject(arguments, "a duration such as 500ms, 30s, 5m or 2h");
}

void arguments_help(const struct arguments *arguments)
{
    printf("usage: %s [options]%s%s\n%s\n\n", arguments->program,
           *arguments->synopsis != '\0' ? " " : "", arguments->synopsis, arguments->about);
    for (const struct argument *each = arguments->list; each->letter != 0; each++) {
        char form[40];
        snprintf(form, sizeof form, "-%c, --%s%s%s", each->letter, each->name,
                 each->value != NULL ? " " : "", each->value != NULL ? each->value : "");
        printf("  %-28s %s\n", form, each->help);
    }
}
