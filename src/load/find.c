/* load/find.c: see load/find.h. */
#include "load/find.h"

#include "load/processes.h"
#include "load/report.h"
#include "platform/waiting.h"

#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* The range is narrow enough when it is this share of its upper end, or one request a second. */
#define PRECISION 0.02

/* How far the search goes beyond what the closed loop has reached, which is never the same. */
#define HEADROOM 1.1

/* A rate is reached when this share of its requests is done in time, beside what is under way. */
#define REACHED 0.98

/* With less of its processor time left than this, a machine makes requests wait for a processor. */
#define IDLE_MIN 0.15

struct search {
    struct find *find;
    struct load_settings *settings;
    struct target *target;
    struct load_result *best, *tried;
    double holds; /* the highest rate that did; 0: none yet */
    double fails; /* the lowest that did not, or cannot be reached */
    double idle;  /* the machine's share in the last step; below 0: not known */
    size_t steps;
    char reason[FIND_REASON_MAX]; /* why the find's limit is that */
};

static bool is_interrupted(const struct search *search)
{
    return *search->settings->interrupted != 0;
}

/* ---- one step ---- */

/* Runs at this rate, or at 0 as fast as there are answers. Returns 0, or -1 (told). */
static int run_step(struct search *search, double rate)
{
    char problem[PROCESSES_PROBLEM_MAX];
    double idle = 0, all = 0, idle_after = 0, all_after = 0;
    bool is_known = platform_processors(&idle, &all) == 0;

    result_free(search->tried);
    memset(search->tried, 0, sizeof *search->tried);
    search->settings->rate = (struct load_ramp){rate, rate};
    search->steps++;
    if (processes_run(search->settings, search->target, search->tried, problem) == -1) {
        fprintf(stderr, "%s: cannot run: %s\n", search->find->program, problem);
        return -1;
    }
    is_known = is_known && platform_processors(&idle_after, &all_after) == 0 && all_after > all;
    search->idle = is_known ? (idle_after - idle) / (all_after - all) : -1;
    return 0;
}

static bool is_reached(const struct search *search, double rate)
{
    const struct load_tally *sum = &search->tried->sum;

    return (double)(sum->count + search->settings->concurrency) >= REACHED * rate * sum->seconds;
}

/* Whether the step that was run holds, which is told. */
static bool judge(const struct search *search, double rate)
{
    const struct expectations *conditions = search->find->conditions;
    const char *rated = search->settings->mode->rated;
    struct load_view view = report_view(search->settings, search->find->server, search->tried);
    char got[EXPECT_PROBLEM_MAX], list[EXPECTATIONS_MAX * 64] = "";
    bool holds = is_reached(search, rate);

    if (!holds)
        snprintf(list, sizeof list, "; only %.1f %s were done", search->tried->sum.rate, rated);
    for (size_t i = 0; i < conditions->count; i++) {
        size_t length = strlen(list);
        holds = expect_holds(&conditions->list[i], &view, got) && holds;
        snprintf(list + length, sizeof list - length, "; %s %s", conditions->list[i].name, got);
    }
    fprintf(stderr, "%s: %.0f %s %s: %s\n", search->find->program, rate, rated,
            holds ? "hold" : "do not hold", list + 2);
    return holds;
}

/* ---- what stopped it ---- */

const char *find_limit(const struct load_tally *sum, bool has_ports, double idle, char *reason)
{
    if (tally_is_busy(sum)) {
        snprintf(reason, FIND_REASON_MAX, "a process of echoload used %.0f %% of a processor (-j)",
                 sum->busy);
        return "client";
    }
    if (has_ports && sum->pauses > 0) {
        snprintf(reason, FIND_REASON_MAX, "%" PRIu64 " times no local port was free", sum->pauses);
        return "client";
    }
    if (idle >= 0 && idle < IDLE_MIN) {
        snprintf(reason, FIND_REASON_MAX, "its processors were idle for %.0f %% of the time",
                 idle * 100);
        return "machine";
    }
    if (tally_is_late(sum)) { /* by itself: on a machine without time, all would be */
        snprintf(reason, FIND_REASON_MAX, "it began requests %.1f ms late on average",
                 tally_lag(sum) * 1e3);
        return "client";
    }
    if (idle < 0) {
        snprintf(reason, FIND_REASON_MAX, "this system does not say how idle its processors were");
        return "unknown";
    }
    snprintf(reason, FIND_REASON_MAX,
             "this machine was idle for %.0f %% of the time, and a process of echoload used %.0f %% "
             "of a processor",
             idle * 100, sum->busy);
    return "server";
}

