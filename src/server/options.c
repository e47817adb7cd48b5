/* options.c: see options.h. */
#include "server/options.h"

#include "base/arguments.h"
#include "process/log_sink.h"

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define VALUE_SHOWN 200 /* as much of an operand as an error shows */

enum { OPTION_PROXY = UCHAR_MAX + 1 }; /* has only a long form */

static const struct argument table[] = {
    {'1', "print-address", NULL, "print each bound address on standard output"},
    {'A', "allow", "BLOCK", "serve these, only"},
    {'X', "deny", "BLOCK", "refuse these"},
    {'b', "backlog", "N", "connections that the kernel queues (4096)"},
    {'c', "max-connections", "N", "live connections; more are deferred (1024)"},
    {'C', "max-per-source", "N", "live connections a source; more refused (0: any)"},
    {'d', "daemon", NULL, "detach when ready"},
    {'i', "inetd", NULL, "serve stdin only"},
    {'g', "grace", "TIME", "how long a drain waits for clients (10s)"},
    {'G', "greeting", "TEXT", "send this on accept (%t time, %a client)"},
    {'l', "listen", "ADDRESS", "port, host:port, *:port or /path (localhost:echo)"},
    {'m', "reply", "TEXT", "reply to each message (%m it, %q quoted, %t, %a)"},
    {'P', "pidfile", "FILE", "write its pid here"},
    {'r', "root", "FOLDER", "chroot once bound"},
    {'S', "status", "ADDRESS", "where monitors ask by HTTP: GET /metrics"},
    {'s', "syslog", "FACILITY", "log to syslogd: daemon, user, local0 ... local7"},
    {'t', "idle", "TIME", "end it when nothing moves so long (10m; 0: never)"},
    {'T', "lifetime", "TIME", "end it after this time (0: never)"},
    {'u', "user", "NAME", "become user[:group] once it listens; root: nobody"},
    {'w', "delay", "TIME", "wait once before the first read (0)"},
    {'z', "message-size", "N", "the most bytes of one message, with -m (1024)"},
    {OPTION_PROXY, "proxy", "BLOCK", "these (or: local) send PROXY headers, believed"},
    {'q', "quiet", NULL, "log errors only"},
    {'v', "verbose", NULL, "log each client"},
    {'V', "version", NULL, "print the version"},
    {'h', "help", NULL, "print this help"},
    {0, NULL, NULL, NULL},
};

static const struct options defaults = {
    .backlog = 4096, .max_connections = 1024, .grace = 10, .facility = -1, .verbosity = LOG_NORMAL,
    .service = {.answers.message_size = 1024, .idle = 600},
};

/* Adds what -l or -S names to its list. */
static int add_address(struct listen_option *list, size_t *count, const char *option,
                       const struct arguments *arguments)
{
    struct listen_option *added = &list[*count];
    const char *problem;

    if (*count == OPTIONS_LISTEN_MAX)
        return arguments_misused(arguments, "option %s: more than %d addresses", option,
                                 OPTIONS_LISTEN_MAX);
    added->text = arguments->value;
    ++*count;
    problem = address_split(arguments->value, &added->endpoint);
    if (problem == NULL)
        return 0;
    return arguments_misused(arguments, "option %s: '%s': %s "
                                        "(port, host:port, *:port, [::1]:port or /path)",
                             option, arguments->value, problem);
}

static int add_listen(struct options *options, const struct arguments *arguments)
{
    return add_address(options->listen, &options->listen_count, "-l, --listen", arguments);
}

