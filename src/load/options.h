/*
 * load/options.h: the command line of echoload(1).
 */
#ifndef LOAD_OPTIONS_H
#define LOAD_OPTIONS_H

#include "base/address.h"
#include "base/arguments.h"
#include "load/expect.h"
#include "load/report.h"

#include <stdbool.h>

struct load_options {
    struct load_settings settings; /* no processes: -j was not given */
    const struct argument *rate_by, *working_by; /* by which options these were set; NULL: none */
    const struct report_form *form;
    const char *words[EXPECTATIONS_MAX]; /* of --expect, as they were written ... */
    size_t word_count;
    struct expectations expected; /* ... and what they say */
    const char *find;             /* the words of --find, NULL without it ... */
    struct expectations conditions; /* ... and what they say */
    const char *server;       /* as it was written ... */
    struct endpoint endpoint; /* ... and in its parts */
    bool shows;               /* --help or --version was asked for, and is shown */
};

/* Returns 0, or -1 for a usage error (logged). */
int load_options_read(struct load_options *options, int argc, char **argv);

#endif
