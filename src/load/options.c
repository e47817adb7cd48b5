/* load/options.c: see load/options.h. */
#include "load/options.h"

#include "base/parse.h"

#include <limits.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define CONCURRENCY_DEFAULT 8
#define DURATION_DEFAULT 5.0
#define TIMEOUT_DEFAULT 30.0
#define RAMP_INTERVALS 10
#define CONNECTIONS_MAX 1000000L
#define ROUNDS_MAX ((long)SETTINGS_ROWS_MAX)
#define RATE_MAX 10000000L
#define SIZE_MAX_BYTES (1024L * 1024 * 1024)

/* Letters of options that have only a long form. */
enum { EXPECT = UCHAR_MAX + 1, FIND, RAMP };

static const struct argument table[] = {
    {'c', "concurrency", "N", "connections of the workload (8)"},
    {'H', "held", "N", "hold N more open meanwhile (0)"},
    {'j', "processes", "N", "spread all that over N processes (1)"},
    {'d', "duration", "TIME", "measure for so long (5s)"},
    {'r', "rate", "N", "begin N a second, answered or not"},
    {RAMP, "ramp", "WHAT", "change evenly: rate=100..5000, concurrency=1..64"},
    {'i', "interval", "TIME", "csv has a row for each of these parts"},
    {'R', "rounds", "N", "measure N times, and report the median rate (1)"},
    {'w', "warm-up", "TIME", "work for so long before, unmeasured (0)"},
    {'s', "size", "BYTES", "size of a message (64; stream: 65536)"},
    {'t', "timeout", "TIME", "fail a connection without progress (30s)"},
    {'o', "output", "FORM", "report as text, csv, json or hdr (text)"},
    {EXPECT, "expect", "CONDITION", "exit with 4 unless it holds: p99<5ms"},
    {FIND, "find", "CONDITIONS", "search the highest rate: p99=5ms,failed=0"},
    {'V', "version", NULL, "print the version"},
    {'h', "help", NULL, "print this help"},
    {0, NULL, NULL, NULL},
};

static const char modes[] =
    "connect, ping, stream or hold, or reset, halfclose, dribble, nonreading or storm";

static int take_count(const struct arguments *arguments, long lowest, long highest, size_t *count)
{
    long number;

    if (arguments_number(arguments, lowest, highest, &number) == -1)
        return -1;
    *count = (size_t)number;
    return 0;
}

static int take_form(const struct arguments *arguments, const struct report_form **form)
{
    *form = report_form(arguments->value);
    return *form != NULL ? 0 : arguments_reject(arguments,
                                                "a form of report: text, csv, json or hdr");
}

/* Notes by which option a ramp is set. Returns 0, or -1 (logged) where it was by another one. */
static int set_by(const struct arguments *arguments, const struct argument **by)
{
    char this[ARGUMENTS_FORM_MAX], other[ARGUMENTS_FORM_MAX];

    if (*by != NULL && *by != arguments->current)
        return arguments_misused(arguments, "option %s: %s has set that; leave out one of the two",
                                 arguments_form(arguments->current, this),
                                 arguments_form(*by, other));
    *by = arguments->current;
    return 0;
}

/* Has the rate, or the number of connections that work, the same all the time. */
static int take_level(const struct arguments *arguments, long highest, struct load_ramp *ramp,
                      const struct argument **by)
{
    long number;

    if (arguments_number(arguments, 1, highest, &number) == -1)
        return -1;
    *ramp = (struct load_ramp){(double)number, (double)number};
    return set_by(arguments, by);
}

/* Takes FROM..TO. Returns 0, or -1. */
static int read_ramp(const char *text, long highest, struct load_ramp *ramp)
{
    const char *dots = strstr(text, "..");
    char first[32];
    long from, to;

    if (dots == NULL || dots - text >= (ptrdiff_t)sizeof first)
        return -1;
    snprintf(first, sizeof first, "%.*s", (int)(dots - text), text);
    if (parse_number(first, 1, highest, &from) == -1 ||
        parse_number(dots + 2, 1, highest, &to) == -1)
        return -1;
    *ramp = (struct load_ramp){(double)from, (double)to};
    return 0;
}

