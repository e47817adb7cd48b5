/* upgrade.c: see upgrade.h. */
#include "upgrade/upgrade.h"

#include "base/clock.h"
#include "base/path.h"
#include "platform/platform.h"
#include "process/log.h"
#include "process/manager.h"
#include "process/signals.h"
#include "server/serve.h"
#include "upgrade/takeover.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

extern char **environ;

#define VARIABLE "FORKECHO_TAKEOVER"
#define PRIVATE "private" /* others of its user may not look into the process: platform.h */
#define PASSED "could take over" /* what a program says under test that could */
#define TEST_TIME 10.0           /* seconds: a test takes some milliseconds, or never ends */
#define SAID_MAX 65536           /* bytes that it and its libraries may write under test, ... */
#define SAID_SHOWN 200           /* ... and how many of them the log shows */
#define PROGRAM_MAX 1024

static struct { /* how this process was started */
    char **argv;
    char path[PROGRAM_MAX]; /* empty: not known */
} program;

/* The test that is under way. */
static struct {
    struct stat image; /* the file that is tested */
    pid_t tester;      /* the new image under test; 0: none */
    int answer;        /* an anonymous file in which it answers; 0: none */
    double late;       /* when it is given up; 0: no such time */
} test;

/* Only an absolute path is right wherever the server then is: -d has it change to /. */
static bool is_own_path(const char *path)
{
    return path[0] == '/' && platform_runs(path);
}

enum upgrade_role upgrade_role(char **argv, int *file)
{
    const char *value = getenv(VARIABLE);
    enum upgrade_role role = UPGRADE_START;
    int descriptor = -1;
    long pid = 0;
    char name[8], guard[8] = "";

    program.argv = argv;
    if (argv[0] != NULL && path_find(argv[0], is_own_path, program.path, sizeof program.path))
        argv[0] = program.path;
    else
        program.path[0] = '\0';
    /* leave_state has written it in this form. A value of another form was not meant for us. */
    if (value == NULL || /* NOLINTNEXTLINE(cert-err34-c) */
        sscanf(value, "%7[a-z]:%d:%ld:%7s", name, &descriptor, &pid, guard) < 3)
        name[0] = '\0';
    if (strcmp(name, "take") == 0 && pid == (long)getpid())
        role = UPGRADE_TAKE;
    else if (strcmp(name, "test") == 0)
        role = UPGRADE_TEST; /* fails where the parent has gone meanwhile: it has no state */
    unsetenv(VARIABLE);
    if (role != UPGRADE_START && strcmp(guard, PRIVATE) == 0)
        platform_forbid_tracing();
    if (role == UPGRADE_TAKE || (role == UPGRADE_TEST && pid == (long)getppid()))
        *file = descriptor;
    return role;
}

void upgrade_pass_test(void)
{
    (void)!write(STDOUT_FILENO, PASSED "\n", strlen(PASSED "\n"));
}

/* Takes back what leave_state has left, if it has. errno stays. */
static void remove_state(int state)
{
    int error = errno;

    if (state != -1)
        close(state);
    unsetenv(VARIABLE);
    manager_unexport();
    errno = error;
}

/* Writes the state, and makes the environment that of the start, but for who is to read it. Returns
 * its file, or -1 with errno. */
static int leave_state(const struct server *server, const char *role, int *descriptors)
{
    char value[64];
    int state = platform_anonymous_file();

    snprintf(value, sizeof value, "%s:%d:%ld%s", role, state, (long)getpid(),
             platform_is_untraceable() ? ":" PRIVATE : "");
    if (state != -1 && takeover_write(state, server, descriptors) == 0 &&
        fcntl(state, F_SETFD, 0) == 0 && setenv(VARIABLE, value, 1) == 0 && manager_export() == 0)
        return state;
    remove_state(state);
    return -1;
}

/* The running program goes on. One that stops has told the manager so: that is the last word. */
static void give_up(const struct server *server, const char *why)
{
    if (test.answer > 0)
        close(test.answer);
    memset(&test, 0, sizeof test);
    log_error("cannot upgrade to '%s' (SIGHUP): %s; the running program goes on",
              program.path, why);
    if (server->stop.phase == SERVER_SERVING)
        manager_state(MANAGER_READY);
}

/* Starts the new image as execute would: as this user, with these limits, environment and signals
 * blocked. But it inherits the state and nothing that this names, so that no port stays taken by
 * it, however it ends, and answers into `test.answer`. Returns 0 or an errno. */
static int spawn(void)
{
    posix_spawn_file_actions_t actions;
    posix_spawnattr_t attributes;
    int error;

    posix_spawnattr_init(&attributes);
    posix_spawnattr_setpgroup(&attributes, 0); /* its own, to be ended as a whole */
    posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETPGROUP);
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_adddup2(&actions, test.answer, STDOUT_FILENO);
    posix_spawn_file_actions_adddup2(&actions, test.answer, STDERR_FILENO);
    error = posix_spawn(&test.tester, program.path, &actions, &attributes, program.argv, environ);
    posix_spawn_file_actions_destroy(&actions);
    posix_spawnattr_destroy(&attributes);
    return error;
}

static bool is_same_image(const struct stat *one, const struct stat *other)
{
    return one->st_dev == other->st_dev && one->st_ino == other->st_ino &&
           one->st_size == other->st_size && one->st_ctim.tv_sec == other->st_ctim.tv_sec &&
           one->st_ctim.tv_nsec == other->st_ctim.tv_nsec;
}

