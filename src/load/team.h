/*
 * load/team.h: one run of the load generator by several processes in step.
 *
 * One process has one loop, and so one processor and one limit of descriptors. A team is several
 * that each do a share of the run, by load_run, and one that leads and does none of it: it
 * starts them, lets them begin the warm-up, each round and the closing only when all of them
 * are there, shows the sum of where they stand, and joins their results.
 *
 *   shares   are those of load/settings.h
 *   start    when the last has said that it waits, all are told from which moment on to measure.
 *            Who wakes up late measures what is left: all figures of a round are of the same time
 *   end      an interruption reaches the leader, who passes it on as SIGUSR1; they are deaf to
 *            SIGTERM and SIGINT, as one that measures less than the others would spoil what they
 *            count together, and a terminal sends to all of them. A leader that is gone breaks
 *            their lines, which they notice within a fifth of a second while they measure
 *
 * A process that dies is the end of all: what the others measured beside it is no figure. It
 * costs the leader a descriptor a process and five short messages a second from each.
 */
#ifndef LOAD_TEAM_H
#define LOAD_TEAM_H

#include "load/run.h"

/* Runs like load_run, in `settings->processes`. Returns 0, or -1 with what went wrong in
 * `problem`. SIGPIPE must be ignored. */
#define TEAM_PROBLEM_MAX 160
int team_run(const struct load_settings *settings, struct target *target,
             struct load_result *result, char *problem);

#endif