/* By the long names of the options that say it where there is no ramp. */
static int take_ramp(const struct arguments *arguments, struct load_options *options)
{
    static const char rate[] = "rate=", concurrency[] = "concurrency=";
    struct load_settings *settings = &options->settings;
    const char *value = arguments->value;

    if (strncmp(value, rate, strlen(rate)) == 0 &&
        read_ramp(value + strlen(rate), RATE_MAX, &settings->rate) == 0)
        return set_by(arguments, &options->rate_by);
    if (strncmp(value, concurrency, strlen(concurrency)) == 0 &&
        read_ramp(value + strlen(concurrency), CONNECTIONS_MAX, &settings->working) == 0)
        return set_by(arguments, &options->working_by);
    return arguments_reject(arguments, "rate=FROM..TO or concurrency=FROM..TO, as in "
                                       "rate=100..5000, with whole numbers from 1");
}

static int take_duration(const struct arguments *arguments, double *duration)
{
    if (arguments_duration(arguments, duration) == -1)
        return -1;
    return *duration > 0 ? 0 : arguments_reject(arguments, "a duration above 0");
}

/* Keeps the word of an --expect, which is read when the mode and so its units are known. */
static int keep_word(const struct arguments *arguments, struct load_options *options)
{
    if (options->word_count == EXPECTATIONS_MAX)
        return arguments_misused(arguments, "option --expect: there may be %d", EXPECTATIONS_MAX);
    options->words[options->word_count++] = arguments->value;
    return 0;
}

/* Takes one option. Returns 0, or -1 (logged). */
static int parse_option(struct arguments *arguments, int letter, struct load_options *options)
{
    struct load_settings *settings = &options->settings;

    switch (letter) {
    case 'c':
        return take_level(arguments, CONNECTIONS_MAX, &settings->working, &options->working_by);
    case 'H': return take_count(arguments, 0, CONNECTIONS_MAX, &settings->held);
    case 'R': return take_count(arguments, 1, ROUNDS_MAX, &settings->rounds);
    case 'j': return take_count(arguments, 1, SETTINGS_PROCESSES_MAX, &settings->processes);
    case 'd': return take_duration(arguments, &settings->duration);
    case 'w': return arguments_duration(arguments, &settings->warm_up);
    case 't': return take_duration(arguments, &settings->timeout);
    case 's': return take_count(arguments, 1, SIZE_MAX_BYTES, &settings->size);
    case 'o': return take_form(arguments, &options->form);
    case EXPECT: return keep_word(arguments, options);
    case FIND: options->find = arguments->value; return 0;
    case 'r': return take_level(arguments, RATE_MAX, &settings->rate, &options->rate_by);
    case 'i': return take_duration(arguments, &settings->interval);
    case RAMP: return take_ramp(arguments, options);
    case 'h': arguments_help(arguments); break;
    case 'V': printf("%s %s\n", arguments->program, VERSION); break;
    }
    options->shows = true;
    return 0;
}

/* Takes options up to the next operand. Returns 0, or -1 (logged). */
static int parse_options(struct arguments *arguments, struct load_options *options)
{
    int letter;

    while (!options->shows && (letter = arguments_next(arguments)) != 0)
        if (letter == -1 || parse_option(arguments, letter, options) == -1)
            return -1;
    return 0;
}

static int take_server(struct arguments *arguments, struct load_options *options)
{
    const char *problem, *text;

    if (optind == arguments->argc)
        return arguments_misused(arguments, "the server's address is missing: host:port or /path");
    text = arguments->argv[optind++];
    if (optind < arguments->argc)
        return arguments_misused(arguments, "'%s' is one operand too many",
                                 arguments->argv[optind]);
    options->server = text;
    if ((problem = address_split(text, &options->endpoint)) != NULL)
        return arguments_misused(arguments, "'%s' is not host:port or /path: %s", text, problem);
    return 0;
}

