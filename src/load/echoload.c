/*
 * echoload.c: a load generator for echo servers that checks every byte. See echoload(1).
 *
 * This file is the command line and the order of things. Read next load/run.h (the phases of a
 * run), load/loop.h (the event loop) and load/connection.h (one connection). load/processes.h is
 * how several processes do it together, and load/target.h why they do not run out of ports.
 */
#include "base/address.h"
#include "base/arguments.h"
#include "base/clock.h"
#include "base/descriptors.h"
#include "load/report.h"
#include "load/run.h"
#include "load/target.h"
#include "load/processes.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

enum { EXIT_WELL = 0, EXIT_FAILURES = 1, EXIT_USAGE = 2, EXIT_NO_SERVER = 3 };

static const char program[] = "echoload";

#define CONCURRENCY_DEFAULT 8
#define DURATION_DEFAULT 5.0
#define TIMEOUT_DEFAULT 30.0
#define CONNECTIONS_MAX 1000000L
#define ROUNDS_MAX 1000L
#define RATE_MAX 10000000L
#define SIZE_MAX_BYTES (1024L * 1024 * 1024)

static const struct argument options[] = {
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

static volatile sig_atomic_t interrupted;

/* Signals within this time are one interruption: timeout(1) sends two at once. */
#define ONE_INTERRUPTION_SECONDS 0.1

/* The first interruption ends the measuring. The second, by either signal, ends the process. */
static void interrupt(int number)
{
    static double first;
    double now = clock_seconds(); /* async-signal-safe, as clock_gettime is (POSIX.1-2008, 2.4.3) */

    if (interrupted == 0)
        first = now;
    interrupted = 1;
    if (now - first > ONE_INTERRUPTION_SECONDS) {
        signal(number, SIG_DFL);
        raise(number); /* and is pending until this returns */
    }
}

struct command {
    struct load_settings settings;
    const struct report_form *form;
    const char *server;       /* as it was written ... */
    struct endpoint endpoint; /* ... and in its parts */
    bool shows; /* --help or --version was asked for, and is shown */
};

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
static int take_option(struct arguments *arguments, int letter, struct command *command)
{
    struct load_settings *settings = &command->settings;
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
    case 'o': return take_form(arguments, &command->form);
    case 'r':
        if (take_count(arguments, 1, RATE_MAX, &number) == -1)
            return -1;
        settings->rate = (double)number;
        return 0;
    case 'h': arguments_help(arguments); break;
    case 'V': printf("%s %s\n", program, VERSION); break;
    }
    command->shows = true;
    return 0;
}

/* Takes options up to the next operand. Returns 0, or -1 (logged). */
static int take_options(struct arguments *arguments, struct command *command)
{
    int letter;

    while (!command->shows && (letter = arguments_next(arguments)) != 0)
        if (letter == -1 || take_option(arguments, letter, command) == -1)
            return -1;
    return 0;
}

static int take_server(struct arguments *arguments, struct command *command)
{
    const char *problem, *text;

    if (optind == arguments->argc)
        return arguments_misused(arguments, "the server's address is missing: host:port or /path");
    text = arguments->argv[optind++];
    if (optind < arguments->argc)
        return arguments_misused(arguments, "'%s' is one operand too many",
                                 arguments->argv[optind]);
    command->server = text;
    if (address_split(text, &command->endpoint, &problem) == -1)
        return arguments_misused(arguments, "'%s' is not host:port or /path: %s", text, problem);
    return 0;
}

