/* limits_linux.c: limits on processes, on Linux: that of a child, and those that fork may meet. */
#define _DEFAULT_SOURCE /* RLIMIT_NPROC */
#include "platform/platform.h"

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

/* Not a filter of system calls (seccomp): it would have to know those of every libc. */
void platform_confine_child(void)
{
    const struct rlimit none = {0, 0};

    (void)setrlimit(RLIMIT_NPROC, &none);
}

/* Reads the beginning of a file of /proc or /sys into `text`. Returns whether there is any. */
static bool read_text(const char *path, char *text, size_t size)
{
    FILE *file = fopen(path, "re");
    size_t used = file != NULL ? fread(text, 1, size - 1, file) : 0;

    if (file != NULL)
        fclose(file);
    text[used] = '\0';
    return used > 0;
}

/* The same of a file of our control group (cgroups(7)), which is below `top`; behind `mark` the
 * list of groups has its path. A container's `top` may be the group itself, and the list that of
 * the machine. */
static bool read_of_group(const char *mark, const char *top, const char *name, char *text,
                          size_t size)
{
    char groups[4096], path[512];
    const char *own;

    (void)read_text("/proc/self/cgroup", groups, sizeof groups);
    if ((own = strstr(groups, mark)) == NULL)
        return false;
    own += strlen(mark);
    snprintf(path, sizeof path, "%s%.*s/%s", top, (int)strcspn(own, "\n"), own, name);
    if (read_text(path, text, size))
        return true;
    snprintf(path, sizeof path, "%s/%s", top, name);
    return read_text(path, text, size);
}

/* The sum of the numbers behind these names in a file of our memory control group, which is `first`
 * in version 1, `second` in version 2. What is not there, or no number ("max"), is 0. */
static unsigned long long memory_sum(const char *first, const char *second, size_t count,
                                     const char *const names[])
{
    unsigned long long sum = 0;
    char text[4096] = "";

    if (!read_of_group(":memory:", "/sys/fs/cgroup/memory", first, text, sizeof text))
        (void)read_of_group("0::", "/sys/fs/cgroup", second, text, sizeof text);
    for (size_t i = 0; i < count; i++) {
        const char *at = strstr(text, names[i]);
        sum += at != NULL ? strtoull(at + strlen(names[i]), NULL, 10) : 0;
    }
    return sum;
}

static unsigned long long memory_number(const char *first, const char *second, const char *name)
{
    return memory_sum(first, second, 1, &name);
}

bool platform_memory_ran_out(void)
{
    static unsigned long long before;
    unsigned long long now =
        memory_number("memory.oom_control", "memory.events.local", "\noom_kill ");
    bool more = now > before;

    before = now > before ? now : before;
    return more;
}

unsigned long long platform_memory_left(void)
{
    static const char *const given_back[] = {"\ninactive_file ", "\nactive_file ",
                                             "\nslab_reclaimable "};
    unsigned long long limit = memory_number("memory.limit_in_bytes", "memory.max", "");
    unsigned long long used, free;

    if (limit == 0)
        return ULLONG_MAX;
    used = memory_number("memory.usage_in_bytes", "memory.current", "");
    free = memory_sum("memory.stat", "memory.stat", 3, given_back);
    return limit + free > used ? limit + free - used : 0;
}

/* The number in a file; NO_LIMIT where there is none, or the word "max". */
#define NO_LIMIT ULLONG_MAX
static unsigned long long read_limit(const char *path)
{
    char text[32] = "";

    return read_text(path, text, sizeof text) && text[0] != 'm' ? strtoull(text, NULL, 10)
                                                                 : NO_LIMIT;
}

/* Of a control group and those that it is in, up to `top`: the limit on processes that leaves the
 * least room, which may be that of any of them. */
static void find_least_room(const char *top, const char *group, unsigned long long *room,
                            unsigned long long *limit)
{
    char path[512], file[sizeof path + sizeof "/pids.current"];
    unsigned long long most, used;

    snprintf(path, sizeof path, "%s%.*s", top, (int)strcspn(group, "\n"), group);
    for (char *end = path; end != NULL && strlen(path) >= strlen(top);) {
        snprintf(file, sizeof file, "%s/pids.max", path);
        most = read_limit(file);
        snprintf(file, sizeof file, "%s/pids.current", path);
        used = read_limit(file);
        used = used == NO_LIMIT ? 0 : used < most ? used : most;
        if (most != NO_LIMIT && most - used < *room) {
            *room = most - used;
            *limit = most;
        }
        if ((end = strrchr(path, '/')) != NULL)
            *end = '\0';
    }
}

/* The pids limit that holds for us (cgroups(7)): in version 2, whose line in the list begins with
 * 0::, in version 1, where another names the controller, or in both. */
static unsigned long long group_limit(void)
{
    unsigned long long room = NO_LIMIT, limit = NO_LIMIT;
    char groups[4096];
    const char *own;

    (void)read_text("/proc/self/cgroup", groups, sizeof groups);
    if ((own = strstr(groups, "0::/")) != NULL) {
        find_least_room("/sys/fs/cgroup", own + strlen("0::"), &room, &limit);
        find_least_room("/sys/fs/cgroup/unified", own + strlen("0::"), &room, &limit);
    }
    if ((own = strstr(groups, "pids:/")) != NULL)
        find_least_room("/sys/fs/cgroup/pids", own + strlen("pids:"), &room, &limit);
    return limit;
}

void platform_process_limits(char *text, size_t size)
{
    struct rlimit user = {.rlim_cur = RLIM_INFINITY};
    struct {
        unsigned long long value;
        const char *name, *where; /* it can be changed */
    } limits[] = {{NO_LIMIT, "RLIMIT_NPROC", " (ulimit -u)"},
                  {group_limit(), "pids.max", " (TasksMax=)"},
                  {read_limit("/proc/sys/kernel/pid_max"), "kernel.pid_max", ""},
                  {read_limit("/proc/sys/kernel/threads-max"), "kernel.threads-max", ""}};
    size_t used = 0;

    text[0] = '\0';
    (void)getrlimit(RLIMIT_NPROC, &user);
    if (geteuid() != 0 && user.rlim_cur != RLIM_INFINITY) /* root is not held to it (fork(2)) */
        limits[0].value = user.rlim_cur;
    while (used < size) {
        size_t lowest = 0;
        for (size_t i = 1; i < sizeof limits / sizeof limits[0]; i++)
            if (limits[i].value < limits[lowest].value)
                lowest = i;
        if (limits[lowest].value == NO_LIMIT)
            return;
        used += (size_t)snprintf(text + used, size - used, "%s%s %llu%s", used > 0 ? ", " : "",
                                 limits[lowest].name, limits[lowest].value, limits[lowest].where);
        limits[lowest].value = NO_LIMIT; /* it has been written */
    }
}
