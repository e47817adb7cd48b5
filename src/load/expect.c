/* load/expect.c: see load/expect.h. */
#include "load/expect.h"

#include "base/parse.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Two values are equal whose difference is only that of their way through binary fractions. */
#define ROUNDING 1e-9

static const struct {
    const char *name;
    double seconds;
} times[] = {{"us", 1e-6}, {"ms", 1e-3}, {"s", 1}, {"m", 60}, {"h", 3600}};

/* ---- one figure ---- */

struct search {
    const char *name;
    bool is_there, is_number;
    const char *unit;
    char value[FIGURE_MAX]; /* empty where there is none */
};

static void compare_name(void *context, const struct figure *figure)
{
    struct search *search = context;

    if (strcmp(figure->name, search->name) != 0)
        return;
    search->is_there = true;
    search->is_number = figure->is_number;
    search->unit = figure->unit;
    if (figure->value != NULL)
        snprintf(search->value, sizeof search->value, "%s", figure->value);
}

static struct search find_figure(const struct load_view *view, const char *name)
{
    struct search search = {.name = name};

    fields_each(view, FIELD_TEXT, compare_name, &search);
    return search;
}

/* ---- reading ---- */

/* The length in seconds of a unit of time; 0 for all that is none. */
static double time_of(const char *unit)
{
    for (size_t i = 0; i < sizeof times / sizeof *times; i++)
        if (strcmp(unit, times[i].name) == 0)
            return times[i].seconds;
    return 0;
}

/* Reads a value with or without a unit. Returns 0, or -1. */
static int read_value(const char *text, const char *unit, double *value)
{
    const char *behind = parse_decimal(text, value);

    if (behind == NULL)
        return -1;
    if (*behind == '\0' || strcmp(behind, unit) == 0)
        return 0;
    if (time_of(unit) <= 0 || time_of(behind) <= 0)
        return -1;
    *value *= time_of(behind) / time_of(unit);
    return 0;
}

/* Takes a word apart. Returns the value behind the operator, or NULL where there is none. */
static const char *take_apart(struct expectation *expectation)
{
    size_t length = strcspn(expectation->text, "<>=");
    const char *mark = expectation->text + length;
    bool or_equal = *mark != '\0' && *mark != '=' && mark[1] == '=';

    if (length == 0 || *mark == '\0')
        return NULL;
    snprintf(expectation->name, sizeof expectation->name, "%.*s", (int)length, expectation->text);
    expectation->less = *mark == '<';
    expectation->equal = *mark == '=' || or_equal;
    expectation->more = *mark == '>';
    return mark + 1 + or_equal;
}

static int reject(const struct expectation *expectation, const char *right, char *problem)
{
    snprintf(problem, EXPECT_PROBLEM_MAX, "'%s' %s", expectation->text, right);
    return -1;
}

/* Reads what has its text. */
static int read_one(struct expectation *expectation, const struct load_mode *mode, char *problem)
{
    const struct load_settings settings = {.mode = mode};
    const struct load_view names = {.settings = &settings};
    const char *value = take_apart(expectation);
    struct search figure;
    char right[EXPECT_PROBLEM_MAX / 2];

    if (value == NULL)
        return reject(expectation, "is not a figure of the report, one of < <= = >= >, and a "
                                   "value: p99<5ms or failed=0", problem);
    figure = find_figure(&names, expectation->name);
    if (!figure.is_there)
        return reject(expectation, "begins with no figure of the report, as p99, max, failed or "
                                   "rate are (see echoload(1))", problem);
    if (!figure.is_number)
        return reject(expectation, "is of no number, and only numbers are compared", problem);
    if (read_value(value, figure.unit, &expectation->value) == 0)
        return 0;
    snprintf(right, sizeof right, "does not end in a %s%s",
             time_of(figure.unit) > 0 ? "time such as 500us or 5ms; a number alone is of "
             : *figure.unit != '\0'  ? "number, alone or followed by "
                                     : "number",
             figure.unit);
    return reject(expectation, right, problem);
}

int expect_add(struct expectations *list, const char *word, size_t length,
               const struct load_mode *mode, char *problem)
{
    struct expectation *expectation = &list->list[list->count];

    if (list->count == EXPECTATIONS_MAX || length >= sizeof expectation->text) {
        snprintf(problem, EXPECT_PROBLEM_MAX, "at most %d, each of less than %d bytes, are taken",
                 EXPECTATIONS_MAX, EXPECTATION_MAX);
        return -1;
    }
    *expectation = (struct expectation){0};
    memcpy(expectation->text, word, length);
    if (read_one(expectation, mode, problem) == -1)
        return -1;
    list->count++;
    return 0;
}

/* ---- judging ---- */

bool expect_names(const struct expectations *list, const char *name)
{
    for (size_t i = 0; i < list->count; i++)
        if (strcmp(list->list[i].name, name) == 0)
            return true;
    return false;
}

bool expect_holds(const struct expectation *expectation, const struct load_view *view, char *got)
{
    struct search figure = find_figure(view, expectation->name);
    double more = strtod(figure.value, NULL) - expectation->value;
    const char *blank = *figure.unit != '\0' ? " " : "";
    size_t length;

    if (figure.value[0] == '\0') {
        snprintf(got, EXPECT_PROBLEM_MAX, "none");
        return false;
    }
    if (more < ROUNDING * expectation->value && -more < ROUNDING * expectation->value)
        more = 0;
    snprintf(got, EXPECT_PROBLEM_MAX, "%s%s%s", figure.value, blank, figure.unit);
    if (more < 0 ? expectation->less : more > 0 ? expectation->more : expectation->equal)
        return true;
    length = strlen(got);
    snprintf(got + length, EXPECT_PROBLEM_MAX - length, ", %.10g%s%s %s", more < 0 ? -more : more,
             blank, figure.unit, more < 0 ? "less" : "more");
    return false;
}
