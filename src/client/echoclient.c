/*
 * echoclient.c: the client of an echo server, by hand and as a health check.
 *
 * It sends messages and prints the replies, or copies standard input to the server and the
 * echo to standard output. This file reads the command line and finds the server's
 * addresses; read next client.h (one connection), client/messages.c and client/copy.c (what
 * is done with it), client/parallel.c (several at once). The manual is echoclient(1).
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

/* More than any one service has: the rest of a longer list is not tried. */
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
    struct client client; /* what each connection starts as */
    long repeat;
    long parallel;
    const char *server;       /* as it was written ... */
    struct endpoint endpoint; /* ... and in its parts */
    char *const *messages; /* none: copy standard input */
    size_t message_count;
    struct address addresses[ADDRESSES_MAX];
    size_t address_count;
};

/* ---- the command line ------------------------------------------------------------------- */

static int take_option(struct task *task, const struct arguments *arguments)
{
    switch (arguments->current->letter) {
    case 'c': task->client.check = true; return 0;
    case 'n': return arguments_number(arguments, 1, REPEAT_MAX, &task->repeat);
    case 'j': return arguments_number(arguments, 1, CLIENT_PARALLEL_MAX, &task->parallel);
    case 't': return arguments_duration(arguments, &task->client.timeout);
    case 'v': task->client.verbose = true; return 0;
    default: return 0;
    }
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
    if (address_split(task->server, &task->endpoint, &problem) == -1)
        return arguments_misused(arguments, "'%s': %s (host:port, port, [::1]:port or /path)",
                                 task->server, problem);
    return take_messages(task, arguments);
}

/* What main does after the command line was read. */
enum outcome { RUN, DONE, WRONG };

static enum outcome read_arguments(struct task *task, int argc, char **argv)
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

    while ((letter = arguments_next(&arguments)) > 0) {
        if (letter == 'h') {
            arguments_help(&arguments);
            return DONE;
        }
        if (letter == 'V') {
            printf("%s %s\n", program, VERSION);
            return DONE;
        }
        if (take_option(task, &arguments) == -1)
            return WRONG;
    }
    return letter == -1 || take_operands(task, &arguments) == -1 ? WRONG : RUN;
}

/* ---- the work --------------------------------------------------------------------------- */

static int resolve(struct task *task)
{
    const char *problem;
    int count =
        address_resolve(&task->endpoint, false, task->addresses, ADDRESSES_MAX, &problem);

    if (count == -1) {
        client_say(&task->client, "cannot resolve %s: %s", task->server, problem);
        return -1;
    }
    task->address_count = (size_t)count;
    return 0;
}

/* One client's whole work: client_work of client/parallel.h. */
static enum client_status run_client(struct client *client, void *work)
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
        client_say(client, "sent %" PRIu64 " bytes, received %" PRIu64 " bytes in %.3f seconds",
                   client->sent, client->received, clock_seconds() - start);
    return status;
}

/* The socket must not become standard output where that is closed. What is missing is opened
 * the wrong way round, so that its use still fails: `>&-` is no reason to lose the echo. */
static void hold_standard_descriptors(void)
{
    for (int descriptor = STDIN_FILENO; descriptor <= STDERR_FILENO; descriptor++)
        if (fcntl(descriptor, F_GETFD) == -1)
            (void)open("/dev/null", descriptor == STDIN_FILENO ? O_WRONLY : O_RDONLY);
}

int main(int argc, char **argv)
{
    struct task task = {.client = {.timeout = 10}, .repeat = 1, .parallel = 1};

    hold_standard_descriptors();
    signal(SIGPIPE, SIG_IGN); /* a write then fails with EPIPE, where it is dealt with */
    memcpy(task.client.name, program, sizeof program);
    switch (read_arguments(&task, argc, argv)) {
    case DONE: return arguments_shown(program) == 0 ? CLIENT_ECHOED : CLIENT_FAILED;
    case WRONG: return CLIENT_MISUSED;
    case RUN: break;
    }
    if (resolve(&task) == -1)
        return CLIENT_UNREACHED;
    if (task.parallel > 1)
        return (int)client_parallel(&task.client, (size_t)task.parallel, run_client, &task);
    return (int)run_client(&task.client, &task);
}
