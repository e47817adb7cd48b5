/*
 * load/find.h: the highest rate that a server holds: at which figures are as they are expected.
 *
 * The first step is a closed loop, which says how fast the connections can go at all. Then the
 * range between the highest rate that held and the lowest that did not is halved until it is
 * narrow. Each step is a run of its own, at one rate. One that does not hold is repeated, as
 * another program may have had the processors for a moment.
 *
 * A rate holds only if it is reached too: over a short time a growing queue can look well. Each
 * step is told in a line on standard error.
 */
#ifndef LOAD_FIND_H
#define LOAD_FIND_H

#include "load/expect.h"
#include "load/target.h"

/* So many runs at most, of which the first is the closed loop. */
#define FIND_STEPS_MAX 21

struct find {
    const char *program; /* for the lines */
    const char *server;  /* its address, for views of the results */
    const struct expectations *conditions;
    const char *limit;   /* set to what stopped the search: server, client, machine or unknown;
                            NULL where nothing did, as it was interrupted */
};

/* Searches. Returns 1 with the rate in `settings` and what was found there in `result`; 0 where no
 * rate was found; or -1 where a run failed. All are told. The caller frees the result. */
int find_rate(struct find *find, struct load_settings *settings, struct target *target,
              struct load_result *result);

/*
 * What kept a rate from holding, by what was counted at it and the share of time in which the
 * machine's processors were idle, below 0 where that is not known: client, machine, server or
 * unknown; and why, in `reason`. `has_ports`: it is no Unix socket, which pauses for its backlog.
 */
#define FIND_REASON_MAX 160
const char *find_limit(const struct load_tally *sum, bool has_ports, double idle, char *reason);

#endif
