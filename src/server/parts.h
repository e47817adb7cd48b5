/*
 * parts.h: what the files that make up server.h know of each other. Models need nothing of it.
 *
 *   life.c      a server's opening, announcement and close; its clients, counted and logged
 *   accept.c    which clients come in
 *   wait.c      waiting, and what is kept up to date at each wait
 *   requests.c  what signals ask of it: to stop, a status, an upgrade
 */
#ifndef SERVER_PARTS_H
#define SERVER_PARTS_H

#include "server/server.h"

/* Whether new clients may come in at `now`. */
bool accept_is_open(const struct server *server, double now);

/* Drains because the server cannot go on. */
void requests_stop_for_failure(struct server *server);

/* Enters the next phase of a stop where a signal has asked for it, or it is due at `now`. */
void requests_handle_stop(struct server *server, double now);

#endif
