/* load_report.c: see load_report.h. */
#include "load_report.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#define MICROSECONDS 1e6

/* The word in the report, and how the error line says it. */
static const struct {
    const char *name, *phrase;
} reasons[FAILURES] = {
    [FAILED_CONNECT] = {"failed-connect", "could not connect"},
    [FAILED_RESET] = {"failed-reset", "reset by the server"},
    [FAILED_EARLY] = {"failed-early", "ended before all was echoed"},
    [FAILED_WRONG] = {"failed-wrong", "wrong bytes"},
    [FAILED_TIMEOUT] = {"failed-timeout", "no answer in time"},
};

static void print_count(const char *name, uint64_t count, const char *unit)
{
    printf("%-15s %" PRIu64 "%s%s\n", name, count, *unit != '\0' ? " " : "", unit);
}

static void print_latency(const char *name, const struct histogram *latency, double percent)
{
    if (latency->total == 0)
        printf("%-15s -\n", name);
    else
        printf("%-15s %.1f us\n", name, histogram_percentile(latency, percent) * MICROSECONDS);
}

static void print_failures(const struct load_result *result)
{
    uint64_t sum = 0;

    for (int i = 0; i < FAILURES; i++)
        sum += result->failed[i];
    print_count("failed", sum, "");
    for (int i = 0; i < FAILURES; i++)
        print_count(reasons[i].name, result->failed[i], "");
}

int report_print(const struct load_settings *settings, const char *target,
                 const struct load_result *result)
{
    const struct load_mode *mode = settings->mode;

    printf("%-15s %s\n", "mode", mode->name);
    printf("%-15s %s\n", "target", target);
    print_count("concurrency", settings->concurrency, "");
    print_count("size", settings->size, "bytes");
    printf("%-15s %.3f s\n", "seconds", result->seconds);
    print_count("count", result->count, mode->counted);
    printf("%-15s %.1f %s\n", "rate", result->rate, mode->rated);
    print_count("late", result->late, mode->counted);
    print_failures(result);
    print_count("pauses", result->pauses, "");
    print_latency("p50", &result->latency, 50);
    print_latency("p90", &result->latency, 90);
    print_latency("p99", &result->latency, 99);
    print_latency("max", &result->latency, 100);
    printf("%-15s %.3f s\n", "opening", result->opening);
    print_count("held", result->held, "");
    print_count("held-failed", result->held_failed, "");
    print_count("held-lost", result->held_lost, "");
    printf("%-15s %.3f s\n", "held-opening", result->held_opening);
    return fflush(stdout) == EOF || ferror(stdout) ? -1 : 0;
}

void report_failures(const char *program, const struct load_result *result)
{
    if (result->failures == 0)
        return;
    fprintf(stderr, "%s: %" PRIu64 " failure%s, the first: %s%s%s\n", program, result->failures,
            result->failures == 1 ? "" : "s", reasons[result->first_failure].phrase,
            result->first_error != 0 ? ": " : "",
            result->first_error != 0 ? strerror(result->first_error) : "");
}
