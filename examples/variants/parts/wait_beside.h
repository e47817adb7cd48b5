/* wait_beside.h: the wait of a server that has something to read besides its listeners. */
#ifndef WAIT_BESIDE_H
#define WAIT_BESIDE_H

#include "server/server.h"

/* As server_wait, but a `descriptor` that is readable ends it as well; -1: there is none. */
void wait_beside(struct server *server, double until, int descriptor);

#endif
