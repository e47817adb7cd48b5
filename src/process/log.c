/* log.c: see log.h. */
#include "process/log.h"

#include "base/clock.h"
#include "process/log_sink.h"

#include <errno.h>
#include <math.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

struct flood {
    unsigned limit;      /* lines in a second */
    const char *summary; /* the format of the line that counts the rest */
    double since;        /* when the present second began */
    unsigned long lines; /* lines in it */
};

static struct {
    const char *program;
    enum log_level level;
    enum log_sink sink;
    bool starting; /* errors go to standard error as well */
    atomic_ulong lost; /* lines that could not be written, and of which the log does not know yet */
    unsigned long told; /* lost lines of which it does */
    struct flood errors, refusals;
    char last_error[LOG_LINE_MAX]; /* its text, and ... */
    int last_errno;                /* ... the errno when it was logged */
} the_log = {
    .program = "forkecho", .level = LOG_NORMAL,
    .errors = {.limit = 10, .summary = "errors more=%lu secs=1"},
    .refusals = {.limit = 100, .summary = "refuse more=%lu secs=1"},
};

void log_name(const char *program)
{
    the_log.program = program;
}

void log_open(enum log_level level, int facility)
{
    the_log.level = level;
    log_sink_open_standard();
    the_log.sink = SINK_STANDARD;
    the_log.starting = true;
    if (facility != -1 && log_sink_open_syslog(the_log.program, facility) == 0)
        the_log.sink = SINK_SYSLOG;
    else if (facility != -1)
        log_error("cannot log to syslogd (-s): %s; standard error is the log", strerror(errno));
}

void log_report_unreached(void)
{
    if (the_log.sink == SINK_SYSLOG && log_sink_unreached() != 0)
        log_error("cannot reach syslogd at /dev/log (-s): %s; lines are lost until it is there",
                  strerror(log_sink_unreached()));
}

void log_started(void)
{
    the_log.starting = false;
    log_sink_open_standard();
}

void log_adopt(int descriptor)
{
    if (descriptor == 0)
        return;
    if (log_sink_descriptor() != -1)
        close(log_sink_descriptor());
    log_sink_moved(descriptor);
    the_log.sink = SINK_SYSLOG;
}

bool log_shows(enum log_level level)
{
    return level <= the_log.level;
}

static void write_lost(void)
{
    unsigned long lost = the_log.lost;
    char text[64];

    snprintf(text, sizeof text, "log lost=%lu", lost);
    if (lost > 0 && log_sink_write(the_log.sink, PRIORITY_ERROR, text)) {
        the_log.lost -= lost; /* threads may have lost more meanwhile */
        the_log.told += lost;
    }
}

unsigned long log_lost(void)
{
    return the_log.told + the_log.lost;
}

void log_set_lost(unsigned long lost)
{
    the_log.told = lost;
}

/* `loop`: not a child, which has a copy of the count of lost lines, nor a thread writes it. */
static void write_line(bool loop, enum log_priority priority, const char *text)
{
    int saved = errno;

    if (the_log.starting && priority == PRIORITY_ERROR && the_log.sink != SINK_STANDARD)
        (void)log_sink_write(SINK_STANDARD, priority, text);
    if (loop)
        write_lost();
    if (!log_sink_write(the_log.sink, priority, text))
        the_log.lost++;
    errno = saved;
}

void log_event(enum log_level level, const char *format, ...)
{
    static const enum log_priority priorities[] = {PRIORITY_NOTICE, PRIORITY_NOTICE,
                                                   PRIORITY_INFO, PRIORITY_DEBUG};
    char text[LOG_LINE_MAX];
    va_list values;

    if (!log_shows(level))
        return;
    va_start(values, format);
    vsnprintf(text, sizeof text, format, values);
    va_end(values);
    write_line(level < LOG_MESSAGES, priorities[level], text);
}

/* Where a second is over, ends it, and writes how many lines of a flood were left out. Returns when
 * a second will be over in which some were; 0: there is none. */
static double sum_up(struct flood *flood, double now)
{
    unsigned long lines = flood->lines;

    if (now < flood->since + 1)
        return lines > flood->limit ? flood->since + 1 : 0;
    if (lines > 0) /* not else: after a fork the write costs a copy of the page (platform.h) */
        flood->lines = 0;
    if (lines > flood->limit)
        log_event(LOG_QUIET, flood->summary, lines - flood->limit);
    return 0;
}

/* Counts one more line: the first begins a second. Returns whether it may be written. */
static bool admit(struct flood *flood)
{
    double now = clock_seconds();

    (void)sum_up(flood, now);
    if (flood->lines++ == 0)
        flood->since = now;
    return flood->lines <= flood->limit;
}

bool log_shows_refusal(void)
{
    return log_shows(LOG_CLIENTS) && admit(&the_log.refusals);
}

void log_error(const char *format, ...)
{
    char text[LOG_LINE_MAX];
    va_list values;
    size_t used;

    if (!admit(&the_log.errors))
        return;
    the_log.last_errno = errno;
    used = (size_t)snprintf(text, sizeof text, "%.255s: ", the_log.program);
    va_start(values, format);
    vsnprintf(text + used, sizeof text - used, format, values);
    va_end(values);
    strcpy(the_log.last_error, text + used);
    write_line(true, PRIORITY_ERROR, text);
}

const char *log_last_error(int *error)
{
    bool in_text = strstr(the_log.last_error, strerror(the_log.last_errno)) != NULL;

    *error = in_text ? the_log.last_errno : EINVAL;
    return the_log.last_error;
}

double log_sum_up(double now)
{
    double errors = sum_up(&the_log.errors, now);

    return clock_earlier(errors, sum_up(&the_log.refusals, now));
}

void log_sum_up_all(void)
{
    (void)log_sum_up(HUGE_VAL); /* a time when every second is over */
    write_lost();
}
