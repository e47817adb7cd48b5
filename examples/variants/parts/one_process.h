/*
 * one_process.h: what the servers of the family do alike that have all clients in one process.
 *
 * forkecho has none of this. A server without children needs a descriptor of its own for each
 * client, has nobody to reap, and names its clients by number in place of a pid.
 */
#ifndef ONE_PROCESS_H
#define ONE_PROCESS_H

#include "server/server.h"

/* Why such a server cannot be replaced by another program (serve.h, no_upgrade). */
#define ONE_PROCESS_NO_UPGRADE \
    "serves its clients in this process, and they would end with the program"

/* Once the model is set up: raises the limit of descriptors, leaves to the system what other
 * children this process is handed, has a busy server hear of signals every hundredth of a second
 * and not with each wait, and announces the server. Returns 0, or -1 (said). */
int one_process_start(struct server *server);

/* The number of the client that server_accept has let in last: no other has the same. */
int64_t one_process_number(const struct server *server);

/* A session is done: what a child would say of it on the ledger. */
void one_process_record_exit(struct server *server, const struct child *child,
                            const struct session *session);

#endif
