/* upgrade.c: see upgrade.h. */
#include "upgrade/upgrade.h"

#include "base/clock.h"
#include "platform/platform.h"
#include "process/log.h"
#include "process/manager.h"
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

/* What a program says that could take over. */
#define PASSED "could take over\n"

/* A test takes some milliseconds; one that takes so long never ends. Seconds. */
#define TEST_TIME 10.0

#define PROGRAM_MAX 1024

/* Room for what a program under test writes; its first line is logged. */
#define SAID_MAX 4096

/* How this process was started. */
static struct {
    char **argv;
    char path[PROGRAM_MAX]; /* empty: not known */
} program;

/* Which file a program was read from. */
struct image {
    dev_t device;
    ino_t file;
    off_t size;
    struct timespec changed;
};

/* The test that is under way. */
static struct {
    struct image image; /* what is tested */
    pid_t tester; /* the new image under test; 0: none */
    int answer;   /* an anonymous file in which it answers; 0: none */
    double late;  /* when it is given up; 0: no such time */
    bool ended;   /* it was reaped, with ... */
    int status;   /* ... this status */
} test;

/* ---- what a program was started for ---- */

/* Finds the program in the folders of PATH, as execvp(3) did. */
static void search_path(const char *name)
{
    const char *folder = getenv("PATH");

    while (folder != NULL && *folder != '\0') {
        int length = (int)strcspn(folder, ":");
        int used = snprintf(program.path, sizeof program.path, "%.*s/%s", length, folder, name);
        if (length > 0 && used < (int)sizeof program.path && program.path[0] == '/' &&
            access(program.path, X_OK) == 0)
            return;
        folder += length + (folder[length] == ':');
    }
    program.path[0] = '\0';
}

static void remember_path(const char *name)
{
    size_t used = 0;

    if (strchr(name, '/') == NULL) {
        search_path(name);
        return;
    }
    if (name[0] != '/') {
        if (getcwd(program.path, sizeof program.path - 1) == NULL)
            return;
        used = strlen(program.path);
        program.path[used++] = '/';
    }
    if (used + strlen(name) < sizeof program.path)
        strcpy(program.path + used, name);
    else
        program.path[0] = '\0';
}

enum upgrade_role upgrade_role(char **argv, int *file)
{
    const char *value = getenv(VARIABLE);
    enum upgrade_role role = UPGRADE_START;
    int descriptor = -1;
    long pid = 0;
    char name[8], guard[8] = "";

    program.argv = argv;
    if (argv[0] != NULL)
        remember_path(argv[0]);
    /* What it is called by from now on, wherever it then is: -d has the server change to /. */
    if (program.path[0] != '\0')
        argv[0] = program.path;
    if (value == NULL)
        return UPGRADE_START;
    /* export_role has written it in this form. A value of another form was not meant for us. */
    if (sscanf(value, "%7[a-z]:%d:%ld:%7s", name, &descriptor, &pid, guard) >= 3) { /* NOLINT(cert-err34-c) */
        if (strcmp(name, "take") == 0 && pid == (long)getpid())
            role = UPGRADE_TAKE;
        else if (strcmp(name, "test") == 0)
            role = UPGRADE_TEST; /* fails where the parent has gone meanwhile: it has no state */
    }
    unsetenv(VARIABLE);
    if (role != UPGRADE_START && strcmp(guard, PRIVATE) == 0)
        platform_forbid_tracing();
    if (role == UPGRADE_TAKE || (role == UPGRADE_TEST && pid == (long)getppid()))
        *file = descriptor;
    return role;
}

void upgrade_pass_test(void)
{
    (void)!write(STDOUT_FILENO, PASSED, strlen(PASSED));
}

static int export_role(const char *role, int file)
{
    char value[64];

    snprintf(value, sizeof value, "%s:%d:%ld%s", role, file, (long)getpid(),
             platform_is_untraceable() ? ":" PRIVATE : "");
    return setenv(VARIABLE, value, 1);
}

/* ---- testing ---- */

/* The running program goes on: says so, and why. One that stops has told the manager so, and
 * that is the last word. */
static void give_up(const struct server *server, const char *why)
{
    log_error("cannot upgrade to '%s' (SIGHUP): %s; the running program goes on", program.path,
              why);
    if (test.answer > 0)
        close(test.answer);
    memset(&test, 0, sizeof test);
    if (server->stop.phase == SERVER_SERVING)
        manager_state(MANAGER_READY);
}

/* Starts the new image. It inherits the state and nothing that this names, so that no port stays
 * taken by it, however it ends, and answers into `test.answer`. */
static int spawn(int state)
{
    posix_spawn_file_actions_t actions;
    posix_spawnattr_t attributes;
    sigset_t none;
    int error;

    sigemptyset(&none);
    posix_spawnattr_init(&attributes);
    posix_spawnattr_setsigmask(&attributes, &none);
    posix_spawnattr_setpgroup(&attributes, 0); /* its own, for end_test */
    posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETPGROUP);
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_adddup2(&actions, test.answer, STDOUT_FILENO);
    posix_spawn_file_actions_adddup2(&actions, test.answer, STDERR_FILENO);
    /* Onto itself: that clears close-on-exec (POSIX.1-2024; glibc 2.29, musl 1.1.24). */
    posix_spawn_file_actions_adddup2(&actions, state, state);
    error = posix_spawn(&test.tester, program.path, &actions, &attributes, program.argv,
                        environ);
    posix_spawn_file_actions_destroy(&actions);
    posix_spawnattr_destroy(&attributes);
    if (error == 0)
        return 0;
    test.tester = 0;
    errno = error;
    return -1;
}

