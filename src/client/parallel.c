/* client/parallel.c: see client/parallel.h. */
#include "client/parallel.h"

#include "base/clock.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

/* What one read of a worker's output takes: what a pipe holds on Linux. */
#define READ_SIZE 65536

struct worker {
    pid_t pid;
    int output;  /* the pipe's end that we read; -1 once it has ended */
    char *held;  /* what has come since the last whole line ... */
    size_t size; /* ... this much ... */
    size_t room; /* ... with this much room */
};

struct crew {
    const struct client *client; /* what all are copies of; its name is for our own lines */
    struct worker *workers;
    struct pollfd *waits; /* one for each worker */
    size_t count;         /* workers started */
    bool output_failed;   /* nobody reads what they say: they are to end */
    enum client_status worst;
};

static void note(struct crew *crew, enum client_status status)
{
    if (status > crew->worst)
        crew->worst = status;
}

/* ---- starting --------------------------------------------------------------------------- */

/* In the new process: works with standard output on the pipe, and ends. It keeps nobody
 * else's pipe, so that each pipe breaks when its one reader is gone. */
static void be_worker(const struct crew *crew, const int *ends, client_work *run, void *work)
{
    struct client client = *crew->client;

    for (size_t i = 0; i < crew->count; i++)
        close(crew->workers[i].output);
    close(ends[0]);
    if (dup2(ends[1], STDOUT_FILENO) == -1)
        _exit(CLIENT_FAILED);
    close(ends[1]);
    snprintf(client.name, sizeof client.name, "%.20s %zu", crew->client->name, crew->count + 1);
    _exit((int)run(&client, work));
}

static int start_worker(struct crew *crew, client_work *run, void *work)
{
    int ends[2], error;
    pid_t pid;

    if (pipe(ends) == -1)
        return -1;
    pid = fork();
    if (pid == 0)
        be_worker(crew, ends, run, work);
    error = errno;
    close(ends[1]);
    if (pid == -1) {
        close(ends[0]);
        errno = error;
        return -1;
    }
    crew->workers[crew->count++] = (struct worker){.pid = pid, .output = ends[0]};
    return 0;
}

/* ---- their output ----------------------------------------------------------------------- */

static void stop_all(struct crew *crew)
{
    crew->output_failed = true;
    note(crew, CLIENT_FAILED);
    for (size_t i = 0; i < crew->count; i++)
        kill(crew->workers[i].pid, SIGTERM);
}

/* Prints the first `size` bytes that a worker's output holds, and keeps the rest. */
static void print_held(struct crew *crew, struct worker *worker, size_t size)
{
    if (size == 0 || crew->output_failed)
        return;
    if (client_print(crew->client, worker->held, size) == -1)
        stop_all(crew);
    worker->size -= size;
    memmove(worker->held, worker->held + size, worker->size);
}

static void close_output(struct crew *crew, struct worker *worker)
{
    print_held(crew, worker, worker->size); /* it ended within a line */
    close(worker->output);
    worker->output = -1;
    free(worker->held);
    worker->held = NULL;
}

static int make_room(struct worker *worker)
{
    size_t room = 2 * worker->room + READ_SIZE;
    char *held;

    if (worker->room - worker->size >= READ_SIZE)
        return 0;
    held = realloc(worker->held, room);
    if (held == NULL)
        return -1;
    worker->held = held;
    worker->room = room;
    return 0;
}

/* How much of what is held are whole lines; only the last `fresh` bytes can hold an end. */
static size_t whole_lines(const struct worker *worker, size_t fresh)
{
    for (size_t end = worker->size; end > worker->size - fresh; end--)
        if (worker->held[end - 1] == '\n')
            return end;
    return 0;
}

static void take_output(struct crew *crew, struct worker *worker)
{
    ssize_t size;

    if (make_room(worker) == -1) {
        client_say(crew->client, "no memory for a line");
        note(crew, CLIENT_FAILED);
        close_output(crew, worker);
        return;
    }
    size = read(worker->output, worker->held + worker->size, worker->room - worker->size);
    if (size == -1 && errno == EINTR)
        return;
    if (size <= 0) {
        close_output(crew, worker);
        return;
    }
    worker->size += (size_t)size;
    print_held(crew, worker, whole_lines(worker, (size_t)size));
}

/* Passes their lines on until all have ended. Returns 0, or -1 with errno. */
static int relay(struct crew *crew)
{
    size_t open = crew->count;

    while (open > 0) {
        for (size_t i = 0; i < crew->count; i++)
            crew->waits[i] = (struct pollfd){.fd = crew->workers[i].output, .events = POLLIN};
        if (clock_poll(crew->waits, (nfds_t)crew->count, -1) == -1)
            return -1;
        for (size_t i = 0; i < crew->count; i++) {
            if (crew->waits[i].revents == 0)
                continue;
            take_output(crew, &crew->workers[i]);
            if (crew->workers[i].output == -1)
                open--;
        }
    }
    return 0;
}

/* ---- the end ---------------------------------------------------------------------------- */

static void collect(struct crew *crew, size_t number)
{
    int status;

    while (waitpid(crew->workers[number].pid, &status, 0) == -1)
        if (errno != EINTR) {
            note(crew, CLIENT_FAILED);
            return;
        }
    if (WIFEXITED(status)) {
        note(crew, (enum client_status)WEXITSTATUS(status));
        return;
    }
    note(crew, CLIENT_FAILED);
    if (!crew->output_failed)
        client_say(crew->client, "client %zu was ended by signal %d", number + 1,
                   WTERMSIG(status));
}

static void run_crew(struct crew *crew, size_t count, client_work *run, void *work)
{
    while (crew->count < count)
        if (start_worker(crew, run, work) == -1) {
            client_say(crew->client, "cannot start client %zu of %zu: %s", crew->count + 1, count,
                       strerror(errno));
            note(crew, CLIENT_FAILED);
            break;
        }
    if (relay(crew) == -1) {
        client_say(crew->client, "cannot wait: %s", strerror(errno));
        stop_all(crew);
    }
    for (size_t i = 0; i < crew->count; i++)
        collect(crew, i);
}

enum client_status client_parallel(const struct client *client, size_t count, client_work *run,
                                   void *work)
{
    struct crew crew = {.client = client};

    /* Inherited as ignored, it would leave nothing for waitpid to find. */
    signal(SIGCHLD, SIG_DFL);
    crew.workers = calloc(count, sizeof *crew.workers);
    crew.waits = calloc(count, sizeof *crew.waits);
    if (crew.workers != NULL && crew.waits != NULL) {
        run_crew(&crew, count, run, work);
    } else {
        client_say(client, "no memory for %zu clients", count);
        note(&crew, CLIENT_FAILED);
    }
    free(crew.workers);
    free(crew.waits);
    return crew.worst;
}
