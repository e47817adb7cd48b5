/* test_upgrade.c: what a program learns of its role from its environment (upgrade.h). Each start is
 * in a process of its own, whose parent is the test. */
#include "suite.h"

#include "platform/platform.h"
#include "upgrade/upgrade.h"

#include <limits.h>

#define VARIABLE "FORKECHO_TAKEOVER"

/* What stands in the variable, with whose pid. */
enum whose { OURS, PARENTS, ANOTHERS };

struct start {
    const char *format; /* with a place for the pid; NULL: the variable is not set */
    enum whose whose;
    enum upgrade_role role;
    int file; /* -1: left as it was */
};

/* Starts so. Returns 0 where all is as expected. */
static int start_so(void *data)
{
    const struct start *start = data;
    char name[] = "/nowhere/forkecho", *argv[] = {name, NULL}, value[128];
    long pid = start->whose == OURS      ? (long)getpid()
               : start->whose == PARENTS ? (long)getppid()
                                         : (long)INT_MAX; /* nobody's */
    int file = -1;

    unsetenv(VARIABLE);
    if (start->format != NULL) {
        const char *place = strstr(start->format, "PID");
        int before = place != NULL ? (int)(place - start->format) : (int)strlen(start->format);
        if (place != NULL)
            snprintf(value, sizeof value, "%.*s%ld%s", before, start->format, pid, place + 3);
        else
            snprintf(value, sizeof value, "%s", start->format);
        setenv(VARIABLE, value, 1);
    }
    if (upgrade_role(argv, &file) != start->role)
        return 1;
    if (file != start->file)
        return 2;
    return getenv(VARIABLE) == NULL ? 0 : 3;
}

static void expect(const struct start *starts, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        struct start start = starts[i];
        int status = suite_in_child(start_so, &start);
        ck_assert_msg(status == 0, "'%s': %s differs",
                      start.format != NULL ? start.format : "not set",
                      status == 1   ? "the role"
                      : status == 2 ? "the file"
                                    : "the environment");
    }
}

/* Catches an ordinary start that looks for a state. */
START_TEST(without_the_variable_it_is_a_start)
{
    static const struct start starts[] = {{NULL, OURS, UPGRADE_START, -1}};

    expect(starts, SUITE_LENGTH(starts));
}
END_TEST

/* Catches a program started by a server's child, or in its environment, that takes the server's
 * place: `take` is for the process that has written it. */
START_TEST(take_is_believed_of_its_own_pid_alone)
{
    static const struct start starts[] = {{"take:17:PID", OURS, UPGRADE_TAKE, 17},
                                          {"take:17:PID", PARENTS, UPGRADE_START, -1},
                                          {"take:17:PID", ANOTHERS, UPGRADE_START, -1},
                                          {"take:17:0", ANOTHERS, UPGRADE_START, -1}};

    expect(starts, SUITE_LENGTH(starts));
}
END_TEST

/* Catches a test that becomes a server of its own when who asked for it has gone, and one that
 * reads a descriptor that was meant for another. */
START_TEST(a_test_never_starts_and_has_a_state_from_its_parent_alone)
{
    static const struct start starts[] = {{"test:17:PID", PARENTS, UPGRADE_TEST, 17},
                                          {"test:17:PID", OURS, UPGRADE_TEST, -1},
                                          {"test:17:PID", ANOTHERS, UPGRADE_TEST, -1}};

    expect(starts, SUITE_LENGTH(starts));
}
END_TEST

/* Catches rubbish that is taken for a role, or handed on to whatever is executed. */
START_TEST(what_is_malformed_is_ignored_and_removed)
{
    static const struct start starts[] = {
        {"", OURS, UPGRADE_START, -1},
        {"take", OURS, UPGRADE_START, -1},
        {"take:", OURS, UPGRADE_START, -1},
        {"take:17", OURS, UPGRADE_START, -1},
        {"take:17:", OURS, UPGRADE_START, -1},
        {"take::PID", OURS, UPGRADE_START, -1},
        {"take:x:PID", OURS, UPGRADE_START, -1},
        {"take 17 PID", OURS, UPGRADE_START, -1},
        {":17:PID", OURS, UPGRADE_START, -1},
        {"TAKE:17:PID", OURS, UPGRADE_START, -1},
        {"taken:17:PID", OURS, UPGRADE_START, -1},
        {"tak:17:PID", OURS, UPGRADE_START, -1},
        {"takeoverandmore:17:PID", OURS, UPGRADE_START, -1},
        {"start:17:PID", PARENTS, UPGRADE_START, -1},
        {"test:17", PARENTS, UPGRADE_START, -1},
        {"tests:17:PID", PARENTS, UPGRADE_START, -1},
    };

    expect(starts, SUITE_LENGTH(starts));
}
END_TEST

