/*
 * echoload.c: a load generator for echo servers that checks every byte. See echoload(1).
 *
 * This file is the command line and the order of things. A reader goes on with load/run.c
 * (the phases of a run), load/loop.c (the event loop) and load/connection.c (one
 * connection); load/processes.c has several processes do it together, and load/target.c says how
 * they do not run out of ports.
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
    {'R', "rounds", "N", "measure N times, and tell the median rate (1)"},
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

/* What comes within this time is still the first interruption: timeout(1) sends two at once. */
#define ONE_INTERRUPTION_SECONDS 0.1

/* A second one, of either kind, does not wait for the report. */
static void interrupt(int number)
{
    static double first;
    double now = clock_seconds(); /* async-signal-safe, as clock_gettime is (POSIX.1-2008, 2.4.3) */

    if (interrupted == 0)
        first = now;
    interrupted = 1;
    if (now - first > ONE_INTERRUPTION_SECONDS) {
        signal(number, SIG_DFL);
        raise(number); /* it ends us when this returns */
    }
}

struct command {
    struct load_settings settings;
    const struct report_form *form;
    struct endpoint endpoint;
    const char *operand; /* the same as it was typed */
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

/* Takes one option. Returns 0, or -1 (said). */
static int take_option(struct arguments *arguments, int letter, struct command *command)
{
    struct load_settings *settings = &command->settings;
    size_t number = 0;
    int result = 0;

    switch (letter) {
    case 'c': return take_count(arguments, 1, CONNECTIONS_MAX, &settings->concurrency);
    case 'H': return take_count(arguments, 0, CONNECTIONS_MAX, &settings->held);
    case 'R': return take_count(arguments, 1, ROUNDS_MAX, &settings->rounds);
    case 'j': return take_count(arguments, 1, SETTINGS_PROCESSES_MAX, &settings->processes);
    case 'd': return take_duration(arguments, &settings->duration);
    case 'w': return arguments_duration(arguments, &settings->warm_up);
    case 't': return take_duration(arguments, &settings->timeout);
    case 'o': return take_form(arguments, &command->form);
    case 's':
        result = take_count(arguments, 1, SIZE_MAX_BYTES, &number);
        settings->size = number;
        break;
    case 'r':
        result = take_count(arguments, 1, RATE_MAX, &number);
        settings->rate = (double)number;
        break;
    case 'h':
        arguments_help(arguments);
        command->shows = true;
        break;
    case 'V':
        printf("echoload %s\n", VERSION);
        command->shows = true;
        break;
    }
    return result;
}

/* Takes options up to the next operand. Returns 0, or -1 (said). */
static int take_options(struct arguments *arguments, struct command *command)
{
    int letter;

    while (!command->shows && (letter = arguments_next(arguments)) != 0)
        if (letter == -1 || take_option(arguments, letter, command) == -1)
            return -1;
    return 0;
}

static int take_target(struct arguments *arguments, struct command *command)
{
    const char *problem, *text;

    if (optind == arguments->argc)
        return arguments_misused(arguments, "the server's address is missing: host:port or /path");
    text = arguments->argv[optind++];
    if (optind < arguments->argc)
        return arguments_misused(arguments, "'%s' is one operand too many",
                                 arguments->argv[optind]);
    command->operand = text;
    if (address_split(text, &command->endpoint, &problem) == -1)
        return arguments_misused(arguments, "'%s' is not host:port or /path: %s", text, problem);
    return 0;
}

/* Options that this mode can do nothing with. Returns 0, or -1 (said). */
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

/* The mode comes first and options follow it; options before it are taken as well. */
static int parse(struct arguments *arguments, struct command *command)
{
    const char *name;

    if (take_options(arguments, command) == -1)
        return -1;
    if (command->shows)
        return 0;
    if (optind == arguments->argc)
        return arguments_misused(arguments, "a mode is missing: %s", modes);
    name = arguments->argv[optind++];
    command->settings.mode = load_mode(name);
    if (command->settings.mode == NULL)
        return arguments_misused(arguments, "'%s' is not a mode: %s", name, modes);
    if (take_options(arguments, command) == -1)
        return -1;
    if (command->shows)
        return 0;
    if (check_mode(arguments, &command->settings) == -1)
        return -1;
    if (command->settings.size == 0)
        command->settings.size = command->settings.mode->default_size;
    return take_target(arguments, command);
}

/* Each process has a connection at least. */
static void leave_out_idle(struct load_settings *settings)
{
    size_t connections = settings->concurrency + settings->held;

    if (settings->processes > connections)
        settings->processes = connections;
}

/* Raises the limit of descriptors as far as we may, and where -j has not said how many processes
 * there are, takes as many as need no more each. Returns 0, or -1 (said). */
static int choose_processes(struct load_settings *settings)
{
    size_t limit = (size_t)descriptors_raise_limit();

    leave_out_idle(settings);
    if (settings->processes == 0)
        settings->processes = settings_fewest_processes(settings, limit);
    if (settings->processes > 0 && settings_descriptors(settings) <= limit)
        return 0;
    if (settings->processes > 0)
        fprintf(stderr,
                "echoload: -c %zu and -H %zu in %zu process%s need %zu descriptors in one; "
                "the limit is %zu (ulimit -n)\n",
                settings->concurrency, settings->held, settings->processes,
                settings->processes == 1 ? "" : "es", settings_descriptors(settings), limit);
    else
        fprintf(stderr,
                "echoload: -c %zu and -H %zu are too many for the descriptors of %d processes; "
                "the limit is %zu in each (ulimit -n)\n",
                settings->concurrency, settings->held, SETTINGS_PROCESSES_MAX, limit);
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
        fprintf(stderr, "echoload: cannot resolve %s: %s\n", command->operand, problem);
    else
        fprintf(stderr, "echoload: cannot connect to %s: %s\n", text, problem);
    return -1;
}

/* Works, in as many processes as there are to be. Returns 0, or -1 (said). */
static int work(const struct load_settings *settings, struct target *target,
                struct load_result *result)
{
    char problem[PROCESSES_PROBLEM_MAX];

