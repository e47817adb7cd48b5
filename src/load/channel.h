/*
 * load/channel.h: what a worker of a run and its parent say to each other (load/processes.h).
 *
 * A worker sends messages of one size: its standing, that it waits for the others, that it has
 * ended; the last is followed by its result. Only a worker that waits is answered: whether to go
 * on, and when. Both ends are forks of one program, so a message is a struct as it lies in memory,
 * and a time is of the same clock.
 *
 * All functions wait until the message is through. The parent reads whenever there is something,
 * so a worker that measures never waits for it. When one of the two is gone, the channel of the
 * other is broken (POSIX.1-2008, send: EPIPE; SIGPIPE must be ignored).
 */
#ifndef LOAD_CHANNEL_H
#define LOAD_CHANNEL_H

#include "load/progress.h"
#include "load/result.h"

#include <stdbool.h>

/* ---- for a worker: all return -1 with errno when the channel is broken ---- */

/* Reports its standing. Returns 0 or -1. */
int channel_report(int channel, const struct load_standing *standing);

/* Waits for the others. Returns 1 to go on at `*moment` (clock.h), 0 to measure no more, or -1. */
int channel_wait(int channel, double *moment);

/* Its last message: the result, or the errno, not 0, for which there is none. Returns 0 or -1. */
int channel_end(int channel, int error, const struct load_result *result);

/* ---- for the parent ---- */

enum channel_news {
    CHANNEL_BROKEN,   /* the worker is gone without a last message */
    CHANNEL_STANDING, /* its standing has been set */
    CHANNEL_WAITING,  /* it waits for channel_answer */
    CHANNEL_ENDED,    /* its result has been added to the whole */
    CHANNEL_FAILED    /* it has no result: errno says why */
};

/* Receives the next message, of which a part must be there. */
enum channel_news channel_receive(int channel, struct load_standing *standing,
                                  struct load_result *whole);

/* Returns 0, or -1 with errno. */
int channel_answer(int channel, bool goes_on, double moment);

#endif
