/*
 * null.c: platform.h and waiting.h on a system of which only POSIX.1-2008 is known.
 *
 * What is lost is said at each function there ("elsewhere"). What matters most: a server that is
 * started as root cannot give up its groups, so it has to be started by the user that it is to be.
 */
#include "platform/platform.h"
#include "platform/waiting.h"

#include "base/clock.h"
#include "base/descriptors.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

pid_t platform_fork(void)
{
    return fork();
}

void platform_reset_environment(char **argv)
{
    (void)argv;
}

bool platform_runs(const char *path)
{
    (void)path;
    return false;
}

int platform_prefer_children(int file)
{
    (void)file;
    return 0;
}

bool platform_memory_ran_out(void)
{
    return false;
}

unsigned long long platform_memory_left(void)
{
    return ULLONG_MAX;
}

void *platform_private_memory(size_t size)
{
    return calloc(1, size);
}

void platform_withhold_memory(void)
{
}

int platform_show_title(char *area, size_t size)
{
    (void)area;
    (void)size;
    return -1;
}

int platform_anonymous_file(void)
{
    FILE *file = tmpfile();
    int descriptor;

    if (file == NULL)
        return -1;
    descriptor = dup(fileno(file));
    fclose(file);
    if (descriptor != -1)
        (void)fcntl(descriptor, F_SETFD, FD_CLOEXEC);
    return descriptor;
}

int platform_sealed_file(size_t size)
{
    int file = platform_anonymous_file();

    if (file == -1 || ftruncate(file, (off_t)size) == 0)
        return file;
    close(file);
    return -1;
}

bool platform_is_untraceable(void)
{
    return false;
}

void platform_forbid_tracing(void)
{
}

void platform_widen_pipe(int end, int size)
{
    (void)end;
    (void)size;
}

void platform_forbid_rights(int listener)
{
    (void)listener;
}

bool platform_forbids_rights(int descriptor)
{
    (void)descriptor;
    return false;
}

uid_t platform_peer_user(int descriptor, gid_t *group, pid_t *process)
{
    (void)descriptor;
    if (group != NULL)
        *group = 0;
    if (process != NULL)
        *process = 0;
    return 0;
}

bool platform_waits_by_pid(void)
{
    return false;
}

void platform_give_up_after(int descriptor, double seconds)
{
    (void)descriptor;
    (void)seconds;
}

bool platform_has_family(int family)
{
    (void)family;
    return false;
}

void platform_close_from(int lowest)
{
    descriptors_close_from(lowest);
}

/* A signal that comes between the change of the mask and the wait does not end the wait, which is
 * short for that reason. */
int platform_poll(struct pollfd *polls, nfds_t count, double seconds, const sigset_t *mask)
{
    sigset_t before;
    int found, error;

    if (mask == NULL)
        return poll(polls, count, clock_milliseconds(seconds));
    if (seconds < 0 || seconds > PLATFORM_POLL_SLICE)
        seconds = PLATFORM_POLL_SLICE;
    sigprocmask(SIG_SETMASK, mask, &before);
    found = poll(polls, count, clock_milliseconds(seconds));
    error = errno;
    sigprocmask(SIG_SETMASK, &before, NULL);
    errno = error;
    return found;
}

int platform_set_groups(size_t count, const gid_t *groups)
{
    (void)count;
    (void)groups;
    errno = ENOSYS;
    return -1;
}

int platform_change_root(const char *path)
{
    (void)path;
    errno = ENOSYS;
    return -1;
}

void platform_forbid_privileges(void)
{
}

void platform_signal_when_orphaned(int number)
{
    (void)number;
}

int platform_timer(void)
{
    return -1;
}

void platform_timer_set(int timer, double seconds)
{
    (void)timer;
    (void)seconds;
}

const char *platform_libc(void)
{
    return "other";
}

int platform_processors(double *idle, double *all)
{
    (void)idle;
    (void)all;
    return -1;
}

void platform_process_limits(char *text, size_t size)
{
    if (size > 0)
        text[0] = '\0';
}