/* ---- the search ---- */

/* Tries a rate, twice if it does not hold at once. Returns 1 if it holds, 0 if not or where it was
 * interrupted, or -1 (told). */
static int try_rate(struct search *search, double rate)
{
    for (int i = 0; i < 2 && search->steps < FIND_STEPS_MAX; i++) {
        if (run_step(search, rate) == -1)
            return -1;
        if (is_interrupted(search))
            return 0;
        if (judge(search, rate))
            return 1;
        search->find->limit = find_limit(&search->tried->sum, search->find->server[0] != '/',
                                         search->idle, search->reason);
    }
    return 0;
}

/* Keeps what was just found as what holds. */
static void keep(struct search *search, double rate)
{
    struct load_result *before = search->best;

    search->best = search->tried;
    search->tried = before;
    search->holds = rate;
}

/* Finds where the range begins: at nothing, and ends: beyond what the connections can do. Returns
 * 0, or -1 (told). */
static int find_range(struct search *search)
{
    double rate;

    if (run_step(search, 0) == -1)
        return -1;
    rate = search->tried->sum.rate;
    search->fails = floor(rate * HEADROOM) + 1;
    fprintf(stderr, "%s: as fast as %zu connections go: %.1f %s\n", search->find->program,
            search->settings->concurrency, rate, search->settings->mode->rated);
    search->find->limit = rate > 0 ? "client" : "server";
    snprintf(search->reason, FIND_REASON_MAX, rate > 0 ? "its %zu connections go no faster (-c)"
                                                  : "of its %zu connections nothing came back",
             search->settings->concurrency);
    return 0;
}

static bool is_wide(const struct search *search)
{
    double width = search->fails - search->holds;

    return width > 1 && width > PRECISION * search->fails;
}

/* Returns 0, or -1 (told). */
static int narrow_range(struct search *search)
{
    while (is_wide(search) && search->steps < FIND_STEPS_MAX && !is_interrupted(search)) {
        double rate = floor((search->holds + search->fails) / 2);
        int outcome = try_rate(search, rate);
        if (outcome == -1)
            return -1;
        if (outcome == 1)
            keep(search, rate);
        else
            search->fails = rate;
    }
    return 0;
}

/* Says what was found. */
static void tell(const struct search *search)
{
    const struct find *find = search->find;
    const char *rated = search->settings->mode->rated;

    if (search->holds > 0)
        fprintf(stderr, "%s: found %.0f %s", find->program, search->holds, rated);
    else
        fprintf(stderr, "%s: found no rate that holds", find->program);
    if (find->limit == NULL)
        fprintf(stderr, " until it was interrupted\n");
    else
        fprintf(stderr, "; stopped by the %s: %s\n", find->limit, search->reason);
}

/* Searches, with room for the results. Returns as find_rate. */
static int search_all(struct search *search, struct load_result *result)
{
    int outcome = find_range(search);

    if (outcome == 0)
        outcome = narrow_range(search);
    if (is_interrupted(search))
        search->find->limit = NULL;
    if (outcome == 0)
        tell(search);
    search->settings->rate = (struct load_ramp){search->holds, search->holds};
    *result = *search->best;
    memset(search->best, 0, sizeof *search->best);
    return outcome == -1 ? -1 : search->holds > 0;
}

int find_rate(struct find *find, struct load_settings *settings, struct target *target,
              struct load_result *result)
{
    struct load_result *results = calloc(2, sizeof *results);
    struct search search = {.find = find, .settings = settings, .target = target,
                            .best = &results[0], .tried = &results[1]};
    int outcome;

    if (results == NULL) {
        fprintf(stderr, "%s: cannot run: %s\n", find->program, strerror(errno));
        return -1;
    }
    outcome = search_all(&search, result);
    result_free(search.best);
    result_free(search.tried);
    free(results);
    return outcome;
}