static void start_test(const struct server *server)
{
    int descriptors[TAKEOVER_DESCRIPTORS_MAX] = {0}; /* a test inherits none of them */
    int state, error;

    (void)stat(program.path, &test.image); /* all is 0 where there is none */
    state = leave_state(server, "test", descriptors);
    test.answer = state != -1 ? platform_sealed_file(SAID_MAX) : -1;
    error = test.answer != -1 ? spawn() : errno;
    test.late = clock_seconds() + TEST_TIME;
    remove_state(state);
    if (error != 0)
        give_up(server, error == ENOENT && server->options->root != NULL
                            ? "there is no such file within the root (-r)"
                            : strerror(error));
}

void upgrade_begin(struct server *server)
{
    if (test.tester != 0)
        return;
    log_event(LOG_NORMAL, "upgrade pid=%ld program=%s", (long)getpid(), program.path);
    if (server->stop.phase != SERVER_SERVING) {
        give_up(server, "the server is stopping");
        return;
    }
    manager_state(MANAGER_RELOADING);
    if (program.path[0] == '\0')
        give_up(server, "it is not known where this program lies; start it by its path");
    else
        start_test(server);
}

static void set_inherited(const int *descriptors, bool inherited)
{
    for (; *descriptors != 0; descriptors++)
        (void)fcntl(*descriptors, F_SETFD, inherited ? 0 : FD_CLOEXEC);
}

/* Becomes the new program. Returns only when that failed: why. */
static const char *execute(const struct server *server)
{
    int descriptors[TAKEOVER_DESCRIPTORS_MAX] = {0};
    int state = leave_state(server, "take", descriptors), error;

    if (state != -1) {
        set_inherited(descriptors, true);
        log_sum_up_all();
        execv(program.path, program.argv);
    }
    error = errno;
    set_inherited(descriptors, false);
    remove_state(state);
    return strerror(error);
}

/* Reads what was written under test, as one line, without the words that it could take over: a
 * loader or sanitizer may have written before and behind them. Returns whether they were there. */
static bool read_answer(char *text, size_t size)
{
    ssize_t length = pread(test.answer, text, size - 1, 0);
    char *word, *end;

    text[length > 0 ? length : 0] = '\0';
    word = strstr(text, PASSED "\n");
    if (word != NULL)
        memmove(word, word + strlen(PASSED "\n"), strlen(word + strlen(PASSED "\n")) + 1);
    for (end = text; *(end += strcspn(end, "\n")) != '\0';)
        *end = ' ';
    while (end > text && end[-1] == ' ')
        *--end = '\0';
    return word != NULL;
}

/* Why the test was not passed, in `why`; NULL: it was. What else was written is logged then. */
static const char *failure(int status, char *why, size_t size)
{
    static char said[SAID_MAX + 1];
    const bool passed = read_answer(said, sizeof said);

    if (passed && WIFEXITED(status) && WEXITSTATUS(status) == 0) {
        if (said[0] != '\0')
            log_error("'%s' wrote under test (SIGHUP): %.*s; it takes over all the same",
                      program.path, SAID_SHOWN, said);
        return NULL;
    }
    if (WIFSIGNALED(status))
        snprintf(why, size, test.late > 0 ? "signal %d ended its test"
                                          : "it did not answer in time (signal %d)",
                 WTERMSIG(status));
    else
        snprintf(why, size, "%.*s (exit status %d)", SAID_SHOWN,
                 said[0] != '\0' ? said : "it is no program that can take over",
                 WEXITSTATUS(status));
    return why;
}

/* What was tested need not lie there by now: a SIGHUP for what does has come to nothing. */
static void act_on_answer(struct server *server, int status)
{
    char text[LOG_LINE_MAX / 2];
    const char *why = "the server is stopping";
    struct stat now = {0};

    (void)stat(program.path, &now);
    if (server->stop.phase == SERVER_SERVING && !is_same_image(&now, &test.image)) {
        close(test.answer);
        start_test(server);
        return;
    }
    if (server->stop.phase == SERVER_SERVING)
        why = failure(status, text, sizeof text);
    if (why == NULL) {
        do /* what was read and not handled would be lost */
            server->model->read_records(server);
        while (server->ledger.held >= sizeof(struct record));
        server_refuse_over_cap(server, REFUSED_PER_SOURCE);
        why = execute(server);
    }
    give_up(server, why);
}

/* A program that cannot be waited for (-1) has ended for us once it has answered or is killed. */
static bool has_ended(int *status)
{
    char first = '\0';
    pid_t reaped = waitpid(test.tester, status, WNOHANG);

    (void)!pread(test.answer, &first, 1, 0);
    return reaped > 0 || (reaped == -1 && (first != '\0' || test.late <= 0));
}

void upgrade_turn(struct server *server)
{
    int status = 0;

    if (test.tester != 0 && has_ended(&status)) {
        act_on_answer(server, status);
    } else if (test.late > 0 &&
               (clock_seconds() >= test.late || server->stop.phase != SERVER_SERVING)) {
        /* And what it has started: a script may wait for a program. Under qemu-user it may not
         * have made its group yet. */
        signals_send_group(test.tester, SIGKILL);
        test.late = 0;
    }
}

pid_t upgrade_tester(void)
{
    return test.tester;
}

double upgrade_due(void)
{
    return test.late;
}
