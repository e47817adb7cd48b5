/*
 * load/line.h: the line between a process of a load generator and the one that leads it.
 *
 * A stream socket for each process of a team (load/team.h), with messages of one size: where it
 * stands, that it waits for the others, that it has ended; behind the last comes its result.
 * The only answer is to a wait: whether to go on, and when. Both ends are forks of one program, so
 * a message is a struct as it lies in memory, and a time is of the same clock.
 *
 * Functions wait until all of a message is through. Who leads reads whenever there is something,
 * so that no one else ever waits for it while it measures; a process that is gone breaks its line
 * for the other end (POSIX.1-2008, send: EPIPE; SIGPIPE must be ignored).
 */
#ifndef LOAD_LINE_H
#define LOAD_LINE_H

#include "load/progress.h"
#include "load/result.h"

#include <stdbool.h>

/* ---- for a process of the team; all return -1 with errno when the line is broken ---- */

/* Tells where it stands. Returns 0 or -1. */
int line_tell(int line, const struct load_standing *standing);

/* Waits until it is told whether to go on, and from which moment on (clock.h). Returns 1, or 0 to
 * measure no more, or -1. */
int line_wait(int line, double *moment);

/* Its last word: the result; or the errno, not 0, for which there is none. Returns 0 or -1. */
int line_end(int line, int error, const struct load_result *result);

/* ---- for the one that leads ---- */

enum line_news {
    LINE_BROKEN, /* it is gone without a last word */
    LINE_STANDS, /* the standing has been set */
    LINE_WAITS,  /* it has to be answered, by line_answer */
    LINE_ENDED,  /* it has joined its result */
    LINE_FAILED  /* there is none: errno says why */
};

/* Takes the next message, of which a part must be there. A result joins `whole`. */
enum line_news line_take(int line, struct load_standing *standing, struct load_result *whole);

/* Returns 0, or -1 with errno. */
int line_answer(int line, bool goes_on, double moment);

#endif
