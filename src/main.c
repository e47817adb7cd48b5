/*
 * main.c: an ordered checklist, the same for every server of the family (forkecho, threadecho ...).
 *
 * What has to be known of whoever started us is taken while it is still true; what may fail for a
 * mistake comes before what others can see (a pidfile is only locked at first, and written when the
 * server is ready); ports are bound and files opened while the privilege for it lasts. The loop is
 * serve(), which also announces that the server is ready: it is what the servers differ in, by
 * their model: a process, a thread or nothing more for each client.
 *
 * At an upgrade (upgrade/upgrade.h) the server starts the program on disk as a child, to test
 * whether it could take over, and then becomes it, by exec. Both times it finds the server's state
 * in a file that it inherits open.
 * Read next: serve.h, the contract, and serve_fork.c, the server that this project is for.
 */
#include "base/arguments.h"
#include "platform/platform.h"
#include "process/activation.h"
#include "process/confine.h"
#include "process/daemon.h"
#include "process/identity.h"
#include "process/log.h"
#include "process/manager.h"
#include "process/pidfile.h"
#include "process/signals.h"
#include "server/inetd.h"
#include "server/options.h"
#include "server/serve.h"
#include "upgrade/takeover.h"
#include "upgrade/upgrade.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { EXIT_USAGE = 2 }; /* beside EXIT_SUCCESS and EXIT_FAILURE */

static struct pidfile pidfile = {.descriptor = -1};

static struct server *cannot(const char *what, const char *why)
{
    log_error("cannot %s: %s", what, why);
    return NULL;
}

/* When memory runs out, the kernel is to kill a child rather than the server. A model whose
 * children are no processes has a stop_child of its own. */
static void prefer_children(struct server *server)
{
    if (serve_model.stop_child == NULL)
        server->score = platform_prefer_children(server->score);
}

/* All that has to be done before the server can serve. Returns it, or NULL (logged). */
static struct server *set_up(const struct options *options)
{
    struct identity identity;
    struct server *server;

    if (options->print_address && fcntl(STDOUT_FILENO, F_GETFD) == -1)
        return cannot("print the addresses (-1)", "standard output is closed");
    if (identity_find(&identity, options->user, options->root) == -1)
        return NULL;
    if (activation_open(LISTENERS_MAX) == -1)
        return NULL;
    if (confine_server(ACTIVATION_FIRST + activation_count()) == -1)
        return cannot("open /dev/null", strerror(errno));
    log_open((enum log_level)options->verbosity, options->facility);
    log_report_unreached();
    if (options->daemon && daemon_detach() == -1)
        return NULL;
    if (signals_open() == -1)
        return cannot("hear signals", strerror(errno));
    if (options->pidfile != NULL && pidfile_open(&pidfile, options->pidfile) == -1)
        return NULL;
    manager_connect(0);
    server = server_open(&serve_model, options, &pidfile);
    if (server == NULL || listeners_open(&server->listeners, options) == -1)
        return NULL;
    prefer_children(server);
    if (listeners_open_status(&server->status_listeners, options) == -1 ||
        identity_become(&identity) == -1) {
        server_close(server);
        return NULL;
    }
    platform_forbid_privileges();
    return server;
}

/* What set_up does, where the program before us has bound the ports and given up privileges. */
static struct server *take_over(const struct options *options, int state)
{
    struct server *server;

    log_open((enum log_level)options->verbosity, options->facility);
    if (signals_open() == -1) /* those that have come meanwhile are pending: exec keeps the mask */
        return cannot("hear signals", strerror(errno));
    server = server_open(&serve_model, options, &pidfile);
    if (server == NULL || takeover_read(state, server, true) == -1)
        return NULL;
    close(state);
    prefer_children(server);
    for (size_t i = 0; i < server->listeners.count; i++)
        listener_prepare(&server->listeners.all[i], options);
    for (size_t i = 0; i < server->status_listeners.count; i++)
        listener_prepare(&server->status_listeners.all[i], options);
    manager_connect(server->earlier.manager);
    log_adopt(server->earlier.syslog);
    return server;
}

/* Tests whether take_over would succeed, and changes nothing. */
static int test_takeover(const struct options *options, int state)
{
    struct server *server = server_open(&serve_model, options, NULL);

    if (server == NULL || takeover_read(state, server, false) == -1 || signals_open() == -1)
        return -1;
    upgrade_pass_test();
    return 0;
}

/* `state` is the descriptor of the state from before an upgrade; -1: this is a fresh start. */
static int run(const struct options *options, int state)
{
    struct server *server;
    int outcome = -1, error;

    manager_open();
    server = state == -1 ? set_up(options) : take_over(options, state);
    if (server != NULL && serve_model.serve(server) == 0 && !server->stop.failed)
        outcome = 0;
    if (outcome == -1) {
        const char *why = log_last_error(&error);
        manager_failed(why, error);
    }
    if (server != NULL)
        server_close(server);
    pidfile_close(&pidfile);
    return outcome;
}

/* Whether the model can do what the options ask for; else reported. */
static bool fits(struct options *options)
{
    if (options->status_count == 0 || serve_model.answers_monitors)
        return serve_model.fit == NULL || serve_model.fit(options) == 0;
    options_reject(options, 'S', "only forkecho tells monitors how it goes, by a forked child that "
                                 "has a copy of all that is counted");
    return false;
}

static int misused(void)
{
    manager_open();
    manager_failed("the command line is wrong; standard error says why", EINVAL);
    return EXIT_USAGE;
}

int main(int argc, char **argv)
{
    static struct options options; /* sessions read it as long as the process lives */
    int state = -1, outcome;
    enum upgrade_role role;

    platform_reset_environment(argv);
    role = upgrade_role(argv, &state);
    switch (options_read(&options, serve_model.program, serve_model.operands, serve_model.about,
                         argc, argv)) {
    case OPTIONS_DONE:
        return arguments_shown(serve_model.program) == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
    case OPTIONS_WRONG: return misused();
    case OPTIONS_SERVE: break;
    }
    if (!fits(&options))
        return misused();
    log_name(options.program);
    outcome = options.inetd          ? inetd_serve(&options)
              : role == UPGRADE_TEST ? test_takeover(&options, state)
                                     : run(&options, state);
    return outcome == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
