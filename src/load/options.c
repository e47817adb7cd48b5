/* load/options.c: see load/options.h. */
#include "load/options.h"

#include "base/arguments.h"

#include <stdio.h>
#include <unistd.h>

#define CONCURRENCY_DEFAULT 8
#define DURATION_DEFAULT 5.0
#define TIMEOUT_DEFAULT 30.0
#define CONNECTIONS_MAX 1000000L
#define ROUNDS_MAX 1000L
#define RATE_MAX 10000000L
#define SIZE_MAX_BYTES (1024L * 1024 * 1024)

static const struct argument table[] = {
    {'c', "concurrency", "N", "connections of the workload (8)"},
    {'H', "held", "N", "hold N more open meanwhile (0)"},
    {'j', "processes", "N", "spread all that over N processes (1)"},
    {'d', "duration", "TIME", "measure for so long (5s)"},
    {'r', "rate", "N", "begin N a second, answered or not"},
    {'R', "rounds", "N", "measure N times, and report the median rate (1)"},
    {'w', "warm-up", "TIME", "work for so long before, unmeasured (0)"},
    {'s', "size", "BYTES", "size of a message (64; stream: 65536)"},
    {'t', "timeout", "TIME", "fail a connection without progress (30s)"},
    {'o', "output", "FORM", "report as text, csv or json (text)"},
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
    return *form != NULL ? 0 : arguments_reject(arguments, "a form of report: text, csv or json");
}

static int take_duration(const struct arguments *arguments, double *duration)
{
    if (arguments_duration(arguments, duration) == -1)
        return -1;
    return *duration > 0 ? 0 : arguments_reject(arguments, "a duration above 0");
}

/* Takes one option. Returns 0, or -1 (logged). */
static int take_option(struct arguments *arguments, int letter, struct load_options *options)
{
    struct load_settings *settings = &options->settings;
    size_t number = 0;

    switch (letter) {
    case 'c': return take_count(arguments, 1, CONNECTIONS_MAX, &settings->concurrency);
    case 'H': return take_count(arguments, 0, CONNECTIONS_MAX, &settings->held);
    case 'R': return take_count(arguments, 1, ROUNDS_MAX, &settings->rounds);
    case 'j': return take_count(arguments, 1, SETTINGS_PROCESSES_MAX, &settings->processes);
    case 'd': return take_duration(arguments, &settings->duration);
    case 'w': return arguments_duration(arguments, &settings->warm_up);
    case 't': return take_duration(arguments, &settings->timeout);
    case 's': return take_count(arguments, 1, SIZE_MAX_BYTES, &settings->size);
    case 'o': return take_form(arguments, &options->form);
    case 'r':
        if (take_count(arguments, 1, RATE_MAX, &number) == -1)
            return -1;
        settings->rate = (double)number;
        return 0;
    case 'h': arguments_help(arguments); break;
    case 'V': printf("%s %s\n", arguments->program, VERSION); break;
    }
    options->shows = true;
    return 0;
}

/* Takes options up to the next operand. Returns 0, or -1 (logged). */
static int take_options(struct arguments *arguments, struct load_options *options)
{
    int letter;

    while (!options->shows && (letter = arguments_next(arguments)) != 0)
        if (letter == -1 || take_option(arguments, letter, options) == -1)
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
static int check_mode(struct arguments *arguments, const struct load_settings *settings)
{
    const struct load_mode *mode = settings->mode;

    if (settings->rate > 0 && mode->kind != LOAD_REQUESTS)
        return arguments_misused(arguments, "option -r, --rate: %s has no requests that could "
                                            "have a schedule; connect and ping have", mode->name);
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

/* Options may stand before the mode, or between it and the server. */
static int take_all(struct arguments *arguments, struct load_options *options)
{
    struct load_settings *settings = &options->settings;

    if (take_options(arguments, options) == -1)
        return -1;
    if (!options->shows && ((settings->mode = take_mode(arguments)) == NULL ||
                            take_options(arguments, options) == -1))
        return -1;
    if (options->shows)
        return 0;
    if (check_mode(arguments, settings) == -1)
        return -1;
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

    *options = (struct load_options){.settings = {.concurrency = CONCURRENCY_DEFAULT,
                                                  .rounds = 1,
                                                  .duration = DURATION_DEFAULT,
                                                  .timeout = TIMEOUT_DEFAULT,
                                                  .channel = -1},
                                     .form = report_form("text")};
    return take_all(&arguments, options);
}
