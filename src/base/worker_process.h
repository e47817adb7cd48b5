/*
 * worker_process.h: processes that this one forks to work at the same time, and waits for.
 *
 * A worker calls one function and exits with the status that it returns. A channel, which is a
 * stream socket, leads from it to its parent. No other worker holds it, so each of the two sees
 * when the other is gone: reading ends, writing fails with EPIPE (SIGPIPE must be ignored).
 *
 * Cost: a descriptor of the parent for each worker. workers_poll looks at all channels each time.
 */
#ifndef WORKER_PROCESS_H
#define WORKER_PROCESS_H

#include <poll.h>
#include <stddef.h>
#include <sys/types.h>

struct worker_process {
    pid_t pid;   /* 0 once it has been waited for */
    int channel; /* the parent's end; -1 once it is closed */
};

/* All zero, there are none, and no room for any. */
struct workers {
    struct worker_process *list;
    struct pollfd *polls; /* what workers_poll found: polls[i] is about list[i] */
    size_t count;         /* how many were started */
    size_t open;          /* how many of them have an open channel */
};

/* What a worker does: `number` is its place in the list, `channel` its end, which stays open until
 * it exits. Returns its exit status. */
typedef int worker_run(void *context, size_t number, int channel);

/* Makes room for `count` workers. SIGCHLD gets its default action: inherited as ignored, it would
 * leave nobody to wait for (POSIX.1-2008, wait). Returns 0, or -1 with errno; then free it too. */
int workers_new(struct workers *workers, size_t count);

/* Starts one more, for which there is room. Returns 0, or -1 with errno. */
int workers_start(struct workers *workers, worker_run *run, void *context);

/* Waits until there is something to read, or the end, in a channel that is open; as clock_poll. */
int workers_poll(struct workers *workers, double seconds);

/* Closes the parent's end of a channel, which is open. */
void workers_close(struct workers *workers, size_t number);

/* Sends a signal to all that have not been waited for. */
void workers_signal(const struct workers *workers, int signal);

/* Waits for the end of one, for the first time. Returns its status, as waitpid(2) gives it. */
int workers_wait(struct workers *workers, size_t number);

/* Ends those that have not been waited for, by SIGKILL, and frees the room. */
void workers_free(struct workers *workers);

#endif
