/*
 * main.c: an ordered checklist, the same for every server of the family.
 *
 * Read next: serve.h, the contract, and serve_fork.c, the server that this project is for.
 */
#include "descriptors.h"
#include "log.h"
#include "options.h"
#include "serve.h"
#include "signals.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { EXIT_USAGE = 2 }; /* beside EXIT_SUCCESS and EXIT_FAILURE */

/* Holds the caller to what the model can keep. Returns 0, or -1 (said). */
static int fit_to_model(struct options *options)
{
    char why[160];

    if (options->max_connections <= serve_model.capacity)
        return 0;
    if (options->max_connections_given) {
        snprintf(why, sizeof why, "'%zu' is more than the %zu clients that %s can serve at once (%s)",
                 options->max_connections, serve_model.capacity, serve_model.program,
                 serve_model.limit);
        options_reject(options, 'c', why);
        return -1;
    }
    options->max_connections = serve_model.capacity;
    return 0;
}

/* Whether there is a standard output for -1 (else said). Asked before it becomes /dev/null. */
static bool can_print(const struct options *options)
{
    if (!options->print_address || fcntl(STDOUT_FILENO, F_GETFD) != -1)
        return true;
    fprintf(stderr, "%s: cannot print the addresses (-1): standard output is closed\n",
            options->program);
    return false;
}

int main(int argc, char **argv)
{
    static struct options options; /* sessions read it as long as the process lives */
    struct server *server;
    int outcome;

    switch (options_read(&options, serve_model.program, serve_model.about, argc, argv)) {
    case OPTIONS_DONE:
        return fflush(stdout) == EOF ? EXIT_FAILURE : EXIT_SUCCESS;
    case OPTIONS_WRONG:
        return EXIT_USAGE;
    case OPTIONS_SERVE:
        break;
    }
    if (fit_to_model(&options) == -1)
        return EXIT_USAGE;
    if (!can_print(&options))
        return EXIT_FAILURE;
    if (descriptors_tidy() == -1) {
        log_error("cannot open /dev/null: %s", strerror(errno));
        return EXIT_FAILURE;
    }
    log_open(options.program, (enum log_level)options.verbosity, options.facility);
    signals_open();
    if ((server = server_open(&options)) == NULL)
        return EXIT_FAILURE;
    outcome = serve_model.serve(server);
    server_close(server);
    return outcome == 0 && !server->failed ? EXIT_SUCCESS : EXIT_FAILURE;
}