/* Rejects options that mean nothing in this mode. Returns 0, or -1 (logged). */
static int check_mode(struct arguments *arguments, const struct load_options *options)
{
    const struct load_settings *settings = &options->settings;
    const struct load_mode *mode = settings->mode;
    char option[ARGUMENTS_FORM_MAX];

    if (options->rate_by != NULL && mode->kind != LOAD_REQUESTS)
        return arguments_misused(arguments, "option %s: %s has no requests that could have a "
                                            "schedule; connect and ping have",
                                 arguments_form(options->rate_by, option), mode->name);
    if (ramp_changes(&settings->working) && mode->kind != LOAD_REQUESTS)
        return arguments_misused(arguments, "option --ramp: the connections of %s do not work one "
                                            "after another; those of connect and ping can",
                                 mode->name);
    if (settings->rounds > 1 && mode->kind == LOAD_HOLD)
        return arguments_misused(arguments, "option -R, --rounds: %s opens its connections once, "
                                            "so there is one round", mode->name);
    if (settings->warm_up > 0 && mode->kind == LOAD_HOLD)
        return arguments_misused(arguments, "option -w, --warm-up: %s has no work to warm up with",
                                 mode->name);
    if (settings->size > 0 && mode->goal == GOAL_CONNECT)
        return arguments_misused(arguments, "option -s, --size: %s sends nothing", mode->name);
    if (settings->size > PATTERN_SLICE_MAX && load_is_endless(mode))
        return arguments_misused(arguments, "option -s, --size: %s writes at most %d bytes at once",
                                 mode->name, PATTERN_SLICE_MAX);
    return 0;
}

/* Rejects options that mean nothing beside each other. Returns 0, or -1 (logged). */
static int check_intervals(struct arguments *arguments, struct load_settings *settings)
{
    bool changes = ramp_changes(&settings->working);

    if (changes && settings->rate.from > 0)
        return arguments_misused(arguments, "option --ramp: with a rate requests begin on a "
                                            "schedule, whatever the number of connections: ramp "
                                            "the rate alone");
    if (settings->interval > 0 && settings->mode->kind == LOAD_HOLD)
        return arguments_misused(arguments, "option -i, --interval: %s opens its connections once, "
                                            "and then nothing happens", settings->mode->name);
    if (settings->interval > 0 && settings->rounds > 1)
        return arguments_misused(arguments, "option -i, --interval: with -R there is a row for "
                                            "each round; leave out one of the two");
    changes = changes || ramp_changes(&settings->rate);
    if (changes && settings->rounds == 1 && settings->interval <= 0)
        settings->interval = settings->duration / RAMP_INTERVALS;
    if (settings_rows(settings) > SETTINGS_ROWS_MAX)
        return arguments_misused(arguments, "option -i, --interval: there may be %d in the "
                                            "duration, -d; this is too short", SETTINGS_ROWS_MAX);
    return 0;
}

/* Returns 0, or -1 (logged). */
static int read_expectations(const struct arguments *arguments, struct load_options *options)
{
    char problem[EXPECT_PROBLEM_MAX];

    for (size_t i = 0; i < options->word_count; i++)
        if (expect_add(&options->expected, options->words[i], strlen(options->words[i]),
                       options->settings.mode, problem) == -1)
            return arguments_misused(arguments, "option --expect: %s", problem);
    return 0;
}

/* Reads conditions between commas. There may be no failures where none of them says how many, and
 * "=" is "at most". Returns 0, or -1 (logged). */
