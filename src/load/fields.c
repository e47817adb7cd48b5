/* load/fields.c: see load/fields.h. */
#include "load/fields.h"

#include <inttypes.h>
#include <stdio.h>

#define MICROSECONDS 1e6

enum kind {
    KIND_TEXT,    /* const char * */
    KIND_RAMP,    /* struct load_settings; none where nothing changes: the last that is no number */
    KIND_SIZE,    /* size_t */
    KIND_COUNT,   /* uint64_t */
    KIND_SECONDS, /* double, to the millisecond */
    KIND_TENTHS,  /* double */
    KIND_ASKED,   /* the same; 0 is none */
    KIND_TIME     /* struct histogram, one of its percentiles */
};

enum unit {
    UNIT_NONE,
    UNIT_BYTES,
    UNIT_SECONDS,
    UNIT_PERCENT,
    UNIT_MICROSECONDS,
    UNIT_COUNTED, /* what the mode counts ... */
    UNIT_RATED    /* ... and what its rate is measured in */
};

enum base { OF_VIEW, OF_SETTINGS, OF_TALLY, OF_RESULT };

struct field {
    const char *name;
    unsigned scope;
    enum base base;
    size_t offset;
    enum kind kind;
    enum unit unit;
    double percent; /* of a histogram */
};

#define VIEW(name, scope, member, kind, unit) \
    {name, scope, OF_VIEW, offsetof(struct load_view, member), kind, unit, 0}
#define SETTING(name, member, kind, unit) \
    {name, FIELD_SETTING, OF_SETTINGS, offsetof(struct load_settings, member), kind, unit, 0}
#define MEASURED(name, member, kind, unit) \
    {name, FIELD_MEASURED, OF_TALLY, offsetof(struct load_tally, member), kind, unit, 0}
#define OF_ALL(name, scope, member, kind, unit) \
    {name, scope, OF_RESULT, offsetof(struct load_result, member), kind, unit, 0}
#define PERCENTILE(name, member, percent)                                            \
    {name, FIELD_MEASURED, OF_TALLY, offsetof(struct load_tally, member), KIND_TIME, \
     UNIT_MICROSECONDS, percent}
#define PERCENTILES(prefix, member)                                                     \
    PERCENTILE(prefix "p50", member, 50), PERCENTILE(prefix "p90", member, 90),         \
        PERCENTILE(prefix "p99", member, 99), PERCENTILE(prefix "p99.9", member, 99.9), \
        PERCENTILE(prefix "p99.99", member, 99.99), PERCENTILE(prefix "max", member, 100)

static const struct field fields[] = {
    VIEW("mode", FIELD_SETTING, mode, KIND_TEXT, UNIT_NONE),
    VIEW("target", FIELD_SETTING, target, KIND_TEXT, UNIT_NONE),
    VIEW("concurrency", FIELD_SETTING, concurrency, KIND_SIZE, UNIT_NONE),
    SETTING("size", size, KIND_SIZE, UNIT_BYTES),
    VIEW("rate-asked", FIELD_SETTING, rate_asked, KIND_ASKED, UNIT_RATED),
    {"ramp", FIELD_SETTING, OF_SETTINGS, 0, KIND_RAMP, UNIT_NONE, 0},
    SETTING("rounds", rounds, KIND_SIZE, UNIT_NONE),
    SETTING("duration", duration, KIND_SECONDS, UNIT_SECONDS),
    SETTING("warm-up", warm_up, KIND_SECONDS, UNIT_SECONDS),
    SETTING("timeout", timeout, KIND_SECONDS, UNIT_SECONDS),
    SETTING("processes", processes, KIND_SIZE, UNIT_NONE),
    VIEW("round", FIELD_ROUND, round, KIND_COUNT, UNIT_NONE),
    VIEW("elapsed", FIELD_ROUND, elapsed, KIND_SECONDS, UNIT_SECONDS),
    MEASURED("seconds", seconds, KIND_SECONDS, UNIT_SECONDS),
    MEASURED("count", count, KIND_COUNT, UNIT_COUNTED),
    MEASURED("rate", rate, KIND_TENTHS, UNIT_RATED),
    OF_ALL("rate-min", FIELD_SPREAD, spread.lowest, KIND_TENTHS, UNIT_RATED),
    OF_ALL("rate-max", FIELD_SPREAD, spread.highest, KIND_TENTHS, UNIT_RATED),
    MEASURED("late", late, KIND_COUNT, UNIT_COUNTED),
    MEASURED("failed", failures, KIND_COUNT, UNIT_NONE),
    MEASURED("failed-connect", failed[FAILED_CONNECT], KIND_COUNT, UNIT_NONE),
    MEASURED("failed-reset", failed[FAILED_RESET], KIND_COUNT, UNIT_NONE),
    MEASURED("failed-early", failed[FAILED_EARLY], KIND_COUNT, UNIT_NONE),
    MEASURED("failed-wrong", failed[FAILED_WRONG], KIND_COUNT, UNIT_NONE),
    MEASURED("failed-timeout", failed[FAILED_TIMEOUT], KIND_COUNT, UNIT_NONE),
    MEASURED("pauses", pauses, KIND_COUNT, UNIT_NONE),
    PERCENTILES("", latency),
    PERCENTILES("connect-", connect),
    PERCENTILES("first-", first),
    PERCENTILES("message-", message),
    PERCENTILES("service-", service),
    MEASURED("client-busy", busy, KIND_TENTHS, UNIT_PERCENT),
    OF_ALL("opening", FIELD_RUN, opening, KIND_SECONDS, UNIT_SECONDS),
    OF_ALL("held", FIELD_RUN, held, KIND_SIZE, UNIT_NONE),
    OF_ALL("held-failed", FIELD_RUN, held_failed, KIND_SIZE, UNIT_NONE),
    OF_ALL("held-lost", FIELD_RUN, held_lost, KIND_SIZE, UNIT_NONE),
    OF_ALL("held-opening", FIELD_RUN, held_opening, KIND_SECONDS, UNIT_SECONDS),
    VIEW("limited-by", FIELD_RUN, limit, KIND_TEXT, UNIT_NONE),
};

