/*
 * log_sink.h: where a line of the log goes, and what stands before it there.
 *
 *   a terminal           the time, for whoever watches
 *   a file, a pipe       nothing: what reads the pipe may add a time of its own
 *   the journal          its priority as "<5>", no time (sd-daemon(3); the journal has one)
 *   syslogd              the header of RFC 3164, one datagram a line to /dev/log; or, where that is
 *                        a stream, lines that end with a NUL, as syslog(3) of glibc does it
 *
 * A file is appended to (O_APPEND), so that what rotates logs can copy and truncate it: at the old
 * offset the next line would stand behind as many NULs.
 *
 * No write ever waits. O_NONBLOCK would surprise whoever shares the open file description of
 * standard error, so a pipe or terminal is opened anew. Where that fails, as on root's pipe for a
 * server of another user, or has no effect, as on other systems than Linux, O_NONBLOCK is set. To
 * poll first would not do: a terminal with one byte of room is ready, and others may fill a pipe.
 *
 * Where syslogd is absent or was restarted, the next line connects again (POSIX.1-2008, connect),
 * at most once a second; in another root directory (-r) /dev/log may lead nowhere.
 */
#ifndef LOG_SINK_H
#define LOG_SINK_H

#include <stdbool.h>

#define LOG_LINE_MAX 512 /* _POSIX_PIPE_BUF: what every system writes to a pipe as one */

/* The numbers of syslog(3). */
enum log_priority { PRIORITY_ERROR = 3, PRIORITY_NOTICE = 5, PRIORITY_INFO, PRIORITY_DEBUG };
enum log_sink { SINK_STANDARD, SINK_SYSLOG };

/* To be called again when standard error may have been redirected. */
void log_sink_open_standard(void);

/* The number of the facility of this name ("daemon", "local0"), or -1. */
int log_sink_facility(const char *name);

/* Opens a socket to syslogd, which may be absent. Keeps `program`. Returns 0, or -1 with errno. */
int log_sink_open_syslog(const char *program, int facility);

/* Why syslogd could not be connected when that was last tried, an errno; 0: it was. */
int log_sink_unreached(void);

/* The socket to syslogd; -1: there is none. And gives it another number. */
int log_sink_descriptor(void);
void log_sink_moved(int descriptor);

/* Writes a text as one line, cut to LOG_LINE_MAX. Returns whether all of that was written. */
bool log_sink_write(enum log_sink sink, enum log_priority priority, const char *text);

/* Whether standard error was a terminal and has hung up since. */
bool log_sink_hung_up(void);

#endif
