/*
 * echoload.c: a load generator for echo servers that checks every byte. See echoload(1).
 *
 * This file is the order of things. Read next load/run.h (the phases of a run), load/loop.h (the
 * event loop) and load/connection.h (one connection). load/processes.h is how several processes do
 * it together, and load/target.h why they do not run out of ports.
 */
#include "base/arguments.h"
#include "base/clock.h"
#include "base/raise_limit.h"
#include "load/find.h"
#include "load/options.h"
#include "load/processes.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>

enum { EXIT_WELL = 0, EXIT_FAILURES = 1, EXIT_USAGE = 2, EXIT_NO_SERVER = 3, EXIT_UNEXPECTED = 4 };

static const char program[] = "echoload";

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

/* Raises the limit of descriptors as far as we may. Where -j has not said how many processes there
 * are, takes as many as none of them needs more. Returns 0, or -1 (logged). */
static int choose_processes(struct load_settings *settings)
{
    size_t limit = (size_t)raise_limit();
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

static int find_server(struct load_options *options, struct target *target)
{
    char text[ADDRESS_TEXT_MAX];
    const char *problem;

    target->no_delay = settings_want_no_delay(&options->settings);
    if (target_find(target, &options->endpoint, options->settings.timeout, text, &problem) == 0)
        return 0;
    if (text[0] == '\0')
        fprintf(stderr, "%s: cannot resolve %s: %s\n", program, options->server, problem);
    else
        fprintf(stderr, "%s: cannot connect to %s: %s\n", program, text, problem);
    return -1;
}

/* Says what is not as expected, and by how much. Returns the exit status. Where failures are among
 * what is expected, or what was searched for, those that were counted are no others. */
static int judge(const struct load_options *options, const struct load_view *view)
{
    const struct expectations *expected = &options->expected;
    uint64_t failures = view->result->failures;
    char got[EXPECT_PROBLEM_MAX];
    int status = EXIT_WELL;

    if (expect_names(expected, "failed") || options->find != NULL)
        failures -= view->tally->failures;
    if (failures > 0)
        status = EXIT_FAILURES;
    for (size_t i = 0; i < expected->count; i++)
        if (!expect_holds(&expected->list[i], view, got)) {
            fprintf(stderr, "%s: expected %s, got %s\n", program, expected->list[i].text, got);
            status = EXIT_UNEXPECTED;
        }
    return status;
}

static int report(const struct load_options *options, struct load_view view)
{
    report_failures(program, view.result);
    report_bottleneck(program, view.settings, view.result);
    if (report_print(options->form, view) == 0)
        return judge(options, &view);
    fprintf(stderr, "%s: cannot write the report: %s\n", program, strerror(errno));
    return EXIT_FAILURES;
}

/* Runs, or searches, and reports. Returns the exit status. */
static int run(struct load_options *options, struct target *target, struct load_result *result)
{
    struct load_settings *settings = &options->settings;
    char text[ADDRESS_TEXT_MAX], problem[PROCESSES_PROBLEM_MAX];
    struct find find = {.program = program, .server = text, .conditions = &options->conditions};
    struct load_view view;
    int outcome = 1;

    address_text(&target->address.name.any, text);
    if (options->find != NULL) {
        outcome = find_rate(&find, settings, target, result);
    } else if (processes_run(settings, target, result, problem) == -1) {
        fprintf(stderr, "%s: cannot run: %s\n", program, problem);
        outcome = -1;
    }
    if (outcome < 1)
        return outcome == 0 ? EXIT_UNEXPECTED : EXIT_FAILURES;
    view = report_view(settings, text, result);
    view.limit = find.limit;
    return report(options, view);
}

int main(int argc, char **argv)
{
    static struct load_result result; /* too large for a stack */
    struct target target = {.connected = -1};
    struct load_options options;
    int status;

    if (load_options_read(&options, argc, argv) == -1)
        return EXIT_USAGE;
    if (options.shows)
        return arguments_shown(program) == 0 ? EXIT_WELL : EXIT_FAILURES;
    if (choose_processes(&options.settings) == -1)
        return EXIT_USAGE;
    if (find_server(&options, &target) == -1)
        return EXIT_NO_SERVER;
    set_signals();
    options.settings.interrupted = &interrupted;
    status = run(&options, &target, &result);
    result_free(&result);
    return status;
}
