/* daemon.c: see daemon.h. */
#include "process/daemon.h"

#include "process/log.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

/* The write end; -1: of a server that is ready, or stays in the foreground. */
static int lifeline = -1;

static int fail(const char *what)
{
    log_error("cannot detach (-d): %s: %s", what, strerror(errno));
    return -1;
}

static _Noreturn void wait_for_answer(int answer, pid_t server)
{
    char byte;
    ssize_t got;
    int status = 0; /* stays so where it is lost, since whoever started us ignores SIGCHLD */

    do
        got = read(answer, &byte, sizeof byte);
    while (got == -1 && errno == EINTR);
    if (got == sizeof byte)
        _exit(EXIT_SUCCESS);
    if (got == -1) { /* nobody will know whether it listens, so it must not */
        (void)fail("the server's answer");
        kill(server, SIGTERM);
    }
    /* While the lifeline is still open here: else the server would log an error as well. */
    while (waitpid(server, &status, 0) == -1 && errno == EINTR)
        ;
    if (got == 0 && WIFSIGNALED(status))
        log_error("the server was ended by signal %d before it listened (-d)", WTERMSIG(status));
    _exit(got == 0 && WIFEXITED(status) && WEXITSTATUS(status) != 0 ? WEXITSTATUS(status)
                                                                    : EXIT_FAILURE);
}

int daemon_detach(void)
{
    int ends[2];
    pid_t server;

    if (pipe(ends) == -1)
        return fail("pipe");
    fflush(NULL); /* the starter ends with _exit, which would lose it */
    server = fork();
    if (server == -1) {
        (void)fail("fork");
        close(ends[0]);
        close(ends[1]);
        return -1;
    }
    if (server != 0) {
        close(ends[1]);
        wait_for_answer(ends[0], server);
    }
    close(ends[0]);
    (void)fcntl(ends[1], F_SETFD, FD_CLOEXEC);
    lifeline = ends[1];
    (void)setsid(); /* cannot fail in a process that fork has just made */
    return 0;
}

static bool notify_starter(void)
{
    ssize_t written;

    do
        written = write(lifeline, "", 1);
    while (written == -1 && errno == EINTR);
    return written == 1;
}

int daemon_ready(void)
{
    struct stat status;
    bool notified;

    if (lifeline == -1)
        return 0;
    fflush(NULL); /* before standard output is redirected */
    notified = chdir("/") == 0 && notify_starter();
    if (!notified)
        log_error("cannot report to the starting command (-d): %s; stopping", strerror(errno));
    else {
        dup2(STDIN_FILENO, STDOUT_FILENO);
        if (fstat(STDERR_FILENO, &status) == -1 || !S_ISREG(status.st_mode))
            dup2(STDIN_FILENO, STDERR_FILENO);
    }
    close(lifeline);
    lifeline = -1;
    return notified ? 0 : -1;
}
