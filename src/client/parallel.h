/*
 * client/parallel.h: several clients at once, each a process of its own.
 *
 * Each writes its output to a channel (worker_process.h), and this process alone writes to
 * standard output: whole lines, however long, of which none has another's in the middle. Were
 * they to share standard output, that would hold for PIPE_BUF bytes at most (POSIX.1-2008, write).
 */
#ifndef CLIENT_PARALLEL_H
#define CLIENT_PARALLEL_H

#include "client/client.h"

/* Each client costs this process a descriptor, of which it may have 1024 by default. Each wake-up
 * costs a pass over all of them, which is little beside the work of a process. */
#define CLIENT_PARALLEL_MAX 1000

/* What each client does, in its process; `work` is what client_parallel was given. */
typedef enum client_status client_work(struct echo_client *client, void *work);

/* Runs `count` copies of `client`, named by their numbers. Returns the worst status. */
enum client_status client_parallel(const struct echo_client *client, size_t count, client_work *run,
                                   void *work);

#endif
