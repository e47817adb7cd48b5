/* options.h: the command line of a server, as one struct. What stands here is valid, but nothing is
 * bound or resolved yet. */
#ifndef OPTIONS_H
#define OPTIONS_H

#include "base/address.h"
#include "echo/access.h"
#include "echo/session.h"
#include "process/log.h"

#include <stdbool.h>
#include <stddef.h>

#define OPTIONS_LISTEN_MAX 64 /* more -l, or -S, than anybody types */
#define CONNECTIONS_MAX 4194304 /* -c, -C: what Linux can have as processes (PID_MAX_LIMIT) */

struct listen_option {
    const char *text; /* as it was given, for messages */
    struct endpoint endpoint;
};

struct options {
    const char *program;
    struct listen_option listen[OPTIONS_LISTEN_MAX], status[OPTIONS_LISTEN_MAX]; /* -l, -S */
    size_t listen_count, status_count;
    bool listen_given, max_connections_given; /* not only the default */
    size_t backlog;        /* for listen(2) */
    size_t max_connections;
    size_t max_per_source; /* 0: no limit */
    double grace;          /* seconds that a drain waits for children */
    struct access access;  /* who may be served */
    const char *user;      /* who to become: user or user:group; NULL: see identity.h */
    const char *root;      /* where to chroot; NULL: nowhere */
    const char *pidfile;   /* NULL: none */
    bool daemon, inetd, print_address; /* -d, -i, -1 */
    char **command;        /* a program to run for each client, and its arguments; NULL: the echo */
    int facility;          /* of syslogd; -1: standard error is the log */
    int verbosity;         /* enum log_level */
    struct service service;
};

enum options_outcome {
    OPTIONS_SERVE,
    OPTIONS_DONE, /* --help or --version was printed */
    OPTIONS_WRONG /* a usage error, which was reported */
};

/* `operands`, as --help shows them, are the command; NULL: this server runs no programs. `about` is
 * the sentence for --help. `argv` is kept. */
enum options_outcome options_read(struct options *options, const char *program,
                                  const char *operands, const char *about, int argc, char **argv);

/* Reports a usage error about the option with this letter that is found only later. */
void options_reject(const struct options *options, int letter, const char *why);

#endif
