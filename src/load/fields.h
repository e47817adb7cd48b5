/*
 * load/fields.h: every figure of a report, once: its name, where it comes from, its unit.
 *
 * Text, CSV and JSON print this one table; they differ only in which parts of it they take, and in
 * the marks around a value. Names and their order are stable. echoload(1) says what each is.
 */
#ifndef LOAD_FIELDS_H
#define LOAD_FIELDS_H

#include "load/result.h"
#include "load/settings.h"

#include <stdbool.h>

/* What a figure is about. */
enum {
    FIELD_SETTING = 1,  /* the command line */
    FIELD_ROUND = 2,    /* which round it is */
    FIELD_MEASURED = 4, /* a round, or the sum of all */
    FIELD_SPREAD = 8,   /* all rounds together */
    FIELD_RUN = 16,     /* before and after the rounds */
    FIELD_TEXT = FIELD_SETTING | FIELD_MEASURED | FIELD_SPREAD | FIELD_RUN /* all of a text */
};

/* Longest value: the largest double has 309 digits. Texts, which may be longer, are not copied. */
#define FIGURE_MAX 400

/* What the figures are taken from. */
struct load_view {
    const struct load_settings *settings;
    const struct load_result *result; /* NULL: figures have names and units, and no values */
    const struct load_tally *tally; /* of one round, or the sum */
    const char *mode, *target;
    size_t concurrency;             /* of a ramp all, or in the middle of the interval ... */
    double rate_asked;              /* ... and its mean, there or of all */
    uint64_t round;                 /* counted from 1 */
    const char *limit;              /* what stopped the search for the rate; NULL: there was none */
    double elapsed;                 /* seconds from its start to the end of the interval */
};

struct figure {
    const char *name;
    const char *value; /* as text; NULL when there is none */
    bool is_number;
    const char *unit;  /* perhaps empty */
};

/* What fields_each calls with each figure, which lasts for the call. */
typedef void figure_printer(void *context, const struct figure *figure);

/* Gives the figures of these scopes, in order. */
void fields_each(const struct load_view *view, unsigned scopes, figure_printer *print,
                 void *context);

#endif
