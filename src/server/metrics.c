/* metrics.c: see metrics.h. */
#include "server/metrics.h"

#include "base/clock.h"
#include "base/text.h"
#include "platform/platform.h"
#include "process/log.h"

#include <string.h>
#include <sys/resource.h>

#define NAME_WIDTH 48  /* of the plain page */
#define VALUE_WIDTH 20 /* the digits of any number */

/* Counters end in _total. An information is always 1, and what it says is its labels. */
enum type { GAUGE, COUNTER, INFORMATION };
enum unit { NUMBER, SECONDS };

struct metric {
    const char *name;
    enum type type;
    enum unit unit;
    size_t offset; /* of its first value in struct metrics, ... */
    size_t count;  /* ... and how many there are, by this label: */
    const char *label;
    const char *(*label_value)(int);
    const char *help;
};

static const char *deferred_name(int why)
{
    return why == DEFERRED_CAP ? "max-connections" : "failure";
}

static const char *direction_name(int direction)
{
    return direction == BYTES_IN ? "in" : "out";
}

#define ONE(member) offsetof(struct metrics, member), 1, NULL, NULL
#define EACH(member, count, label, name) offsetof(struct metrics, member), count, label, name

static const struct metric table[] = {
    {"forkecho_build", INFORMATION, NUMBER, ONE(information),
     "What runs: its version, the server of the family and the C library."},
    {"forkecho_live_children", GAUGE, NUMBER, ONE(live), "Children that are not yet reaped."},
    {"forkecho_live_children_peak", GAUGE, NUMBER, ONE(peak), "The most live children at once."},
    {"forkecho_live_children_max", GAUGE, NUMBER, ONE(most),
     "The most live children that there may be (-c)."},
    {"forkecho_source_live_children_highest", GAUGE, NUMBER, ONE(source_most),
     "Live connections of the source that has most of them, which -C limits."},
    {"forkecho_oldest_connection_seconds", GAUGE, SECONDS, ONE(oldest),
     "For how long the oldest live connection has been there."},
    {"forkecho_held_clients", GAUGE, NUMBER, ONE(held),
     "Clients that were accepted and whose child could not be started yet: 0 or 1."},
    {"forkecho_connections_accepted", COUNTER, NUMBER, ONE(accepted),
     "Connections that were accepted: those that ended, were refused, are live or held."},
    {"forkecho_connections_ended", COUNTER, NUMBER,
     EACH(ended, ENDED_HOWS, "how", server_ending_name),
     "Connections whose child was reaped, by how they ended."},
    {"forkecho_connections_refused", COUNTER, NUMBER,
     EACH(refused, REFUSALS, "why", server_refusal_name),
     "Connections that were accepted and closed at once, by why."},
    {"forkecho_connections_deferred", COUNTER, NUMBER,
     EACH(deferred, DEFERRED_WHYS, "why", deferred_name),
     "Connections that were accepted only after they had found the gate closed, by why it was."},
    {"forkecho_gate_closed", GAUGE, NUMBER, EACH(closed, DEFERRED_WHYS, "why", deferred_name),
     "Whether new clients wait: because -c is reached, or something fails or just did (0 or 1)."},
    {"forkecho_stopping", GAUGE, NUMBER, ONE(stopping), "Whether the server drains: 0 or 1."},
    {"forkecho_bytes", COUNTER, NUMBER, EACH(bytes, DIRECTIONS, "direction", direction_name),
     "Bytes from and to clients of the echo, counted when their connection has ended."},
    {"forkecho_log_lines_lost", COUNTER, NUMBER, ONE(log_lost),
     "Lines that the log did not take."},
    {"forkecho_upgrades", COUNTER, NUMBER, ONE(upgrades),
     "Upgrades by which another program took over in this process."},
    {"forkecho_children_cpu_seconds", COUNTER, SECONDS, ONE(children_time),
     "Processor time of all children that were reaped."},
    {"process_cpu_seconds", COUNTER, SECONDS, ONE(parent_time),
     "Processor time of the parent, which accepts, forks and reaps; one processor at most."},
    {"process_start_time_seconds", GAUGE, SECONDS, ONE(started),
     "When the server was started, since the Epoch; an upgrade does not change it."},
};

#define TABLE_END (table + sizeof table / sizeof table[0])

/* ---- taking them ---- */

static uint64_t microseconds(struct timeval time)
{
    return (uint64_t)time.tv_sec * 1000000 + (uint64_t)time.tv_usec;
}

static uint64_t processor_time(int whose)
{
    struct rusage usage = {.ru_utime = {0}};

    (void)getrusage(whose, &usage);
    return microseconds(usage.ru_utime) + microseconds(usage.ru_stime);
}