/* Notes which file it is that is tested. */
static void note_image(struct image *image)
{
    struct stat status = {0};

    (void)stat(program.path, &status);
    *image = (struct image){.device = status.st_dev,
                            .file = status.st_ino,
                            .size = status.st_size,
                            .changed = status.st_ctim};
}

static bool is_same_image(const struct image *one, const struct image *other)
{
    return one->device == other->device && one->file == other->file && one->size == other->size &&
           one->changed.tv_sec == other->changed.tv_sec &&
           one->changed.tv_nsec == other->changed.tv_nsec;
}

/* Returns 0, or -1 with errno. */
static int begin_test(const struct server *server)
{
    int state = platform_anonymous_file(), result = -1, error;

    test.answer = platform_sealed_file(SAID_MAX);
    note_image(&test.image);
    if (state != -1 && test.answer != -1 && takeover_write(state, server) == 0 &&
        export_role("test", state) == 0)
        result = spawn(state);
    error = errno;
    unsetenv(VARIABLE);
    if (state != -1)
        close(state);
    errno = error;
    return result;
}

static void start_test(const struct server *server)
{
    if (begin_test(server) == 0)
        test.late = clock_seconds() + TEST_TIME;
    else
        give_up(server,
                errno == ENOENT && server->options->root != NULL
                    ? "there is no such file within the root (-r)"
                    : strerror(errno));
}

void upgrade_begin(struct server *server)
{
    if (test.tester != 0) /* one at a time; act_on_answer sees whether there is a newer one */
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

void upgrade_reaped(pid_t pid, int status)
{
    if (pid != test.tester)
        return;
    test.ended = true;
    test.status = status;
}

/* One that cannot be waited for (-1) is gone all the same, and its answer says the rest: no test
 * goes on for ever. */
static void reap_tester(void)
{
    int status = 0;
    pid_t reaped;

    do
        reaped = waitpid(test.tester, &status, WNOHANG);
    while (reaped == -1 && errno == EINTR);
    if (reaped != 0)
        upgrade_reaped(test.tester, status);
}

/* ---- taking over ---- */

static void set_inherited(const int *descriptors, size_t count, bool inherited)
{
    for (size_t i = 0; i < count; i++)
        (void)fcntl(descriptors[i], F_SETFD, inherited ? 0 : FD_CLOEXEC);
}

/* Becomes the new program. Returns only when that failed, with errno. */
static void execute(const struct server *server)
{
    int descriptors[TAKEOVER_DESCRIPTORS_MAX + 1];
    size_t count = takeover_descriptors(server, descriptors);
    int state = platform_anonymous_file(), error;

    descriptors[count++] = state;
    if (state != -1 && takeover_write(state, server) == 0 &&
        export_role("take", state) == 0 && manager_export() == 0) {
        set_inherited(descriptors, count, true);
        log_sum_up_all();
        execv(program.path, program.argv);
    }
    error = errno;
    set_inherited(descriptors, count, false);
    if (state != -1)
        close(state);
    manager_unexport();
    unsetenv(VARIABLE);
    errno = error;
}

/* Why a test was not passed, in one line: what it said itself, or how it ended. */
static const char *failure(char *text, size_t size)
{
    int status = test.status;
    ssize_t length = pread(test.answer, text, size - 1, 0);

    text[length > 0 ? length : 0] = '\0';
    if (strcmp(text, PASSED) == 0 && WIFEXITED(status) && WEXITSTATUS(status) == 0)
        return NULL;
    text[strcspn(text, "\n")] = '\0';
    if (WIFSIGNALED(status))
        snprintf(text, size, test.late > 0 ? "signal %d ended its test"
                                               : "it did not answer in time (signal %d)",
                 WTERMSIG(status));
    else if (text[0] == '\0' || strcmp(text, "could take over") == 0)
        snprintf(text, size, "it is no program that can take over (exit status %d)",
                 WEXITSTATUS(status));
    return text;
}

/* The test has ended, one way or the other. What passed it need not be what lies there by now:
 * a SIGHUP for that has come to nothing, and it may be broken. */
static void act_on_answer(struct server *server)
{
    char text[LOG_LINE_MAX / 2];
    const char *why = failure(text, sizeof text);
    struct image now;

    note_image(&now);
    if (server->stop.phase != SERVER_SERVING) {
        why = "the server is stopping";
    } else if (!is_same_image(&now, &test.image)) {
        close(test.answer);
        memset(&test, 0, sizeof test);
        start_test(server);
        return;
    }
    if (why == NULL) {
        server->model->read_records(server); /* what was read and not handled would be lost */
        execute(server);
        why = strerror(errno);
    }
    give_up(server, why);
}

/* Gives a test up, with all that it has started: a script may wait for a program of its own.
 * What it was is said once it is reaped. */
static void end_test(void)
{
    kill(-test.tester, SIGKILL);
    test.late = 0;
}

bool upgrade_is_on(void)
{
    return test.tester != 0;
}

double upgrade_due(void)
{
    return test.late;
}

void upgrade_turn(struct server *server)
{
    if (test.tester != 0 && !test.ended)
        reap_tester();
    if (test.ended)
        act_on_answer(server);
    else if (test.late > 0 &&
             (clock_seconds() >= test.late || server->stop.phase != SERVER_SERVING))
        end_test();
}
