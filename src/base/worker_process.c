/* worker_process.c: see worker_process.h. */
#include "base/worker_process.h"

#include "base/clock.h"
#include "base/connecting.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

int workers_new(struct workers *workers, size_t count)
{
    signal(SIGCHLD, SIG_DFL);
    *workers = (struct workers){.list = calloc(count, sizeof *workers->list),
                                .polls = calloc(count, sizeof *workers->polls)};
    return workers->list != NULL && workers->polls != NULL ? 0 : -1;
}

int workers_start(struct workers *workers, worker_run *run, void *context)
{
    int ends[2];
    pid_t pid;

    if (socketpair(AF_UNIX, SOCK_STREAM, 0, ends) == -1)
        return -1;
    pid = fork();
    if (pid == 0) {
        close(ends[0]);
        for (size_t i = 0; i < workers->count; i++)
            if (workers->list[i].channel != -1)
                close(workers->list[i].channel);
        _exit(run(context, workers->count, ends[1]));
    }
    if (pid == -1) {
        connecting_failed(ends[0]);
        return connecting_failed(ends[1]);
    }
    close(ends[1]);
    workers->list[workers->count++] = (struct worker_process){.pid = pid, .channel = ends[0]};
    workers->open++;
    return 0;
}

int workers_poll(struct workers *workers, double seconds)
{
    for (size_t i = 0; i < workers->count; i++)
        workers->polls[i] = (struct pollfd){.fd = workers->list[i].channel, .events = POLLIN};
    return clock_poll(workers->polls, (nfds_t)workers->count, seconds);
}

void workers_close(struct workers *workers, size_t number)
{
    close(workers->list[number].channel);
    workers->list[number].channel = -1;
    workers->open--;
}

void workers_signal(const struct workers *workers, int signal)
{
    for (size_t i = 0; i < workers->count; i++)
        if (workers->list[i].pid != 0)
            kill(workers->list[i].pid, signal);
}

int workers_wait(struct workers *workers, size_t number)
{
    int status = 0;

    while (waitpid(workers->list[number].pid, &status, 0) == -1 && errno == EINTR)
        ;
    workers->list[number].pid = 0;
    return status;
}

void workers_free(struct workers *workers)
{
    workers_signal(workers, SIGKILL);
    for (size_t i = 0; i < workers->count; i++) {
        if (workers->list[i].channel != -1)
            workers_close(workers, i);
        if (workers->list[i].pid != 0)
            workers_wait(workers, i);
    }
    free(workers->list);
    free(workers->polls);
}
