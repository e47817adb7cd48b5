/*
 * load/processes.h: one run of the load generator by several processes in step.
 *
 * One process has one loop, and so one processor and one limit of descriptors. Here each of
 * several workers does its share of the run (load/settings.h) by load_run. The parent does none:
 * it starts the workers, lets them begin the warm-up, each round and the closing when all of them
 * wait for it, shows the sum of where they stand, and joins their results.
 *
 *   start    all are told the moment at which to begin. A worker that wakes up late measures what
 *            is left, so all figures of a round are of the same time.
 *   end      an interruption of the parent reaches the workers as SIGUSR1. They ignore SIGTERM and
 *            SIGINT, which a terminal sends to all of them: one that measured less than the others
 *            would spoil the figures. Workers whose parent is gone find their channel broken,
 *            within a fifth of a second while they measure.
 *   failure  a worker that dies ends the run: what the others measured beside it is no figure.
 *
 * Cost to the parent: a descriptor for each worker, and five short messages a second from each.
 */
#ifndef LOAD_PROCESSES_H
#define LOAD_PROCESSES_H

#include "load/run.h"

/* Runs like load_run, in `settings->processes` workers; one is this process itself. Returns 0, or
 * -1 with what went wrong in `problem`. SIGPIPE must be ignored. */
#define PROCESSES_PROBLEM_MAX 160
int processes_run(const struct load_settings *settings, struct target *target,
                  struct load_result *result, char *problem);

#endif
