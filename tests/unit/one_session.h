/*
 * one_session.h: a session over a socket pair, and its client, for the suites of session.h and of
 * what stands beside the echo.
 */
#ifndef ONE_SESSION_H
#define ONE_SESSION_H

#include "suite.h"

#include "echo/session.h"

#include <signal.h>

static struct service service; /* plain echo without limits, unless a test says otherwise */
static struct session session;
static struct peer peer;
static int ours, theirs; /* the two ends of the connection */

static inline const struct reply *compiled(const char *text, bool with_message)
{
    const char *problem = NULL;
    const struct reply *reply = reply_compile(text, with_message, &problem);

    ck_assert_msg(reply != NULL, "%s: %s", text, problem);
    return reply;
}

/* Opens a session of a client with a buffer of exactly the size that it asks for. */
static inline void open_session_of(const char *address)
{
    int ends[2];
    char *buffer = malloc(session_buffer_size(&service));

    signal(SIGPIPE, SIG_IGN); /* as servers have it */
    ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM, 0, ends), 0);
    ck_assert_ptr_nonnull(buffer);
    ours = ends[0];
    theirs = ends[1];
    peer = peer_at(address, 99);
    session_open(&session, &service, ours, &peer, buffer);
}

static inline void open_session(void)
{
    open_session_of("local");
}

static inline void close_session(void)
{
    free(session.buffer);
    close(ours);
    free((struct reply *)service.answers.reply);
    free((struct reply *)service.answers.greeting);
}

/* Starts `client` on the other end, in a process of its own. It returns 0 where all is well. */
static inline pid_t start_client(int (*client)(size_t), size_t value)
{
    pid_t pid = fork();

    ck_assert_int_ne(pid, -1);
    if (pid == 0) {
        close(ours);
        _exit(client(value));
    }
    close(theirs);
    return pid;
}

static inline void expect_client_content(pid_t pid)
{
    int status;

    while (waitpid(pid, &status, 0) == -1)
        ck_assert_int_eq(errno, EINTR);
    ck_assert_msg(WIFEXITED(status) && WEXITSTATUS(status) == 0, "client: %#x", (unsigned)status);
}

static inline void send_text(const char *text)
{
    ck_assert_int_eq(write(theirs, text, strlen(text)), (ssize_t)strlen(text));
}

/* Reads as much as the text has, and compares. */
static inline void expect_text(const char *text)
{
    char bytes[1024];
    size_t size = 0;

    while (size < strlen(text)) {
        ssize_t more = read(theirs, bytes + size, strlen(text) - size);
        ck_assert_msg(more > 0, "after %zu bytes of '%s'", size, text);
        size += (size_t)more;
    }
    ck_assert_mem_eq(bytes, text, size);
}

/* The idle limit in the form that session_run expects it. */
static inline void set_idle(double seconds)
{
    service.idle = seconds;
    session_set_timeouts(ours, seconds);
}

#endif
