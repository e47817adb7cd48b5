/* load/report.c: see load/report.h. */
#include "load/report.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

/* How the error line says what failed. */
static const char *const phrases[FAILURES] = {
    [FAILED_CONNECT] = "could not connect",
    [FAILED_RESET] = "reset by the server",
    [FAILED_EARLY] = "ended before all was echoed",
    [FAILED_WRONG] = "wrong bytes",
    [FAILED_TIMEOUT] = "no answer in time",
};

/* ---- text ---- */

static void text_line(void *unused, const struct figure *figure)
{
    (void)unused;
    if (figure->value == NULL)
        printf("%-15s -\n", figure->name);
    else
        printf("%-15s %s%s%s\n", figure->name, figure->value, *figure->unit != '\0' ? " " : "",
               figure->unit);
}

static void print_text(struct load_view *view)
{
    fields_each(view, FIELD_TEXT, text_line, NULL);
}

/* ---- CSV ---- */

/* Puts a comma before all but the first. */
static void separate(bool *first)
{
    if (!*first)
        putchar(',');
    *first = false;
}

static void csv_name(void *first, const struct figure *figure)
{
    separate(first);
    printf("%s", figure->name);
}

static void csv_value(void *first, const struct figure *figure)
{
    const char *value = figure->value != NULL ? figure->value : "";

    separate(first);
    if (strpbrk(value, ",\"\r\n") == NULL) {
        printf("%s", value);
        return;
    }
    putchar('"'); /* the path of a Unix socket can be anything */
    for (; *value != '\0'; value++) {
        if (*value == '"')
            putchar('"');
        putchar(*value);
    }
    putchar('"');
}

static void csv_line(const struct load_view *view, figure_printer *print)
{
    bool first = true;

    fields_each(view, FIELD_SETTING | FIELD_ROUND | FIELD_MEASURED | FIELD_RUN, print, &first);
    putchar('\n');
}

/* Sets the view to a row, from 1: a round, or an interval of the only one. */
static const struct load_view *at_row(struct load_view *view, size_t number)
{
    const struct load_settings *settings = view->settings;
    double before = (double)(number - 1) * settings->interval, middle;

    view->round = settings->interval > 0 ? 1 : number;
    view->tally = &view->result->rounds[number - 1];
    view->elapsed = before + view->tally->seconds;
    if (settings->interval > 0) {
        middle = (before + view->tally->seconds / 2) / settings->duration;
        view->rate_asked = ramp_at(&settings->rate, middle);
        view->concurrency = (size_t)(ramp_at(&settings->working, middle) + 0.5);
    }
    return view;
}

static void print_csv(struct load_view *view)
{
    csv_line(view, csv_name);
    for (size_t i = 1; i <= view->result->round_count; i++)
        csv_line(at_row(view, i), csv_value);
}

/* ---- JSON ---- */

/* Bytes that are not ASCII become the characters of the same number, so that the output is UTF-8
 * whatever the path of a Unix socket is. */
static void json_text(const char *text)
{
    putchar('"');
    for (; *text != '\0'; text++) {
        unsigned char byte = (unsigned char)*text;
        if (byte < 0x20 || byte > 0x7e || byte == '"' || byte == '\\')
            printf("\\u%04x", byte);
        else
            putchar(byte);
    }
    putchar('"');
}

static void json_member(void *first, const struct figure *figure)
{
    separate(first);
    json_text(figure->name);
    putchar(':');
    if (figure->value == NULL)
        printf("null");
    else if (figure->is_number)
        printf("%s", figure->value);
    else
        json_text(figure->value);
}

static void json_object(const struct load_view *view, unsigned scopes)
{
    bool first = true;

    putchar('{');
    fields_each(view, scopes, json_member, &first);
    putchar('}');
}

static void print_json(struct load_view *view)
{
    const struct load_tally *sum = view->tally;

    printf("{\"settings\":");
    json_object(view, FIELD_SETTING);
    printf(",\n\"rounds\":[");
    for (size_t i = 1; i <= view->result->round_count; i++) {
        printf(i == 1 ? "\n" : ",\n");
        json_object(at_row(view, i), FIELD_ROUND | FIELD_MEASURED);
    }
    printf("],\n\"summary\":");
    view->tally = sum;
    json_object(view, FIELD_MEASURED | FIELD_SPREAD | FIELD_RUN);
    printf("}\n");
}

/* ---- the histogram of the latency ---- */

static void print_hdr(struct load_view *view)
{
    histogram_print(&view->tally->latency, stdout);
}

/* ---- */

static const struct report_form {
    const char *name;
    void (*print)(struct load_view *view);
} forms[] = {{"text", print_text}, {"csv", print_csv}, {"json", print_json}, {"hdr", print_hdr}};

const struct report_form *report_form(const char *name)
{
    for (size_t i = 0; i < sizeof forms / sizeof *forms; i++)
        if (strcmp(forms[i].name, name) == 0)
            return &forms[i];
    return NULL;
}

struct load_view report_view(const struct load_settings *settings, const char *target,
                             const struct load_result *result)
{
    return (struct load_view){.settings = settings,
                              .result = result,
                              .tally = &result->sum,
                              .mode = settings->mode->name,
                              .target = target,
                              .concurrency = settings->concurrency,
                              .rate_asked = ramp_at(&settings->rate, 0.5)};
}

int report_print(const struct report_form *form, struct load_view view)
{
    form->print(&view);
    return fflush(stdout) == EOF || ferror(stdout) ? -1 : 0;
}

void report_failures(const char *program, const struct load_result *result)
{
    if (result->failures == 0)
        return;
    fprintf(stderr, "%s: %" PRIu64 " failure%s, the first: %s%s%s\n", program, result->failures,
            result->failures == 1 ? "" : "s", phrases[result->first_failure],
            result->first_error != 0 ? ": " : "",
            result->first_error != 0 ? strerror(result->first_error) : "");
}

/* Twice as many processes, or as many as can have work. */
static size_t more_processes(const struct load_settings *settings)
{
    size_t most = settings->concurrency < SETTINGS_PROCESSES_MAX ? settings->concurrency
                                                                 : SETTINGS_PROCESSES_MAX;

    return 2 * settings->processes < most ? 2 * settings->processes : most;
}

static void report_busy(const char *program, const struct load_settings *settings, double busy)
{
    size_t more = more_processes(settings);
    char advice[64] = "";

    if (more > settings->processes)
        snprintf(advice, sizeof advice, ": spread the work over more (-j %zu)", more);
    fprintf(stderr,
            "%s: %sthis client was busy for %.0f %% of the time, so it may be what limited the "
            "figures%s\n",
            program, settings->processes > 1 ? "one process of " : "", busy, advice);
}

void report_bottleneck(const char *program, const struct load_settings *settings,
                       const struct load_result *result)
{
    const struct load_tally *sum = &result->sum;

    if (tally_is_busy(sum))
        report_busy(program, settings, sum->busy);
    else if (settings->rate.from > 0 && tally_is_late(sum))
        fprintf(stderr,
                "%s: work began %.1f ms late on average though a connection was free, which is "
                "most of the latency: ask for a lower rate, or measure on a machine with more "
                "time\n",
                program, tally_lag(sum) * 1e3);
}
