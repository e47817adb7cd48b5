/*
 * server/parts.h: what life.c, gate.c and stop.c know of each other.
 *
 * life.c has the life of a server and the count of its clients, gate.c decides who
 * comes in and when, stop.c ends it all. Models see server.h and nothing of this.
 */
#ifndef SERVER_PARTS_H
#define SERVER_PARTS_H

#include "server/server.h"

/* A failure is waited out for this long at first. Seconds. */
#define PAUSE_FIRST 0.05

/* Whether new clients may come in now. */
bool gate_is_open(const struct server *server, double now);

/* When the gate has to be looked at again although nothing happens; 0: no such time. */
double gate_wakes(const struct server *server, double now);

/* `what` has failed with errno: closes the gate for a while. Says so at the start of an episode of
 * failures, with `hint`. */
void gate_pause(struct server *server, const char *what, const char *hint);

/* Ends an episode of failures that is over at `now`. */
void gate_settle(struct server *server, double now);

/* Drains because the server cannot go on. */
void stop_for_failure(struct server *server);

/* Does what the signals say that have come since the last time. */
void stop_heed_signals(struct server *server);

/* Writes the status line; `zombies` were found not yet reaped when it was asked for. */
void life_status(const struct server *server, size_t zombies);

/* Enters the next phase when that is due at `now`. */
void stop_settle(struct server *server, double now);

#endif
