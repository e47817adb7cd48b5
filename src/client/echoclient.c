/*
 * echoclient.c: the client of an echo server, by hand and as a health check.
 *
 * It sends messages and prints the replies, or copies standard input to the server and the echo to
 * standard output. This file reads the command line and finds the server's addresses. Read next
 * client/client.h (one connection), client/messages.h and client/copy.h (what is done with it) and
 * client/parallel.h (several at once). The manual is echoclient(1).
 */
#include "base/arguments.h"
#include "base/clock.h"
#include "client/client.h"
#include "client/copy.h"
#include "client/messages.h"
#include "client/parallel.h"

#include <fcntl.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

/* More addresses than a service has; further ones are not tried. */
#define ADDRESSES_MAX 16

/* More than a day's work; a long has at least 32 bits (C11, 5.2.4.2.1). */
#define REPEAT_MAX 1000000000L

static const char program[] = "echoclient";

static const struct argument table[] = {
    {'c', "check", NULL, "check that what comes back is what was sent"},
    {'n', "repeat", "N", "send the messages N times over (1)"},
    {'j', "parallel", "N", "run N clients at once, a connection each (1)"},
    {'t', "timeout", "TIME", "give up when nothing moves (10s; 0: never)"},
    {'v', "verbose", NULL, "say what is done, on standard error"},
    {'V', "version", NULL, "print the version"},
    {'h', "help", NULL, "print this help"},
    {0, NULL, NULL, NULL},
};

/* The command line, checked. */
struct task {
    struct echo_client client; /* what each connection starts as */
    long repeat;
    long parallel;
    const char *server;       /* as it was written ... */
    struct endpoint endpoint; /* ... and in its parts */
    char *const *messages; /* none: copy standard input */
    size_t message_count;
    struct address addresses[ADDRESSES_MAX];
    size_t address_count;
    bool shows; /* --help or --version was asked for, and is shown */
};

/* ---- the command line ------------------------------------------------------------------- */

static int parse_option(struct task *task, const struct arguments *arguments)
{
    switch (arguments->current->letter) {
    case 'c': task->client.check = true; return 0;
    case 'n': return arguments_number(arguments, 1, REPEAT_MAX, &task->repeat);
    case 'j': return arguments_number(arguments, 1, CLIENT_PARALLEL_MAX, &task->parallel);
    case 't': return arguments_duration(arguments, &task->client.timeout);
    case 'v': task->client.verbose = true; return 0;
    case 'V': printf("%s %s\n", program, VERSION); break;
    case 'h': arguments_help(arguments); break;
    }
    task->shows = true;
    return 0;
}

static int take_messages(struct task *task, const struct arguments *arguments)
{
    task->messages = arguments->argv + optind;
    task->message_count = (size_t)(arguments->argc - optind);
    for (size_t i = 0; i < task->message_count; i++)
        if (*task->messages[i] == '\0')
            return arguments_misused(
                arguments, "message %zu is empty: nothing would come back for it", i + 1);
    if (task->message_count == 0 && task->repeat > 1)
        return arguments_misused(arguments, "option -n, --repeat needs messages: "
                                            "standard input can be sent only once");
    if (task->message_count == 0 && task->parallel > 1)
        return arguments_misused(arguments, "option -j, --parallel needs messages: "
                                            "standard input cannot be shared");
    return 0;
}

static int take_operands(struct task *task, const struct arguments *arguments)
{
    const char *problem;

    if (optind == arguments->argc)
        return arguments_misused(arguments, "the server is missing: host:port, port, "
                                            "[::1]:port or /path");
    task->server = arguments->argv[optind++];
    if ((problem = address_split(task->server, &task->endpoint)) != NULL)
        return arguments_misused(arguments, "'%s': %s (host:port, port, [::1]:port or /path)",
                                 task->server, problem);
    return take_messages(task, arguments);
}

/* Returns 0, or -1 for a usage error (logged). */
static int read_arguments(struct task *task, int argc, char **argv)
{
    struct arguments arguments = {
        .program = program,
        .synopsis = "host:port [message]...",
        .about = "Send each message to an echo server and print the reply; without messages, copy\n"
                 "standard input to the server and the echo to standard output.",
        .list = table,
        .argc = argc,
        .argv = argv};
    int letter;

    while (!task->shows && (letter = arguments_next(&arguments)) != 0)
        if (letter == -1 || parse_option(task, &arguments) == -1)
            return -1;
    return task->shows ? 0 : take_operands(task, &arguments);
}

/* ---- the work --------------------------------------------------------------------------- */

static int resolve(struct task *task)
{
    const char *problem;
    int count =
        address_resolve(&task->endpoint, false, task->addresses, ADDRESSES_MAX, &problem);

    if (count == -1) {
        client_log(&task->client, "cannot resolve %s: %s", task->server, problem);
        return -1;
    }
    task->address_count = (size_t)count;
    return 0;
}

/* All that a client does: client_work of client/parallel.h. */
static enum client_status run_client(struct echo_client *client, void *work)
{
    const struct task *task = work;
    double start = clock_seconds();
    enum client_status status = client_connect(client, task->addresses, task->address_count);

    if (status != CLIENT_ECHOED)
        return status;
    if (task->message_count > 0)
        status = client_messages(client, task->messages, task->message_count, task->repeat);
    else
        status = client_copy(client);
    close(client->descriptor);
    if (client->verbose)
        client_log(client, "sent %" PRIu64 " bytes, received %" PRIu64 " bytes in %.3f seconds",
                   client->sent, client->received, clock_seconds() - start);
    return status;
}

/* Opens the standard descriptors that are closed, so that the socket does not become one of them.
 * They are opened the wrong way round, so that to use them still fails. */
static void fill_standard_descriptors(void)
{
    for (int descriptor = STDIN_FILENO; descriptor <= STDERR_FILENO; descriptor++)
        if (fcntl(descriptor, F_GETFD) == -1)
            (void)open("/dev/null", descriptor == STDIN_FILENO ? O_WRONLY : O_RDONLY);
}

int main(int argc, char **argv)
{
    struct task task = {.client = {.timeout = 10}, .repeat = 1, .parallel = 1};

    fill_standard_descriptors();
    signal(SIGPIPE, SIG_IGN); /* a write then fails with EPIPE, which is handled */
    memcpy(task.client.name, program, sizeof program);
    if (read_arguments(&task, argc, argv) == -1)
        return CLIENT_MISUSED;
    if (task.shows)
        return arguments_shown(program) == 0 ? CLIENT_ECHOED : CLIENT_FAILED;
    if (resolve(&task) == -1)
        return CLIENT_UNREACHED;
    if (task.parallel > 1)
        return (int)client_parallel(&task.client, (size_t)task.parallel, run_client, &task);
    return (int)run_client(&task.client, &task);
}
