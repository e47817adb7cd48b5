/* arguments.c: see arguments.h. */
#include "base/arguments.h"

#include "base/parse.h"

#include <ctype.h>
#include <errno.h>
#include <getopt.h>
#include <limits.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#define ARGUMENTS_MAX 48 /* more options than any program here has: the tables' unit tests see */
#define MESSAGE_MAX 1024 /* of a usage error; a longer one is cut */
#define VALUE_SHOWN 200  /* as much of a value as is shown before what is wrong with it */

/* The columns of --help. Two neighbours that are both short share a line. */
#define FORM_MAX 80
#define FORM_WIDTH 28
#define SHORT_FORM_WIDTH 19
#define SHORT_HELP_WIDTH 18

int arguments_misused(const struct arguments *arguments, const char *format, ...)
{
    char text[MESSAGE_MAX];
    va_list values;

    va_start(values, format);
    vsnprintf(text, sizeof text, format, values);
    va_end(values);
    for (char *at = text; *at != '\0'; at++) /* one line, whatever was typed */
        if (iscntrl((unsigned char)*at))
            *at = '?';
    fprintf(stderr, "%s: %s (see %s --help)\n", arguments->program, text, arguments->program);
    return -1;
}

const char *arguments_form(const struct argument *argument, char *text)
{
    if (argument->letter > UCHAR_MAX)
        snprintf(text, ARGUMENTS_FORM_MAX, "--%s", argument->name);
    else
        snprintf(text, ARGUMENTS_FORM_MAX, "-%c, --%s", argument->letter, argument->name);
    return text;
}

static const struct argument *find_letter(const struct arguments *arguments, int letter)
{
    for (const struct argument *each = arguments->list; each->letter != 0; each++)
        if (each->letter == letter)
            return each;
    return NULL;
}

/* The long option that starts most like `name`, for "did you mean"; NULL when none does. */
static const char *nearest_name(const struct arguments *arguments, const char *name)
{
    const char *nearest = NULL;
    size_t best = 2;

    for (const struct argument *each = arguments->list; each->letter != 0; each++) {
        size_t alike = 0;
        while (name[alike] != '\0' && name[alike] == each->name[alike])
            alike++;
        if (alike > best) {
            best = alike;
            nearest = each->name;
        }
    }
    return nearest;
}

static int reject_unknown(const struct arguments *arguments, const char *word)
{
    const struct argument *known = find_letter(arguments, optopt); /* NULL for 0 */
    const char *nearest;

    /* optopt is the letter of a short option that is unknown, or of a long one that was given a
     * value and takes none; 0 for a long one that is unknown, which then is `word`. */
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
        if (each->letter <= UCHAR_MAX) {
            *letters++ = (char)each->letter;
            if (each->value != NULL)
                *letters++ = ':';
        }
        *names++ = (struct option){.name = each->name,
                                   .has_arg = each->value != NULL ? required_argument : no_argument,
                                   .val = each->letter};
    }
    *letters = '\0';
    *names = (struct option){0};
}

int arguments_next(struct arguments *arguments)
{
    char letters[2 + 2 * ARGUMENTS_MAX + 1], form[ARGUMENTS_FORM_MAX];
    struct option names[ARGUMENTS_MAX + 1];
    int letter;

    make_forms(arguments, letters, names);
    opterr = 0;
    letter = getopt_long(arguments->argc, arguments->argv, letters, names, NULL);
    if (letter == -1)
        return 0;
    arguments->current = find_letter(arguments, letter == ':' ? optopt : letter);
    if (arguments->current == NULL) /* as for '?', which is no option's letter */
        return reject_unknown(arguments, arguments->argv[optind - 1]);
    arguments->value = optarg;
    if (letter == ':' || (arguments->current->value != NULL && *optarg == '\0'))
        return arguments_misused(arguments, "option %s takes a value: %s",
                                 arguments_form(arguments->current, form),
                                 arguments->current->help);
    return letter;
}

int arguments_reject(const struct arguments *arguments, const char *expected)
{
    char form[ARGUMENTS_FORM_MAX];

    return arguments_misused(arguments, "option %s: '%.*s%s' is not %s",
                             arguments_form(arguments->current, form), VALUE_SHOWN,
                             arguments->value, strlen(arguments->value) > VALUE_SHOWN ? "..." : "",
                             expected);
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
    return arguments_reject(arguments, "a duration such as 500ms, 30s, 5m or 2h, at most 87600h");
}

int arguments_shown(const char *program)
{
    if (fflush(stdout) == 0)
        return 0;
    fprintf(stderr, "%s: cannot write to standard output: %s\n", program, strerror(errno));
    return -1;
}

/* One option as --help shows it. Returns whether it is short enough to share a line. */
static bool describe(const struct argument *argument, char *form)
{
    const char *indent = argument->letter > UCHAR_MAX ? "    " : ""; /* in place of a letter */
    char names[ARGUMENTS_FORM_MAX];

    snprintf(form, FORM_MAX, "%s%s%s%s", indent, arguments_form(argument, names),
             argument->value != NULL ? " " : "", argument->value != NULL ? argument->value : "");
    return strlen(form) <= SHORT_FORM_WIDTH && strlen(argument->help) <= SHORT_HELP_WIDTH;
}

void arguments_help(const struct arguments *arguments)
{
    char form[FORM_MAX], next_form[FORM_MAX];

    printf("usage: %s [options]%s%s\n%s\n\n", arguments->program,
           *arguments->synopsis != '\0' ? " " : "", arguments->synopsis, arguments->about);
    for (const struct argument *each = arguments->list; each->letter != 0; each++) {
        const struct argument *next = each + 1;
        if (describe(each, form) && next->letter != 0 && describe(next, next_form)) {
            printf("  %-*s %-*s %-*s %s\n", SHORT_FORM_WIDTH, form, SHORT_HELP_WIDTH, each->help,
                   SHORT_FORM_WIDTH, next_form, next->help);
            each = next;
        } else {
            printf("  %-*s %s\n", FORM_WIDTH, form, each->help);
        }
    }
}
