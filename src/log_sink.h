/*
 * log_sink.h: where a line of the log goes, and what stands before it there.
 *
 *   a terminal           the time, for whoever watches
 *   a file, a pipe       nothing: what reads the pipe may add a time of its own
 *   the journal          its priority as "<5>", no time (sd-daemon(3); the journal has one)
 *   syslogd              the header of RFC 3164, one datagram a line to /dev/log
 *
 * No write ever waits. Standard error is often a description that others share, and
 * O_NONBLOCK set there would surprise them; so a pipe or terminal is opened anew where the
 * system can do that, else asked first whether it has room. A syslogd that is absent or was
 * restarted is looked for again at the next line, at most once a second.
 */
#ifndef LOG_SINK_H
#define LOG_SINK_H

#include <stdbool.h>
#include <stddef.h>

/* Most characters of a prefix. */
#define LOG_PREFIX_MAX 64

/* What a line is worth, as in syslog(3). */
enum log_priority { PRIORITY_ERROR = 3, PRIORITY_NOTICE = 5, PRIORITY_INFO = 6, PRIORITY_DEBUG = 7 };

/* Standard error, by what it is. */
void log_sink_open_standard(void);

/* Standard error may have been redirected: looks again at what it is, if it is in use. */
void log_sink_redirected(void);

/* The facility of this name ("daemon", "local0"), or -1. */
int log_sink_facility(const char *name);

/* syslogd, instead of standard error; that it is absent is no error. `for_children` says that
 * they will log as well. Returns 0, or -1 with errno when there is no socket to be had. */
int log_sink_open_syslog(const char *program, int facility, bool for_children);

/* Writes what comes before a line. Returns how many characters. */
size_t log_sink_prefix(char *line, enum log_priority priority);

/* Writes a whole line, its newline included. Returns whether it was taken. */
bool log_sink_write(const char *line, size_t length);

#endif
