/*
 * failures.h: errno to what a server does about it. One table for accept, fork and waiting.
 *
 * Some errors concern one connection (its client has vanished before accept): the server goes on.
 * Some can be cured from outside (descriptors, processes, memory): it waits. And some can only be a
 * defect of its own: it stops. It waits for what is not in the table: an unknown error neither ends
 * the server nor makes it spin.
 *
 * Sources: accept(2) and fork(2) of POSIX.1-2008, and the network errors that Linux passes
 * to accept (accept(2), "Error handling").
 */
#ifndef FAILURES_H
#define FAILURES_H

#include <stdbool.h>

enum failure_action {
    FAILURE_RETRY, /* it concerned one connection, or nothing: go on */
    FAILURE_PAUSE, /* go on when a child has ended, or after a pause */
    FAILURE_STOP   /* it cannot pass: stop the server */
};

enum failure_action failure_action(int error);

/* Whether accept is to be waited or stopped for after `error`, and not tried again at once. With
 * FAILURE_RETRY that is so only after many such errors in a row, which `*retries` counts; the caller
 * sets it to 0 when accept succeeds. EAGAIN and EINTR are no failures, however often they come. */
bool failure_persists(int error, unsigned *retries);

#endif
