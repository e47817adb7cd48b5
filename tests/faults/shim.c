/*
 * shim.c: stands between a server and its libc, and makes calls fail as a test wants it.
 *
 * A shared object for LD_PRELOAD. It and the test share one page, a file that FORKECHO_FAULTS
 * names. The test writes there which call fails, with what error, and when, and may change that
 * while the server runs. The shim counts there how often each was called while a fault was
 * armed, and how often it failed. Why not strace's inject: that has one fault for the whole life
 * of a process, costs two context switches a call, cannot have close fail as it fails on Linux
 * (the descriptor is closed all the same, close(2)), and cannot shorten a read or shift a clock.
 *
 * The page is mapped before main, so a server that has changed its root or its user still has
 * it, as have its children and the program of an upgrade. Nothing here allocates, and all symbols
 * are found before main: a child of forkecho has no heap (src/platform/platform.h).
 *
 * Calls that libc makes inside itself (stdio, getaddrinfo) do not come here; test_matrix.py
 * compares the counts with strace's.
 */
#define _DEFAULT_SOURCE /* setgroups, chroot; not _GNU_SOURCE, which has other types for accept */
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <spawn.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/select.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

/* What is not POSIX: dlsym(3), accept4(2), poll(2), _Fork(3). */
#define NEXT_OBJECT ((void *)-1L)
int accept4(int descriptor, struct sockaddr *name, socklen_t *length, int flags);
int ppoll(struct pollfd *polled, nfds_t count, const struct timespec *timeout,
          const sigset_t *mask);
pid_t _Fork(void);

/* Where a fault can be; trials.py reads this list. Reads and writes are distinguished by what they
 * are on: a client's socket, a pipe (the ledger, and others between processes), or the log. */
enum point {
    ACCEPT, FORK, THREAD, PSELECT, POLL, EPOLL_WAIT, READ_CLIENT, READ_PIPE, WRITE_CLIENT,
    WRITE_PIPE, WRITE_LOG, WAITPID, CLOSE, SHUTDOWN, SETSOCKOPT, PIPE, SOCKET, BIND, LISTEN,
    SIGACTION, SETRLIMIT, SETUID, SETGID, SETGROUPS, CHROOT, EXEC,
    POINTS
};

/* The page; trials.py has the same order. Calls are numbered from 1 since the fault was armed. */
static struct page {
    _Atomic int32_t point; /* where the fault is; -1: none is armed */
    _Atomic int32_t error;
    _Atomic int32_t from, period; /* call `from` fails, and one more each `period`; 0: none more */
    _Atomic int32_t spared; /* of so many calls the last one does not fail; 0: all fail */
    _Atomic int32_t most; /* what a read or write may move at most, in bytes; 0: all */
    _Atomic int32_t shift; /* seconds by which the clock of the day is wrong */
    _Atomic int32_t number, target, at; /* signal `number` to process `target` at the call `at` */
    _Atomic int32_t all; /* calls of all kinds, since the test has set it to 0 */
    _Atomic int32_t calls[POINTS], failed[POINTS];
} *page;

#define CALLS(_)                                                                                   \
    _(accept) _(accept4) _(fork) _(_Fork) _(pthread_create) _(pselect) _(poll) _(ppoll)            \
    _(epoll_wait) _(epoll_pwait) _(read) _(recv) _(write) _(send) _(waitpid) _(waitid) _(close)   \
    _(shutdown) _(setsockopt) _(pipe) _(socket) _(bind) _(listen) _(sigaction) _(setrlimit) _(setuid)          \
    _(setgid) _(setgroups) _(chroot) _(execv) _(execvp) _(posix_spawn) _(clock_gettime) _(time) _(nanosleep)

/* libc's own, found before main. */
static struct {
#define MEMBER(name) __typeof__(name) *(name);
    CALLS(MEMBER)
} real;

static void find(void **function, const char *name)
{
    *function = dlsym(NEXT_OBJECT, name);
}

