/*
 * suite.h: what the unit suites share: the runner, and a few ways to look at a program from
 * outside.
 *
 * A suite is one file of START_TEST functions and one SUITE line that lists them. It tests a
 * module by its header alone. Each test runs in a process of its own, which is check's
 * default: a module that has one state a process (log.c, signals.c) starts afresh in each.
 */
#ifndef SUITE_H
#define SUITE_H

#include "base/address.h"

#include <arpa/inet.h>
#include <check.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

/* Seconds in which only what hangs does not come, also on a busy machine and under a sanitizer. A
 * whole test, of which one tries some ten thousand states, has four times as many. */
#define SUITE_TIMEOUT 60

#define SUITE_LENGTH(array) (sizeof(array) / sizeof(array)[0])

/* Runs the tests, but those that $LEFT_OUT names (test_units.py). Returns the exit status of the suite. */
static inline int suite_run(const char *name, const TTest *const *tests, size_t count)
{
    Suite *suite = suite_create(name);
    TCase *group = tcase_create(name);
    SRunner *runner = srunner_create(suite);
    const char *left_out = getenv("LEFT_OUT");
    int failed;

    suite_add_tcase(suite, group);
    tcase_set_timeout(group, 4 * SUITE_TIMEOUT);
    for (size_t i = 0; i < count; i++)
        if (left_out == NULL || strstr(left_out, tests[i]->name) == NULL)
            tcase_add_test(group, tests[i]);
    srunner_run_all(runner, CK_NORMAL);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}

/* The main() of a suite: its name and its tests. */
#define SUITE(name, ...)                                          \
    int main(void)                                                \
    {                                                             \
        const TTest *const tests[] = {__VA_ARGS__};               \
        return suite_run(name, tests, SUITE_LENGTH(tests));       \
    }

/* ---- a process of its own ---- */

/* Calls `act` in a child. Returns the child's exit status, or 256 and the signal that ended
 * it. `act` must not use check's assertions: it returns 0 where all is well. */
static inline int suite_in_child(int (*act)(void *), void *data)
{
    int status = 0;
    pid_t pid = fork();

    ck_assert_msg(pid != -1, "fork: %s", strerror(errno));
    if (pid == 0)
        _exit(act(data));
    while (waitpid(pid, &status, 0) == -1 && errno == EINTR)
        ;
    return WIFEXITED(status) ? WEXITSTATUS(status) : 256 + WTERMSIG(status);
}

/* ---- what is written to standard output or standard error ---- */

struct capture {
    int descriptor, saved;
    FILE *file; /* without a name, so that nothing is left behind */
    char text[65536];
};

static inline void capture_begin(struct capture *capture, int descriptor)
{
    fflush(NULL);
    capture->descriptor = descriptor;
    capture->saved = dup(descriptor);
    capture->file = tmpfile();
    ck_assert_msg(capture->file != NULL, "tmpfile: %s", strerror(errno));
    dup2(fileno(capture->file), descriptor);
}

/* Puts the descriptor back. Returns all that was written since capture_begin. */
static inline const char *capture_end(struct capture *capture)
{
    size_t size;

    fflush(NULL);
    dup2(capture->saved, capture->descriptor);
    close(capture->saved);
    rewind(capture->file);
    size = fread(capture->text, 1, sizeof capture->text - 1, capture->file);
    capture->text[size] = '\0';
    fclose(capture->file);
    return capture->text;
}

/* How many lines a text has; -1 when the last one has no end. */
static inline int lines_of(const char *text)
{
    int lines = 0;

    for (const char *at = text; *at != '\0'; at++)
        lines += *at == '\n';
    return *text == '\0' || text[strlen(text) - 1] == '\n' ? lines : -1;
}

/* ---- descriptors, bytes, clients ---- */

static inline int open_descriptors(void)
{
    int count = 0;

    for (int descriptor = 0; descriptor < 1024; descriptor++)
        count += fcntl(descriptor, F_GETFD) != -1;
    return count;
}

static inline void set_nonblocking(int descriptor)
{
    ck_assert_int_ne(fcntl(descriptor, F_SETFL, fcntl(descriptor, F_GETFL) | O_NONBLOCK), -1);
}

/* A row of numbers that looks random and is the same in each run (Knuth, MMIX). */
static inline unsigned random_below(uint64_t *state, unsigned limit)
{
    *state = *state * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
    return (unsigned)(*state >> 33) % limit;
}

/* Byte number `at` of a stream without a short period, so that a shifted one is noticed. */
static inline char pattern_byte(size_t at)
{
    return (char)((at * UINT64_C(2654435761) >> 11) ^ at);
}

/* A client by its address: "192.0.2.1", "2001:db8::1", or "local". */
static inline struct peer peer_at(const char *address, unsigned port)
{
    struct peer peer;

    memset(&peer, 0, sizeof peer);
    peer.name.any.sa_family = AF_UNIX;
    if (strchr(address, ':') != NULL) {
        peer.name.v6.sin6_family = AF_INET6;
        peer.name.v6.sin6_port = htons((uint16_t)port);
        ck_assert_int_eq(inet_pton(AF_INET6, address, &peer.name.v6.sin6_addr), 1);
    } else if (strchr(address, '.') != NULL) {
        peer.name.v4.sin_family = AF_INET;
        peer.name.v4.sin_port = htons((uint16_t)port);
        ck_assert_int_eq(inet_pton(AF_INET, address, &peer.name.v4.sin_addr), 1);
    }
    return peer;
}

/* Makes an empty directory for a suite, open to all users, below $TMPDIR or /tmp: the path of a
 * Unix socket is short, so where $TMPDIR is long, /tmp has to do. Returns 0, or -1 (printed). */
static inline int suite_make_directory(char *directory, size_t size)
{
    const char *base = getenv("TMPDIR");

    if (base == NULL || strlen(base) > size - sizeof "/forkecho-XXXXXX")
        base = "/tmp";
    snprintf(directory, size, "%s/forkecho-XXXXXX", base);
    if (mkdtemp(directory) != NULL && chmod(directory, 0755) == 0)
        return 0;
    perror(directory);
    return -1;
}

/* Removes it with what is in it, should a test that failed have left files; no directories. */
static inline void suite_remove_directory(const char *directory)
{
    DIR *list = opendir(directory);
    struct dirent *entry;
    char path[1024];

    while (list != NULL && (entry = readdir(list)) != NULL) {
        snprintf(path, sizeof path, "%s/%s", directory, entry->d_name);
        unlink(path);
    }
    if (list != NULL)
        closedir(list);
    rmdir(directory);
}

#endif