static int add_rule(struct access *access, const struct arguments *arguments, enum access_rule rule)
{
    bool proxy = arguments->current->letter == OPTION_PROXY;
    bool local = proxy && strcmp(arguments->value, "local") == 0;
    struct block block = {.family = AF_UNIX};
    char problem[BLOCK_PROBLEM_MAX], form[ARGUMENTS_FORM_MAX];

    arguments_form(arguments->current, form);
    if (!local && block_parse(arguments->value, &block, problem) == -1)
        return arguments_misused(arguments, "option %s: '%s': %s (address or address/length, such "
                                            "as 10.0.0.0/8%s)", form, arguments->value, problem,
                                 proxy ? "; or local, the clients of Unix sockets" : "");
    if (access_add(access, rule, &block) == -1)
        return arguments_misused(arguments, "option %s: no memory", form);
    return 0;
}

static int set_facility(const struct arguments *arguments, int *facility)
{
    static const char expected[] = "a facility (user, mail, daemon, auth, local0 ... local7)";

    *facility = log_sink_facility(arguments->value);
    return *facility != -1 ? 0 : arguments_reject(arguments, expected);
}

static int set_user(const struct arguments *arguments, const char **user)
{
    const char *colon = strchr(arguments->value, ':');

    if (colon == arguments->value || (colon != NULL && colon[1] == '\0'))
        return arguments_reject(arguments, "a user or user:group");
    *user = arguments->value;
    return 0;
}

static int set_size(const struct arguments *arguments, long lowest, long highest, size_t *size)
{
    long number = 0;
    int result = arguments_number(arguments, lowest, highest, &number);

    *size = (size_t)number;
    return result;
}

static int set_reply(const struct arguments *arguments, bool with_message,
                     const struct reply **reply)
{
    const char *problem;
    struct reply *compiled = reply_compile(arguments->value, with_message, &problem);

    if (compiled == NULL)
        return arguments_reject(arguments, problem);
    free((struct reply *)*reply); /* an earlier one; the last one stays */
    *reply = compiled;
    return 0;
}

static int set_option(struct options *options, const struct arguments *arguments)
{
    struct service *service = &options->service;

    switch (arguments->current->letter) {
    case '1': options->print_address = true; return 0;
    case 'A': return add_rule(&options->access, arguments, ACCESS_ALLOW);
    case 'X': return add_rule(&options->access, arguments, ACCESS_DENY);
    case OPTION_PROXY: return add_rule(&service->proxies, arguments, ACCESS_ALLOW);
    case 'S':
        return add_address(options->status, &options->status_count, "-S, --status", arguments);
    case 's': return set_facility(arguments, &options->facility);
    case 'd': options->daemon = true; return 0;
    case 'i': options->inetd = true; return 0;
    case 'P': options->pidfile = arguments->value; return 0;
    case 'r': options->root = arguments->value; return 0;
    case 'u': return set_user(arguments, &options->user);
    case 'b': return set_size(arguments, 1, 65535, &options->backlog);
    case 'c':
        options->max_connections_given = true;
        return set_size(arguments, 1, CONNECTIONS_MAX, &options->max_connections);
    case 'C': return set_size(arguments, 0, CONNECTIONS_MAX, &options->max_per_source);
    case 'g': return arguments_duration(arguments, &options->grace);
    case 'G': return set_reply(arguments, false, &service->answers.greeting);
    case 'l': return add_listen(options, arguments);
    case 'm': return set_reply(arguments, true, &service->answers.reply);
    case 't': return arguments_duration(arguments, &service->idle);
    case 'T': return arguments_duration(arguments, &service->lifetime);
    case 'w': return arguments_duration(arguments, &service->answers.delay);
    case 'z': return set_size(arguments, 1, MESSAGE_SIZE_MAX, &service->answers.message_size);
    case 'q': options->verbosity = LOG_QUIET; return 0;
    case 'v': options->verbosity += options->verbosity < LOG_MESSAGES; return 0;
    default: return 0;
    }
}

/* Why an option has no meaning with a program in place of the echo; NULL: it has one. */
static const char *echo_only(int letter)
{
    switch (letter) {
    case 't':
        return "what moves between a program and its client is not seen here; use -T, or a limit "
               "of the program's own";
    case 'i': return "whoever has the connection can run the program itself";
    case 'G':
    case 'm':
    case 'w':
    case 'z': return "what its client is answered is up to the program";
    default: return NULL;
    }
}