void metrics_take(struct metrics *metrics, const struct server *server)
{
    const struct statistics *count = &server->statistics;
    const struct child *oldest = server->children->oldest;
    double now = clock_seconds();

    *metrics = (struct metrics){
        .model = server->options->program, .information = 1,
        .live = server->children->live, .peak = count->peak,
        .most = server->options->max_connections,
        .oldest = oldest != NULL ? (uint64_t)((now - oldest->since) * 1e6) : 0,
        .source_most = server->children->most_from_one, .held = server->gate.holding,
        .accepted = count->accepted,
        .deferred = {count->deferred_cap, count->deferred - count->deferred_cap},
        .stopping = server->stop.phase != SERVER_SERVING, .bytes = {count->in, count->out},
        .log_lost = log_lost(), .upgrades = count->upgrades, .started = count->since * 1000000,
        .parent_time = processor_time(RUSAGE_SELF),
        .children_time = processor_time(RUSAGE_CHILDREN)};
    metrics->closed[DEFERRED_CAP] = metrics->live >= metrics->most;
    metrics->closed[DEFERRED_FAILURE] = server->gate.failures > 0;
    for (size_t how = 0; how < ENDED_HOWS; how++)
        metrics->ended[how] = count->ended_how[how];
    for (size_t why = 0; why < REFUSALS; why++)
        metrics->refused[why] = count->refused_why[why];
}

/* ---- writing them ---- */

static uint64_t value_of(const struct metrics *metrics, const struct metric *metric, size_t which)
{
    uint64_t value;

    memcpy(&value, (const char *)metrics + metric->offset + which * sizeof value, sizeof value);
    return value;
}

static void add_value(struct text *text, enum unit unit, uint64_t value)
{
    if (unit == NUMBER) {
        text_add_number(text, value);
        return;
    }
    text_add_number(text, value / 1000000);
    text_add(text, ".");
    for (uint64_t part = 100000; part > 0; part /= 10)
        text_add_number(text, value / part % 10);
}

static void add_label(struct text *text, const char *before, const char *name, const char *value)
{
    text_add(text, before);
    text_add(text, name);
    text_add(text, "=\"");
    text_add(text, value);
    text_add(text, "\"");
}

static void add_sample(struct text *text, const struct metrics *metrics,
                       const struct metric *metric, size_t which)
{
    static const char *const endings[] = {"", "_total", "_info"};

    text_add(text, metric->name);
    text_add(text, endings[metric->type]);
    if (metric->type == INFORMATION) {
        add_label(text, "{", "version", VERSION);
        add_label(text, ",", "model", metrics->model);
        add_label(text, ",", "libc", platform_libc());
        text_add(text, "}");
    } else if (metric->label != NULL) {
        add_label(text, "{", metric->label, metric->label_value((int)which));
        text_add(text, "}");
    }
    text_add(text, " ");
    add_value(text, metric->unit, value_of(metrics, metric, which));
    text_add(text, "\n");
}

/* "# HELP name sentence" and "# TYPE name type". OpenMetrics has the ending in samples alone. */
static void add_heading(struct text *text, const struct metric *metric, bool open)
{
    static const char *const types[] = {"gauge", "counter", "info"};
    const char *ending = open || metric->type == GAUGE ? ""
                         : metric->type == COUNTER     ? "_total"
                                                       : "_info";
    const char *const lines[][2] = {
        {"# HELP ", metric->help},
        {"# TYPE ", open || metric->type != INFORMATION ? types[metric->type] : types[GAUGE]}};

    for (size_t i = 0; i < 2; i++) {
        text_add(text, lines[i][0]);
        text_add(text, metric->name);
        text_add(text, ending);
        text_add(text, " ");
        text_add(text, lines[i][1]);
        text_add(text, "\n");
    }
}

static void add_spaces(struct text *text, const char *to)
{
    while (text->at < to && text->at < text->end)
        text_add(text, " ");
}

/* "connections ended: eof            1204": the name without its beginning, and in words. */
static void add_plain(struct text *text, const struct metrics *metrics,
                      const struct metric *metric, size_t which)
{
    char *line = text->at, digits[32];
    struct text value = text_in(digits, sizeof digits);
    static const char own[] = "forkecho_";

    text_add(text, metric->name +
                       (strncmp(metric->name, own, strlen(own)) == 0 ? strlen(own) : 0));
    for (char *at = line; *at != '\0'; at++)
        if (*at == '_')
            *at = ' ';
    if (metric->label != NULL) {
        text_add(text, ": ");
        text_add(text, metric->label_value((int)which));
    }
    add_value(&value, metric->unit, value_of(metrics, metric, which));
    add_spaces(text, line + NAME_WIDTH + VALUE_WIDTH - (value.at - digits));
    text_add(text, digits);
    text_add(text, "\n");
}

static void add_plain_page(struct text *text, const struct metrics *metrics)
{
    text_add(text, metrics->model);
    text_add(text, " " VERSION ", ");
    text_add(text, platform_libc());
    text_add(text, "\n\n");
    for (const struct metric *each = table; each < TABLE_END; each++)
        for (size_t which = 0; each->type != INFORMATION && which < each->count; which++)
            add_plain(text, metrics, each, which);
}

size_t metrics_write(const struct metrics *metrics, enum http_page page,
                     char buffer[METRICS_PAGE_MAX])
{
    struct text text = text_in(buffer, METRICS_PAGE_MAX);

    if (page == HTTP_PLAIN) {
        add_plain_page(&text, metrics);
        return (size_t)(text.at - buffer);
    }
    for (const struct metric *each = table; each < TABLE_END; each++) {
        add_heading(&text, each, page == HTTP_OPENMETRICS);
        for (size_t which = 0; which < each->count; which++)
            add_sample(&text, metrics, each, which);
    }
    if (page == HTTP_OPENMETRICS)
        text_add(&text, "# EOF\n");
    return (size_t)(text.at - buffer);
}
