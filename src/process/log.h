/*
 * log.h: one event, one line.
 *
 * An event is a verb and key=value fields; an error is `program: what failed: why; what to do`.
 *
 * The log never stops the server. A line is one write of at most LOG_LINE_MAX bytes. Where the
 * reader is slow or gone the line is lost; how many were is written once the log takes lines again.
 * Of errors and refusals, which a hostile client can cause at will, so many are written in a
 * second, and then one line that counts the rest.
 *
 * Threads and children may call log_event with LOG_MESSAGES; all else belongs to the one thread
 * that runs the server's loop. A line that a child loses is not counted.
 */
#ifndef LOG_H
#define LOG_H

#include "process/log_sink.h" /* LOG_LINE_MAX */

#include <stdbool.h>

enum log_level {
    LOG_QUIET,    /* -q: errors only */
    LOG_NORMAL,   /* starts, stops, status */
    LOG_CLIENTS,  /* -v: accept, end, refuse */
    LOG_MESSAGES  /* -vv: what clients send */
};

/* The name that errors begin with, and that syslogd is given. Call it before the log is opened. */
void log_name(const char *program);

/* Opens the log: to syslogd with this facility (log_sink.h), or with -1 to standard error. */
void log_open(enum log_level level, int facility);

/* Has standard error say, after log_open, that syslogd cannot be reached, where that is so. */
void log_report_unreached(void);

/* Errors no longer go to standard error as well as to syslogd. Looks again at what standard error
 * is, which daemon_ready may have redirected. */
void log_started(void);

/* For a program that takes over in this process (upgrade/takeover.h), after log_open, with
 * the socket to syslogd that it was left: /dev/log may be out of reach by now (-r). 0: none. */
void log_adopt(int descriptor);

/* Ask before costly preparation; and before a refusal is logged, for that counts one more. */
bool log_shows(enum log_level level);
bool log_shows_refusal(void);

/* Errors are always shown. The format has no newline. */
void log_event(enum log_level level, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
void log_error(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* The last error, without the program's name, and the errno in its text; EINVAL: there is none. */
const char *log_last_error(int *error);

/* How many lines were lost since the start. And says how many an earlier program of this process
 * had lost. */
unsigned long log_lost(void);
void log_set_lost(unsigned long lost);

/* Writes what was summed up and is due at `now`. Returns when to call again at the latest
 * (clock.h), or 0. Or, for the end of a program, all that was, and how many lines were lost. */
double log_sum_up(double now);
void log_sum_up_all(void);

#endif