static const void *place_of(const struct field *field, const struct load_view *view)
{
    const void *const bases[] = {
        [OF_VIEW] = view,
        [OF_SETTINGS] = view->settings,
        [OF_TALLY] = view->tally,
        [OF_RESULT] = view->result,
    };

    return (const char *)bases[field->base] + field->offset;
}

static const char *unit_of(const struct field *field, const struct load_mode *mode)
{
    const char *const units[] = {
        [UNIT_NONE] = "",           [UNIT_BYTES] = "bytes",
        [UNIT_SECONDS] = "s",       [UNIT_PERCENT] = "%",
        [UNIT_MICROSECONDS] = "us", [UNIT_COUNTED] = mode->counted,
        [UNIT_RATED] = mode->rated,
    };

    return units[field->unit];
}

/* As --ramp takes it; NULL where nothing changes. */
static const char *ramp_of(const struct load_settings *settings, char *text)
{
    bool is_rate = ramp_changes(&settings->rate);
    const struct load_ramp *ramp = is_rate ? &settings->rate : &settings->working;

    snprintf(text, FIGURE_MAX, "%s=%.0f..%.0f", is_rate ? "rate" : "concurrency", ramp->from,
             ramp->to);
    return ramp_changes(ramp) ? text : NULL;
}

/* The value at `place` as text, which may be written into `text`, of FIGURE_MAX; NULL for none. */
static const char *value_of(const struct field *field, const void *place, char *text)
{
    const struct histogram *times = place;

    switch (field->kind) {
    case KIND_TEXT:
        return *(const char *const *)place;
    case KIND_RAMP:
        return ramp_of(place, text);
    case KIND_SIZE:
        snprintf(text, FIGURE_MAX, "%zu", *(const size_t *)place);
        return text;
    case KIND_COUNT:
        snprintf(text, FIGURE_MAX, "%" PRIu64, *(const uint64_t *)place);
        return text;
    case KIND_SECONDS:
        snprintf(text, FIGURE_MAX, "%.3f", *(const double *)place);
        return text;
    case KIND_ASKED:
    case KIND_TENTHS:
        snprintf(text, FIGURE_MAX, "%.1f", *(const double *)place);
        return field->kind == KIND_TENTHS || *(const double *)place > 0 ? text : NULL;
    case KIND_TIME:
        if (times->total == 0)
            return NULL;
        snprintf(text, FIGURE_MAX, "%.1f",
                 histogram_percentile(times, field->percent) * MICROSECONDS);
        return text;
    }
    return NULL;
}

void fields_each(const struct load_view *view, unsigned scopes, figure_printer *print,
                 void *context)
{
    char text[FIGURE_MAX];

    for (size_t i = 0; i < sizeof fields / sizeof *fields; i++) {
        const struct field *field = &fields[i];
        struct figure figure = {.name = field->name, .is_number = field->kind > KIND_RAMP};
        if ((field->scope & scopes) == 0)
            continue;
        figure.value =
            view->result != NULL ? value_of(field, place_of(field, view), text) : NULL;
        figure.unit = unit_of(field, view->settings->mode);
        print(context, &figure);
    }
}