    if (settings->processes > 1 && processes_run(settings, target, result, problem) == 0)
        return 0;
    if (settings->processes == 1 && load_run(settings, target, result) == 0)
        return 0;
    fprintf(stderr, "echoload: cannot run: %s\n",
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
    report_failures("echoload", result);
    report_bottleneck("echoload", settings, result);
    address_text(&target->address.name.any, text);
    if (report_print(command->form, settings, text, result) == -1) {
        fprintf(stderr, "echoload: cannot write the report: %s\n", strerror(errno));
        return EXIT_FAILURES;
    }
    return result->failures == 0 ? EXIT_WELL : EXIT_FAILURES;
}

int main(int argc, char **argv)
{
    struct arguments arguments = {
        .program = "echoload",
        .synopsis = "MODE [options] host:port",
        .about = "Puts an echo server under load, checks every byte, and reports figures.\n"
                 "MODE is connect, ping, stream or hold; or it misbehaves: reset, halfclose,\n"
                 "dribble, nonreading or storm.",
        .list = options,
        .argc = argc,
        .argv = argv,
    };
    struct command command = {.settings = {.concurrency = CONCURRENCY_DEFAULT,
                                           .rounds = 1,
                                           .duration = DURATION_DEFAULT,
                                           .timeout = TIMEOUT_DEFAULT,
                                           .channel = -1,
                                           .interrupted = &interrupted},
                              .form = report_form("text")};
    struct target target = {.connected = -1};
    static struct load_result result; /* too large for a stack */
    int status;

    if (parse(&arguments, &command) == -1)
        return EXIT_USAGE;
    if (command.shows)
        return arguments_shown(arguments.program) == 0 ? EXIT_WELL : EXIT_FAILURES;
    if (choose_processes(&command.settings) == -1)
        return EXIT_USAGE;
    if (find_server(&command, &target) == -1)
        return EXIT_NO_SERVER;
    set_signals();
    status = run(&command, &target, &result);
    result_free(&result);
    return status;
}
