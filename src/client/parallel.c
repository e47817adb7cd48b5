/* client/parallel.c: see client/parallel.h. */
#include "client/parallel.h"

#include "base/worker_process.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

/* What one read of a worker's output takes: what a pipe holds on Linux. */
#define READ_SIZE 65536

/* What a worker has written since its last whole line. */
struct output {
    char *held;
    size_t size; /* so much ... */
    size_t room; /* ... of so much room */
};

struct parallel {
    const struct echo_client *client; /* what all are copies of; its name is for our own lines */
    client_work *run;
    void *work;
    struct workers workers;
    struct output *outputs; /* one for each */
    bool output_failed;     /* nobody reads what they write: they are to end */
    enum client_status worst;
};

static void note(struct parallel *all, enum client_status status)
{
    if (status > all->worst)
        all->worst = status;
}

/* In the new process: works with standard output on the channel. */
static int be_worker(void *context, size_t number, int channel)
{
    const struct parallel *all = context;
    struct echo_client client = *all->client;

    if (dup2(channel, STDOUT_FILENO) == -1)
        return CLIENT_FAILED;
    close(channel);
    snprintf(client.name, sizeof client.name, "%.20s %zu", all->client->name, number + 1);
    return (int)all->run(&client, all->work);
}

/* ---- their output ----------------------------------------------------------------------- */

static void stop_all(struct parallel *all)
{
    all->output_failed = true;
    note(all, CLIENT_FAILED);
    workers_signal(&all->workers, SIGTERM);
}

/* Prints the first `size` bytes that a worker's output holds, and keeps the rest. */
static void print_held(struct parallel *all, struct output *output, size_t size)
{
    if (size == 0 || all->output_failed)
        return;
    if (client_print(all->client, output->held, size) == -1)
        stop_all(all);
    output->size -= size;
    memmove(output->held, output->held + size, output->size);
}

static void close_output(struct parallel *all, size_t number)
{
    struct output *output = &all->outputs[number];

    print_held(all, output, output->size); /* it ended within a line */
    free(output->held);
    workers_close(&all->workers, number);
}

static int make_room(struct output *output)
{
    size_t room = 2 * output->room + READ_SIZE;
    char *held;

    if (output->room - output->size >= READ_SIZE)
        return 0;
    held = realloc(output->held, room);
    if (held == NULL)
        return -1;
    output->held = held;
    output->room = room;
    return 0;
}

/* How much of what is held are whole lines; only the last `fresh` bytes can hold an end. */
static size_t whole_lines(const struct output *output, size_t fresh)
{
    for (size_t end = output->size; end > output->size - fresh; end--)
        if (output->held[end - 1] == '\n')
            return end;
    return 0;
}

static void take_output(struct parallel *all, size_t number)
{
    struct output *output = &all->outputs[number];
    ssize_t size;

    if (make_room(output) == -1) {
        client_log(all->client, "no memory for a line");
        note(all, CLIENT_FAILED);
        close_output(all, number);
        return;
    }
    size = read(all->workers.list[number].channel, output->held + output->size,
                output->room - output->size);
    if (size == -1 && errno == EINTR)
        return;
    if (size <= 0) {
        close_output(all, number);
        return;
    }
    output->size += (size_t)size;
    print_held(all, output, whole_lines(output, (size_t)size));
}

/* Passes their lines on until all have ended. Returns 0, or -1 with errno. */
static int relay(struct parallel *all)
{
    while (all->workers.open > 0) {
        if (workers_poll(&all->workers, -1) == -1)
            return -1;
        for (size_t i = 0; i < all->workers.count; i++)
            if (all->workers.polls[i].revents != 0)
                take_output(all, i);
    }
    return 0;
}

/* ---- the end ---------------------------------------------------------------------------- */

static void collect(struct parallel *all, size_t number)
{
    int status = workers_wait(&all->workers, number);
    bool exited = WIFEXITED(status);

    note(all, exited ? (enum client_status)WEXITSTATUS(status) : CLIENT_FAILED);
    if (!exited && !all->output_failed)
        client_log(all->client, "client %zu was ended by signal %d", number + 1, WTERMSIG(status));
}

static void run_all(struct parallel *all, size_t count)
{
    while (all->workers.count < count)
        if (workers_start(&all->workers, be_worker, all) == -1) {
            client_log(all->client, "cannot start client %zu of %zu: %s", all->workers.count + 1,
                       count, strerror(errno));
            note(all, CLIENT_FAILED);
            break;
        }
    if (relay(all) == -1) {
        client_log(all->client, "cannot wait: %s", strerror(errno));
        stop_all(all);
    }
    for (size_t i = 0; i < all->workers.count; i++)
        collect(all, i);
}

enum client_status client_parallel(const struct echo_client *client, size_t count, client_work *run,
                                   void *work)
{
    struct parallel all = {.client = client, .run = run, .work = work};

    all.outputs = calloc(count, sizeof *all.outputs);
    if (workers_new(&all.workers, count) == 0 && all.outputs != NULL) {
        run_all(&all, count);
    } else {
        client_log(client, "no memory for %zu clients", count);
        note(&all, CLIENT_FAILED);
    }
    workers_free(&all.workers);
    free(all.outputs);
    return all.worst;
}