static int read_conditions(const struct arguments *arguments, struct load_options *options)
{
    static const char no_failure[] = "failed=0";
    struct expectations *list = &options->conditions;
    const struct load_mode *mode = options->settings.mode;
    char problem[EXPECT_PROBLEM_MAX];
    const char *word = options->find;
    int outcome = 0;

    for (size_t length; outcome == 0 && word != NULL; word += length + 1) {
        length = strcspn(word, ",");
        outcome = expect_add(list, word, length, mode, problem);
        if (word[length] == '\0')
            break;
    }
    if (outcome == 0 && word != NULL && !expect_names(list, "failed"))
        outcome = expect_add(list, no_failure, strlen(no_failure), mode, problem);
    for (size_t i = 0; i < list->count; i++)
        list->list[i].less |= list->list[i].equal && !list->list[i].more;
    return outcome == 0 ? 0 : arguments_misused(arguments, "option --find: %s", problem);
}

/* Returns 0, or -1 (logged). */
static int check_find(struct arguments *arguments, const struct load_options *options)
{
    const struct load_settings *settings = &options->settings;

    if (options->find == NULL)
        return 0;
    if (settings->mode->kind != LOAD_REQUESTS)
        return arguments_misused(arguments, "option --find: %s has no requests whose rate could be "
                                            "searched; connect and ping have",
                                 settings->mode->name);
    if (settings->rate.from > 0 || ramp_changes(&settings->working))
        return arguments_misused(arguments, "option --find: it sets the rate itself; leave out -r "
                                            "and --ramp");
    if (settings->rounds > 1 || settings->interval > 0)
        return arguments_misused(arguments, "option --find: each rate is measured for the duration "
                                            "(-d); leave out -R and -i");
    return 0;
}

/* Returns NULL (logged) where there is none. */
static const struct load_mode *take_mode(struct arguments *arguments)
{
    const char *name = arguments->argv[optind]; /* NULL behind the last */
    const struct load_mode *mode = name != NULL ? load_mode(name) : NULL;

    if (name == NULL)
        arguments_misused(arguments, "a mode is missing: %s", modes);
    else if (mode == NULL)
        arguments_misused(arguments, "'%s' is not a mode: %s", name, modes);
    optind++;
    return mode;
}

static double larger_end(const struct load_ramp *ramp)
{
    return ramp->from > ramp->to ? ramp->from : ramp->to;
}

/* Options may stand before the mode, or between it and the server. */
static int take_all(struct arguments *arguments, struct load_options *options)
{
    struct load_settings *settings = &options->settings;

    if (parse_options(arguments, options) == -1)
        return -1;
    if (!options->shows && ((settings->mode = take_mode(arguments)) == NULL ||
                            parse_options(arguments, options) == -1))
        return -1;
    if (options->shows)
        return 0;
    if (check_mode(arguments, options) == -1 || check_find(arguments, options) == -1 ||
        check_intervals(arguments, settings) == -1 ||
        read_expectations(arguments, options) == -1 || read_conditions(arguments, options) == -1)
        return -1;
    settings->concurrency = (size_t)larger_end(&settings->working);
    if (settings->size == 0)
        settings->size = settings->mode->default_size;
    return take_server(arguments, options);
}

int load_options_read(struct load_options *options, int argc, char **argv)
{
    struct arguments arguments = {
        .program = "echoload",
        .synopsis = "MODE [options] host:port",
        .about = "Puts an echo server under load, checks every byte, and reports figures.\n"
                 "MODE is connect, ping, stream or hold; or it misbehaves: reset, halfclose,\n"
                 "dribble, nonreading or storm.",
        .list = table,
        .argc = argc,
        .argv = argv,
    };

    *options = (struct load_options){.settings = {.working = {CONCURRENCY_DEFAULT,
                                                              CONCURRENCY_DEFAULT},
                                                  .rounds = 1,
                                                  .duration = DURATION_DEFAULT,
                                                  .timeout = TIMEOUT_DEFAULT,
                                                  .channel = -1},
                                     .form = report_form("text")};
    return take_all(&arguments, options);
}