#ifdef __linux__ /* elsewhere it is not known which file runs */
static char own_path[1024]; /* of this program */
static char *own_name;

static void find_own_path(void)
{
    ck_assert_int_gt(readlink("/proc/self/exe", own_path, sizeof own_path - 1), 0);
    own_name = strrchr(own_path, '/') + 1;
    unsetenv(VARIABLE);
}

/* Starts by `data`. Returns 0 where the path of this program is known from then on, 1 where none
 * is. */
static int start_by(void *data)
{
    char *argv[] = {data, NULL};
    int file = -1;

    if (upgrade_role(argv, &file) != UPGRADE_START)
        return 2;
    if (argv[0] == (char *)data)
        return 1;
    return strcmp(argv[0] + strspn(argv[0], "/"), own_path + 1) == 0 ? 0 : 3;
}

/* Catches a path that means another file once the server has changed to another folder. */
START_TEST(a_relative_path_is_made_absolute)
{
    find_own_path();
    ck_assert_int_eq(chdir("/"), 0);
    ck_assert_int_eq(suite_in_child(start_by, own_path + 1), 0);
}
END_TEST

/* Catches a program whose place in PATH is not found, or made up where there is none. */
START_TEST(a_name_is_looked_for_in_the_path)
{
    char path[1100];

    find_own_path();
    snprintf(path, sizeof path, "relative:/nowhere::%.*s", (int)(own_name - own_path - 1), own_path);
    setenv("PATH", path, 1);
    ck_assert_int_eq(suite_in_child(start_by, own_name), 0);
    setenv("PATH", "/nowhere", 1);
    ck_assert_int_eq(suite_in_child(start_by, own_name), 1);
}
END_TEST

/* Catches another program of this name that would be executed as the new one. */
START_TEST(a_name_that_is_another_programs_is_not_believed)
{
    static char absolute[] = "/bin/sh", relative[] = "bin/sh", name[] = "sh";

    find_own_path();
    ck_assert_int_eq(chdir("/"), 0);
    setenv("PATH", "/bin", 1);
    ck_assert_int_eq(suite_in_child(start_by, absolute), 1);
    ck_assert_int_eq(suite_in_child(start_by, relative), 1);
    ck_assert_int_eq(suite_in_child(start_by, name), 1);
}
END_TEST
#define ONLY_WHERE_KNOWN \
    a_relative_path_is_made_absolute, a_name_is_looked_for_in_the_path, \
        a_name_that_is_another_programs_is_not_believed,
#else
#define ONLY_WHERE_KNOWN
#endif

/* Starts under test with this behind the pid. Returns whether it is private then. */
static int is_private_with(void *suffix)
{
    char name[] = "/nowhere/forkecho", *argv[] = {name, NULL}, value[128];
    int file = -1;

    snprintf(value, sizeof value, "test:3:%ld%s", (long)getppid(), (const char *)suffix);
    setenv(VARIABLE, value, 1);
    if (upgrade_role(argv, &file) != UPGRADE_TEST || file != 3)
        return 2;
    return platform_is_untraceable() ? 1 : 0;
}

/* Catches a program that can be traced while it reads what it takes over; and one that nobody can
 * look into though its parent was not private. */
START_TEST(it_is_private_before_all_else_where_its_parent_was)
{
    static char as_was[] = "", guarded[] = ":private", another[] = ":privat";

    ck_assert_int_eq(suite_in_child(is_private_with, as_was), 0);
    ck_assert_int_eq(suite_in_child(is_private_with, another), 0);
#ifdef __linux__
    ck_assert_int_eq(suite_in_child(is_private_with, guarded), 1);
#else
    (void)guarded;
#endif
}
END_TEST

SUITE("upgrade", without_the_variable_it_is_a_start, take_is_believed_of_its_own_pid_alone,
      a_test_never_starts_and_has_a_state_from_its_parent_alone,
      what_is_malformed_is_ignored_and_removed, ONLY_WHERE_KNOWN
      it_is_private_before_all_else_where_its_parent_was)
