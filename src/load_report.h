/*
 * load_report.h: what a run of the load generator found, for people and for awk.
 *
 * One figure a line: a name, blanks, a value, and where it has one its unit. Names and
 * their order are stable, and every line is always there; a latency of which there is none
 * is "-". So `awk '$1 == "rate" { print $2 }'` takes one out. echoload(1) says what each is.
 */
#ifndef LOAD_REPORT_H
#define LOAD_REPORT_H

#include "load_run.h"

/* `target` is the address that was connected to. Returns 0, or -1 when standard output
 * could not take it. */
int report_print(const struct load_settings *settings, const char *target,
                 const struct load_result *result);

/* One line on standard error about the failures, if there were any. */
void report_failures(const char *program, const struct load_result *result);

#endif
