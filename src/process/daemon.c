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

/* Logs that `what` failed with errno. Returns -1. */
static int fail(const char *what)
{
    log_error("cannot detach (-d): %s: %s", what, strerror(errno));
    return -1;
}

/* Waits for the server's end. Returns false where its status is lost, because whoever started us
 * ignores SIGCHLD. */
static bool wait_for_end(pid_t server, int *status)
{
    pid_t ended;

    do
        ended = waitpid(server, status, 0);
    while (ended == -1 && errno == EINTR);
    return ended != -1;
}

/* How the server ended, as the starter's exit status. */
static int status_of(pid_t server)
{
    int status;

    if (!wait_for_end(server, &status))
        return EXIT_FAILURE;
    if (WIFSIGNALED(status))
        log_error("the server was ended by signal %d before it listened (-d)", WTERMSIG(status));
    return WIFEXITED(status) && WEXITSTATUS(status) != 0 ? WEXITSTATUS(status) : EXIT_FAILURE;
}

/* The rest of the starter's life. */
static _Noreturn void wait_for_answer(int lifeline, pid_t server)
{
    char byte;
    ssize_t got;
    int status;

    do
        got = read(lifeline, &byte, sizeof byte);
    while (got == -1 && errno == EINTR);
    if (got == -1) { /* nobody will know whether it listens, so it must not */
        (void)fail("the server's answer");
        kill(server, SIGTERM);
        /* While the lifeline is still open here: else the server would log an error as well. */
        (void)wait_for_end(server, &status);
        _exit(EXIT_FAILURE);
    }
    _exit(got == sizeof byte ? EXIT_SUCCESS : status_of(server));
}

static void close_both(int one, int other)
{
    close(one);
    close(other);
}

int daemon_detach(struct daemon *daemon)
{
    int ends[2];
    pid_t server;

    *daemon = DAEMON_NONE;
    if (pipe(ends) == -1)
        return fail("pipe");
    daemon->null = open("/dev/null", O_RDWR | O_CLOEXEC);
    (void)fcntl(ends[1], F_SETFD, FD_CLOEXEC);
    fflush(NULL); /* the starter ends with _exit, which would lose it */
    server = daemon->null == -1 ? -1 : fork();
    if (server == -1) {
        int result = fail(daemon->null == -1 ? "/dev/null" : "fork");
        close_both(ends[0], ends[1]);
        if (daemon->null != -1)
            close(daemon->null);
        *daemon = DAEMON_NONE;
        return result;
    }
    if (server != 0) {
        close(ends[1]);
        wait_for_answer(ends[0], server);
    }
    close(ends[0]);
    daemon->lifeline = ends[1];
    (void)setsid(); /* cannot fail in a process that fork has just made */
    return 0;
}

/* Sends the byte. Returns false when the starter is gone. */
static bool notify_starter(int lifeline)
{
    struct sigaction ignore = {.sa_handler = SIG_IGN}, before;
    ssize_t written;

    sigaction(SIGPIPE, &ignore, &before);
    do
        written = write(lifeline, "", 1);
    while (written == -1 && errno == EINTR);
    sigaction(SIGPIPE, &before, NULL);
    return written == 1;
}

static bool is_regular_file(int descriptor)
{
    struct stat status;

    return fstat(descriptor, &status) == 0 && S_ISREG(status.st_mode);
}

int daemon_ready(struct daemon *daemon)
{
    bool notified;

    if (daemon->lifeline == -1)
        return 0;
    fflush(NULL); /* before standard output is redirected */
    notified = chdir("/") == 0 && notify_starter(daemon->lifeline);
    if (!notified)
        log_error("cannot report to the starting command (-d): %s; stopping", strerror(errno));
    else {
        dup2(daemon->null, STDIN_FILENO);
        dup2(daemon->null, STDOUT_FILENO);
        if (!is_regular_file(STDERR_FILENO))
            dup2(daemon->null, STDERR_FILENO);
    }
    close_both(daemon->lifeline, daemon->null);
    *daemon = DAEMON_NONE;
    return notified ? 0 : -1;
}