__attribute__((constructor)) static void begin(void)
{
    const char *path = getenv("FORKECHO_FAULTS");
    int file = path != NULL ? open(path, O_RDWR | O_CLOEXEC) : -1;

#define FIND(name) find((void **)&real.name, #name);
    CALLS(FIND)
    if (file == -1)
        abort(); /* a test without its faults would be none */
    page = mmap(NULL, sizeof *page, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
    if (page == MAP_FAILED)
        abort();
    real.close(file);
}

/* Whether call number `number` is one that fails. */
static bool is_due(int32_t number)
{
    int32_t from = page->from, period = page->period, spared = page->spared;

    if (number < from || (spared > 0 && number % spared == 0))
        return false;
    return number == from || (period > 0 && (number - from) % period == 0);
}

/* Counts a call. Returns the error with which it has to fail, 0: none. */
static int fault(enum point point)
{
    int32_t armed = page->point, number;

    if (++page->all == page->at)
        kill(page->target, page->number);
    if (armed == -1) /* one that comes while the test clears the counts is not the first */
        return 0;
    number = ++page->calls[point];
    if (armed != (int32_t)point || !is_due(number))
        return 0;
    page->failed[point]++;
    return page->error;
}

/* The same, with the error in errno. */
static bool fails(enum point point)
{
    int error = fault(point);

    if (error != 0)
        errno = error;
    return error != 0;
}

/* The same for a call that waits: EINTR comes only after a moment, as a signal would. */
static bool wait_fails(enum point point)
{
    const struct timespec moment = {0, 1000000};
    int error = fault(point);

    if (error == EINTR)
        real.nanosleep(&moment, NULL);
    if (error != 0)
        errno = error;
    return error != 0;
}

static enum point kind_of(int descriptor, enum point client, enum point pipe, enum point log)
{
    struct stat status;

    if (descriptor == STDERR_FILENO)
        return log;
    return fstat(descriptor, &status) == 0 && S_ISSOCK(status.st_mode) ? client : pipe;
}

static bool read_fails(int descriptor)
{
    return fails(kind_of(descriptor, READ_CLIENT, READ_PIPE, READ_PIPE));
}

static bool write_fails(int descriptor)
{
    return fails(kind_of(descriptor, WRITE_CLIENT, WRITE_PIPE, WRITE_LOG));
}

/* What may be moved of `size` bytes. Not on a pipe or log: records and lines are whole or not at
 * all (POSIX.1-2008, write: at most PIPE_BUF bytes). */
static size_t part_of(int descriptor, size_t size)
{
    size_t most = (size_t)page->most;

    if (most == 0 || size <= most)
        return size;
    return kind_of(descriptor, READ_CLIENT, READ_PIPE, READ_PIPE) == READ_CLIENT ? most : size;
}

/* ---- the calls ---- */

int accept(int descriptor, struct sockaddr *name, socklen_t *length)
{
    return fails(ACCEPT) ? -1 : real.accept(descriptor, name, length);
}

int accept4(int descriptor, struct sockaddr *name, socklen_t *length, int flags)
{
    return fails(ACCEPT) ? -1 : real.accept4(descriptor, name, length, flags);
}

pid_t fork(void)
{
    return fails(FORK) ? -1 : real.fork();
}

pid_t _Fork(void)
{
    return fails(FORK) ? -1 : real._Fork();
}

int pthread_create(pthread_t *thread, const pthread_attr_t *attributes, void *(*start)(void *),
                   void *argument)
{
    int error = fault(THREAD);

    return error != 0 ? error : real.pthread_create(thread, attributes, start, argument);
}

int pselect(int limit, fd_set *readable, fd_set *writable, fd_set *except,
            const struct timespec *timeout, const sigset_t *mask)
{
    return wait_fails(PSELECT) ? -1
                               : real.pselect(limit, readable, writable, except, timeout, mask);
}

int poll(struct pollfd *polled, nfds_t count, int timeout)
{
    return wait_fails(POLL) ? -1 : real.poll(polled, count, timeout);
}

int ppoll(struct pollfd *polled, nfds_t count, const struct timespec *timeout,
          const sigset_t *mask)
{
    return wait_fails(POLL) ? -1 : real.ppoll(polled, count, timeout, mask);
}

int epoll_wait(int epoll, struct epoll_event *events, int most, int timeout)
{
    return wait_fails(EPOLL_WAIT) ? -1 : real.epoll_wait(epoll, events, most, timeout);
}

int epoll_pwait(int epoll, struct epoll_event *events, int most, int timeout,
                const sigset_t *mask)
{
    return wait_fails(EPOLL_WAIT) ? -1 : real.epoll_pwait(epoll, events, most, timeout, mask);
}

ssize_t read(int descriptor, void *bytes, size_t size)
{
    return read_fails(descriptor) ? -1 : real.read(descriptor, bytes, part_of(descriptor, size));
}

ssize_t recv(int descriptor, void *bytes, size_t size, int flags)
{
    return read_fails(descriptor) ? -1
                                  : real.recv(descriptor, bytes, part_of(descriptor, size), flags);
}

ssize_t write(int descriptor, const void *bytes, size_t size)
{
    return write_fails(descriptor) ? -1 : real.write(descriptor, bytes, part_of(descriptor, size));
}

ssize_t send(int descriptor, const void *bytes, size_t size, int flags)
{
    return write_fails(descriptor) ? -1
                                   : real.send(descriptor, bytes, part_of(descriptor, size), flags);
}

pid_t waitpid(pid_t pid, int *status, int options)
{
    return wait_fails(WAITPID) ? -1 : real.waitpid(pid, status, options);
}

int waitid(idtype_t type, id_t id, siginfo_t *found, int options)
{
    return wait_fails(WAITPID) ? -1 : real.waitid(type, id, found, options);
}

int close(int descriptor)
{
    int error = fault(CLOSE), result = real.close(descriptor);

    if (error == 0)
        return result;
    errno = error;
    return -1;
}

int shutdown(int descriptor, int how)
{
    return fails(SHUTDOWN) ? -1 : real.shutdown(descriptor, how);
}

int setsockopt(int descriptor, int level, int option, const void *value, socklen_t size)
{
    return fails(SETSOCKOPT) ? -1 : real.setsockopt(descriptor, level, option, value, size);
}

int pipe(int ends[2])
{
    return fails(PIPE) ? -1 : real.pipe(ends);
}

int socket(int family, int type, int protocol)
{
    return fails(SOCKET) ? -1 : real.socket(family, type, protocol);
}

int bind(int descriptor, const struct sockaddr *name, socklen_t length)
{
    return fails(BIND) ? -1 : real.bind(descriptor, name, length);
}

int listen(int descriptor, int backlog)
{
    return fails(LISTEN) ? -1 : real.listen(descriptor, backlog);
}

int sigaction(int number, const struct sigaction *action, struct sigaction *before)
{
    return fails(SIGACTION) ? -1 : real.sigaction(number, action, before);
}

int setrlimit(int what, const struct rlimit *limit)
{
    return fails(SETRLIMIT) ? -1 : real.setrlimit(what, limit);
}

int setuid(uid_t user)
{
    return fails(SETUID) ? -1 : real.setuid(user);
}

int setgid(gid_t group)
{
    return fails(SETGID) ? -1 : real.setgid(group);
}

int setgroups(size_t count, const gid_t *groups)
{
    return fails(SETGROUPS) ? -1 : real.setgroups(count, groups);
}

int chroot(const char *path)
{
    return fails(CHROOT) ? -1 : real.chroot(path);
}

int execv(const char *path, char *const argv[])
{
    return fails(EXEC) ? -1 : real.execv(path, argv);
}

int execvp(const char *file, char *const argv[])
{
    return fails(EXEC) ? -1 : real.execvp(file, argv);
}

int posix_spawn(pid_t *pid, const char *path, const posix_spawn_file_actions_t *actions,
                const posix_spawnattr_t *attributes, char *const argv[], char *const variables[])
{
    int error = fault(EXEC);

    return error != 0 ? error : real.posix_spawn(pid, path, actions, attributes, argv, variables);
}

/* ---- clocks ---- */

int clock_gettime(clockid_t clock, struct timespec *now)
{
    int result = real.clock_gettime(clock, now);

    if (result == 0 && clock == CLOCK_REALTIME)
        now->tv_sec += page->shift;
    return result;
}

time_t time(time_t *stored)
{
    time_t now = real.time(NULL) + page->shift;

    if (stored != NULL)
        *stored = now;
    return now;
}
