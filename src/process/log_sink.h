/*
 * log_sink.h: where a line of the log goes, and what stands before it there.
 *
 *   a terminal           the time, for whoever watches
 *   a file, a pipe       nothing: what reads the pipe may add a time of its own
 *   the journal          its priority as "<5>", no time (sd-daemon(3); the journal has one)
 *   syslogd              the header of RFC 3164, one datagram a line to /dev/log
 *
 * No write ever waits. Standard error is often a description that others share, and
 * O_NONBLOCK set there would surprise them; so a terminal is opened anew as /dev/tty where it
 * is the controlling one, and as /dev/stderr otherwise, as is a pipe. Where that is denied, as
 * on a pipe that root has made for a server of somebody else, or goes without effect (other
 * systems than Linux), O_NONBLOCK is set on what is shared: those who write there may find it
 * full, but the server is not stopped. To ask first (poll) would not do: a terminal with room
 * for one byte says yes, and on a pipe another writer may come in between.
 *
 * A syslogd that is absent or was restarted is looked for again at the next line, at most once
 * a second, at /dev/log of the root directory that the server has by then (-r).
 */
#ifndef LOG_SINK_H
#define LOG_SINK_H

#include <stdbool.h>
#include <stddef.h>

/* Most characters of a prefix. */
#define LOG_PREFIX_MAX 64

/* What a line is worth, as in syslog(3). */
enum log_priority {
    PRIORITY_ERROR = 3,
    PRIORITY_NOTICE = 5,
    PRIORITY_INFO = 6,
    PRIORITY_DEBUG = 7
};

enum log_sink { SINK_STANDARD, SINK_SYSLOG };

/* Standard error, by what it is. */
void log_sink_open_standard(void);

/* Standard error may have been redirected: looks again at what it is. */
void log_sink_redirected(void);

/* The facility of this name ("daemon", "local0"), or -1. */
int log_sink_facility(const char *name);

/* syslogd; that it is absent is no error. `for_children` says that they will log as well.
 * Returns 0, or -1 with errno when there is no socket to be had. */
int log_sink_open_syslog(const char *program, int facility, bool for_children);

/* syslogd's socket, -1 where there is none; and another one in its place. */
int log_sink_descriptor(void);
void log_sink_adopt(int descriptor);

/* Writes what comes before a line. Returns how many characters. */
size_t log_sink_prefix(enum log_sink sink, char *line, enum log_priority priority);

/* Writes a whole line, its newline included. Returns whether it was taken. */
bool log_sink_write(enum log_sink sink, const char *line, size_t length);

/* Whether standard error was a terminal that has hung up since. */
bool log_sink_hung_up(void);

#endif