/* Options that this mode can do nothing with. Returns 0, or -1 (logged). */
static int check_mode(struct arguments *arguments, const struct load_settings *settings)
{
    const struct load_mode *mode = settings->mode;

    if (settings->rate > 0 && mode->kind != LOAD_REQUESTS)
        return arguments_misused(arguments, "option -r, --rate: %s has no requests that could have a "
                                            "schedule; connect and ping have", mode->name);
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

static int take_mode(struct arguments *arguments, struct load_settings *settings)
{
    const char *name;

    if (optind == arguments->argc)
        return arguments_misused(arguments, "a mode is missing: %s", modes);
    name = arguments->argv[optind++];
    settings->mode = load_mode(name);
    return settings->mode != NULL
               ? 0
               : arguments_misused(arguments, "'%s' is not a mode: %s", name, modes);
}

/* Options may stand before the mode, or between it and the server. Returns 0, or -1 (logged). */
static int read_command_line(struct command *command, int argc, char **argv)
{
    struct load_settings *settings = &command->settings;
    struct arguments arguments = {
        .program = program,
        .synopsis = "MODE [options] host:port",
        .about = "Puts an echo server under load, checks every byte, and reports figures.\n"
                 "MODE is connect, ping, stream or hold; or it misbehaves: reset, halfclose,\n"
                 "dribble, nonreading or storm.",
        .list = options,
        .argc = argc,
        .argv = argv,
    };

    if (take_options(&arguments, command) == -1)
        return -1;
    if (!command->shows && (take_mode(&arguments, settings) == -1 ||
                            take_options(&arguments, command) == -1))
        return -1;
    if (command->shows)
        return 0;
    if (check_mode(&arguments, settings) == -1)
        return -1;
    if (settings->size == 0)
        settings->size = settings->mode->default_size;
    return take_server(&arguments, command);
}

/* ---- the run ---- */

/* Raises the limit of descriptors as far as we may. Where -j has not said how many processes there
 * are, takes as many as none of them needs more. Returns 0, or -1 (logged). */
static int choose_processes(struct load_settings *settings)
{
    size_t limit = (size_t)descriptors_raise_limit();
    size_t connections = settings->concurrency + settings->held;

    if (settings->processes == 0)
        settings->processes = settings_fewest_processes(settings, limit);
    if (settings->processes == 0) {
        fprintf(stderr,
                "%s: -c %zu and -H %zu are too many for the descriptors of %d processes; "
                "the limit is %zu in each (ulimit -n)\n",
                program, settings->concurrency, settings->held, SETTINGS_PROCESSES_MAX, limit);
        return -1;
    }
    if (settings->processes > connections) /* each has at least one */
        settings->processes = connections;
    if (settings_descriptors(settings) <= limit)
        return 0;
    fprintf(stderr,
            "%s: -c %zu and -H %zu in %zu process%s need %zu descriptors in one; "
            "the limit is %zu (ulimit -n)\n",
            program, settings->concurrency, settings->held, settings->processes,
            settings->processes == 1 ? "" : "es", settings_descriptors(settings), limit);
    return -1;
}

static void set_signals(void)
{
    struct sigaction action = {.sa_handler = interrupt};

    sigemptyset(&action.sa_mask);
    sigaction(SIGINT, &action, NULL);
    sigaction(SIGTERM, &action, NULL);
    action.sa_handler = SIG_IGN; /* a broken connection is an error of write, and counted */
    sigaction(SIGPIPE, &action, NULL);
}

static int find_server(struct command *command, struct target *target)
{
    char text[ADDRESS_TEXT_MAX];
    const char *problem;

    target->no_delay = settings_want_no_delay(&command->settings);
    if (target_find(target, &command->endpoint, command->settings.timeout, text, &problem) == 0)
        return 0;
    if (text[0] == '\0')
        fprintf(stderr, "%s: cannot resolve %s: %s\n", program, command->server, problem);
    else
        fprintf(stderr, "%s: cannot connect to %s: %s\n", program, text, problem);
    return -1;
}

/* Works, in as many processes as there are to be. Returns 0, or -1 (logged). */
static int work(const struct load_settings *settings, struct target *target,
                struct load_result *result)
{
    char problem[PROCESSES_PROBLEM_MAX];

    if (settings->processes > 1 && processes_run(settings, target, result, problem) == 0)
        return 0;
    if (settings->processes == 1 && load_run(settings, target, result) == 0)
        return 0;
    fprintf(stderr, "%s: cannot run: %s\n", program,
            settings->processes > 1 ? problem : strerror(errno));
    return -1;
}

/* Runs and reports into `result`. Returns the exit status. */
static int run(const struct command *command, struct target *target, struct load_result *result)
{
    const struct load_settings *settings = &command->settings;
    char text[ADDRESS_TEXT_MAX];

    if (work(settings, target, result) == -1)
        return EXIT_FAILURES;
    report_failures(program, result);
    report_bottleneck(program, settings, result);
    address_text(&target->address.name.any, text);
    if (report_print(command->form, settings, text, result) == -1) {
        fprintf(stderr, "%s: cannot write the report: %s\n", program, strerror(errno));
        return EXIT_FAILURES;
    }
    return result->failures == 0 ? EXIT_WELL : EXIT_FAILURES;
}

int main(int argc, char **argv)
{
    static struct load_result result; /* too large for a stack */
    struct command command = {.settings = {.concurrency = CONCURRENCY_DEFAULT,
                                           .rounds = 1,
                                           .duration = DURATION_DEFAULT,
                                           .timeout = TIMEOUT_DEFAULT,
                                           .channel = -1,
                                           .interrupted = &interrupted},
                              .form = report_form("text")};
    struct target target = {.connected = -1};
    int status;

    if (read_command_line(&command, argc, argv) == -1)
        return EXIT_USAGE;
    if (command.shows)
        return arguments_shown(program) == 0 ? EXIT_WELL : EXIT_FAILURES;
    if (choose_processes(&command.settings) == -1)
        return EXIT_USAGE;
    if (find_server(&command, &target) == -1)
        return EXIT_NO_SERVER;
    set_signals();
    status = run(&command, &target, &result);
    result_free(&result);
    return status;
}