/* No program's name, but what somebody writes who means -l: 7007, localhost:7007. */
static bool is_address(const char *operand)
{
    return strchr(operand, '/') == NULL && (operand[strspn(operand, "0123456789")] == '\0' ||
                                            strchr(operand, ':') != NULL);
}

/* The operands. `letter` is the last option that is for the echo alone; 0: none was given. */
static int set_command(struct options *options, const struct arguments *arguments, int letter)
{
    if (optind == arguments->argc)
        return 0;
    options->command = arguments->argv + optind;
    if (is_address(options->command[0]))
        return arguments_misused(arguments, "unexpected argument '%.*s'; addresses are given with "
                                            "-l", VALUE_SHOWN, options->command[0]);
    if (*arguments->synopsis == '\0')
        return arguments_misused(arguments, "unexpected argument '%.*s': %s runs no programs; "
                                            "forkecho does", VALUE_SHOWN, options->command[0],
                                 options->program);
    if (letter != 0) {
        options_reject(options, letter, echo_only(letter));
        return -1;
    }
    options->service.idle = 0; /* nor is there a limit on the socket */
    return 0;
}

/* What only the whole command line shows. */
static int check_whole(struct options *options, struct arguments *arguments)
{
    const struct answers *answers = &options->service.answers;
    /* What -i rules out: it has no listener, and nobody waits for it to be ready. */
    const char *other = !options->inetd             ? NULL
                        : options->listen_count > 0 ? "-l, --listen"
                        : options->status_count > 0 ? "-S, --status"
                        : options->daemon           ? "-d, --daemon"
                        : options->pidfile != NULL  ? "-P, --pidfile"
                        : options->print_address    ? "-1, --print-address"
                                                    : NULL;

    if (other != NULL)
        return arguments_misused(arguments, "option -i, --inetd: it serves the one connection on "
                                            "standard input; leave out %s", other);
    if (answers->reply != NULL &&
        reply_size_max(answers->reply, answers->message_size) > REPLY_SIZE_MAX)
        return arguments_misused(arguments, "option -m, --reply: a reply could exceed %lu bytes; "
                                            "use a smaller -z, --message-size", REPLY_SIZE_MAX);
    options->listen_given = options->listen_count > 0;
    arguments->value = "localhost:echo";
    return options->listen_given ? 0 : add_listen(options, arguments);
}

enum options_outcome options_read(struct options *options, const char *program,
                                  const char *operands, const char *about, int argc, char **argv)
{
    struct arguments arguments = {.program = program, .synopsis = operands != NULL ? operands : "",
                                  .about = about, .list = table, .argc = argc, .argv = argv};
    int letter, echo_letter = 0;

    *options = defaults;
    options->program = program;
    while ((letter = arguments_next(&arguments)) > 0) {
        if (letter == 'h')
            arguments_help(&arguments);
        if (letter == 'V')
            printf("%s %s\n", program, VERSION);
        if (letter == 'h' || letter == 'V')
            return OPTIONS_DONE;
        if (set_option(options, &arguments) == -1)
            return OPTIONS_WRONG;
        if (echo_only(letter) != NULL)
            echo_letter = letter;
    }
    return letter == -1 || set_command(options, &arguments, echo_letter) == -1 ||
                   check_whole(options, &arguments) == -1
               ? OPTIONS_WRONG
               : OPTIONS_SERVE;
}

void options_reject(const struct options *options, int letter, const char *why)
{
    const struct argument *each = table;
    char form[ARGUMENTS_FORM_MAX];

    while (each->letter != letter)
        each++;
    fprintf(stderr, "%s: option %s: %s (see %s --help)\n", options->program,
            arguments_form(each, form), why, options->program);
}
