/*
 * load/report.h: what a run of the load generator found, for people and for programs.
 *
 * As text, each figure is a line: name, blanks, value, and the unit if there is one. Every line is
 * always there, with "-" for a value that there is not; `awk '$1 == "rate" { print $2 }'` takes one
 * out. As CSV, there is a line of names and then a row for each round, or for each interval of the
 * only one (RFC 4180; no figure has a comma, so `awk -F,` does). As JSON, there is one object:
 * settings, rounds and summary (RFC 8259).
 * As HdrHistogram's percentile distribution, there is the latency of all (base/histogram.h).
 * The figures are those of load/fields.h.
 */
#ifndef LOAD_REPORT_H
#define LOAD_REPORT_H

#include "load/fields.h"

struct report_form;

/* The form of that name; NULL when there is none. */
const struct report_form *report_form(const char *name);

/* What a report is about; `target` is the address that was connected to. */
struct load_view report_view(const struct load_settings *settings, const char *target,
                             const struct load_result *result);

/* Returns 0, or -1 with errno when standard output could not take it. */
int report_print(const struct report_form *form, struct load_view view);

/* Writes one line on standard error about the failures, if there were any. */
void report_failures(const char *program, const struct load_result *result);

/* Writes one line on standard error when the figures may be this client's and not the server's: a
 * process of it used nearly all of a processor, or on a schedule its own lateness made most of
 * the latency. */
void report_bottleneck(const char *program, const struct load_settings *settings,
                       const struct load_result *result);

#endif
