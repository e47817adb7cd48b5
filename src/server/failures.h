/*
 * failures.h: errno to what a server does about it. One table for accept, fork and waiting.
 *
 * A server must outlive what passes (a client that vanished before accept), must wait for
 * what can be cured from outside (descriptors, processes, memory), and must stop at what
 * can only be a defect of its own. What is not in the table is waited for: an unknown
 * error neither ends the server nor makes it spin.
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

/*
 * Whether accept, which has failed with `error`, is to be waited out or to be stopped for, and
 * not just tried again: that is so for all but FAILURE_RETRY, and for that as well when it
 * has come many times in a row, which `*retries` counts; success sets it to 0. That nobody is
 * waiting (EAGAIN) or a signal came (EINTR) is no failure, however often it comes.
 */
bool failure_persists(int error, unsigned *retries);

#endif
