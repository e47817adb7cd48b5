/*
 * single_process.h: what the servers of the family do alike that have all clients in one process.
 *
 * forkecho has none of this. A server without children needs a descriptor of its own for each
 * client, has nobody to reap, and names its clients by number in place of a pid.
 */
#ifndef SINGLE_PROCESS_H
#define SINGLE_PROCESS_H

#include "server/server.h"

/* Why such a server cannot be replaced by another program (serve.h, no_upgrade). */
#define SINGLE_PROCESS_NO_UPGRADE \
    "serves its clients in this process, and they would end with the program"

/* Once the model is set up: raises the limit of descriptors, has the system reap children that this
 * process is handed, and a busy server let signals in every hundredth of a second and not at each
 * wait, and announces the server. Returns 0, or -1 (logged). */
int single_process_start(struct server *server);

/* The number of the client that server_accept has let in last: no other has the same. */
int64_t single_process_number(const struct server *server);

#endif
