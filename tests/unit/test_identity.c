/* test_identity.c: giving up privileges for good (identity.h). What changes the process runs in
 * a child. Tests that need root are left out without it, and counted. */
#define _XOPEN_SOURCE 700 /* setreuid */
#include "suite.h"

#include "platform/platform.h"
#include "process/identity.h"

#include <grp.h>
#include <pwd.h>
#include <sys/stat.h>
#ifdef __linux__
#include <sys/prctl.h>
#endif

/* A user and a group that need no entry, and are nobody's in particular. */
#define SOME_USER 64999
#define SOME_GROUP 64998

enum { CANNOT_TEST = 77 }; /* a child's word that the system does not let it try */

static struct capture errors;
static char directory[80];
static char inside[100]; /* a file in it */

/* What a child is to do. */
struct attempt {
    const char *user, *root;
    int (*check)(const struct identity *); /* after a success; NULL: nothing more */
};

/* In a child: 0 all is well, 1 not found, 2 not taken, else what the check says. */
static int attempt(void *data)
{
    const struct attempt *attempt = data;
    struct identity identity;

    if (identity_find(&identity, attempt->user, attempt->root) == -1)
        return 1;
    if (identity_become(&identity) == -1)
        return 2;
    return attempt->check != NULL ? attempt->check(&identity) : 0;
}

static int attempt_unprivileged(void *data)
{
    if (geteuid() == 0 && (platform_set_groups(0, NULL) == -1 || setgid(SOME_GROUP) == -1 ||
                           setuid(SOME_USER) == -1))
        return 99;
    return attempt(data);
}

/* Runs an attempt in a child; what it logged is in `errors`, one line if it failed. */
static int outcome_of(int (*act)(void *), struct attempt data)
{
    int result;

    capture_begin(&errors, STDERR_FILENO);
    result = suite_in_child(act, &data);
    capture_end(&errors);
    if (result != CANNOT_TEST)
        ck_assert_msg(lines_of(errors.text) == (result == 1 || result == 2), "%d: %s", result,
                      errors.text);
    return result;
}

static void expect_logged(const char *part)
{
    ck_assert_msg(strstr(errors.text, part) != NULL, "'%s' is not in: %s", part, errors.text);
}

/* ---- as anybody ---- */

/* Catches a slip of the administrator that becomes another user, or a line without the way out. */
START_TEST(what_is_no_user_or_group_is_refused)
{
    static const struct {
        const char *user, *logged;
    } cases[] = {
        {"no-such-user-here", "there is no user 'no-such-user-here' (-u)"},
        {"root:no-such-group-here", "there is no group 'no-such-group-here' (-u)"},
        {"-1", "there is no user"},
        {"+0", "there is no user"},
        {"0x0", "there is no user"},
        {"4294967295", "there is no user"}, /* (uid_t)-1: setreuid takes it for "no change" */
        {"4294967296", "there is no user"}, /* 0 to whoever cuts it to 32 bits */
        {"99999999999999999999", "there is no user"},
        {"0:4294967295", "there is no group"},
        {"0:4294967296", "there is no group"},
        {"root:0:0", "there is no group '0:0'"},
    };

    for (size_t i = 0; i < SUITE_LENGTH(cases); i++) {
        ck_assert_int_eq(outcome_of(attempt, (struct attempt){.user = cases[i].user}), 1);
        expect_logged(cases[i].logged);
    }
}
END_TEST

/* Catches a name that is cut to one that exists. */
START_TEST(a_long_name_is_refused)
{
    char user[2000];

    memset(user, 'a', sizeof user - 1);
    user[sizeof user - 1] = '\0';
    ck_assert_int_eq(outcome_of(attempt, (struct attempt){.user = user}), 1);
}
END_TEST

/* Catches a user without an entry that gets an arbitrary group, such as root's. */
START_TEST(a_number_without_entry_needs_a_group)
{
    char user[24];
    uid_t number = SOME_USER;

    while (getpwuid(number) != NULL || number == geteuid())
        number++;
    snprintf(user, sizeof user, "%ld", (long)number);
    ck_assert_int_eq(outcome_of(attempt, (struct attempt){.user = user}), 1);
    expect_logged("has no entry that names its group (-u); write ");
}
END_TEST

static int stayed(const struct identity *identity)
{
    return getuid() == identity->user && geteuid() == identity->user &&
                   getgid() == identity->group && getegid() == identity->group
               ? 0
               : 3;
}

/* Catches a server that an ordinary user cannot start. */
START_TEST(an_unprivileged_server_stays_who_it_is)
{
    ck_assert_int_eq(outcome_of(attempt_unprivileged, (struct attempt){.check = stayed}), 0);
}
END_TEST

/* Names itself by number: its user, or both where the attempt says "user:group". */
static int attempt_as_itself(void *data)
{
    struct attempt named = *(struct attempt *)data;
    char text[64];

    if (geteuid() == 0 && (setgid(SOME_GROUP) == -1 || setuid(SOME_USER) == -1))
        return 99;
    if (strcmp(named.user, "user") == 0)
        snprintf(text, sizeof text, "%ld", (long)geteuid());
    else
        snprintf(text, sizeof text, "%ld:%ld", (long)geteuid(), (long)getegid());
    named.user = text;
    return attempt(&named);
}

/* Catches a program that took over in the same process (HUP) and refuses the -u of its own
 * command line. */
START_TEST(an_unprivileged_server_may_name_itself)
{
    ck_assert_int_eq(outcome_of(attempt_as_itself, (struct attempt){.user = "user", .check = stayed}),
                     0);
    ck_assert_int_eq(
        outcome_of(attempt_as_itself, (struct attempt){.user = "user:group", .check = stayed}), 0);
}
END_TEST

/* Catches a server that serves on as the wrong user, or in the wrong root, without a word. */
START_TEST(an_unprivileged_server_can_be_nobody_else)
{
    static char other_group[64];

    ck_assert_int_eq(outcome_of(attempt_unprivileged, (struct attempt){.user = "root"}), 1);
    expect_logged("cannot become 'root' (-u): only root can");
    snprintf(other_group, sizeof other_group, "%ld:%ld",
             geteuid() == 0 ? (long)SOME_USER : (long)geteuid(), (long)getegid() + 1);
    ck_assert_int_eq(outcome_of(attempt_unprivileged, (struct attempt){.user = other_group}), 1);
    expect_logged("(-u): only root can");
    ck_assert_int_eq(outcome_of(attempt_unprivileged, (struct attempt){.root = "/"}), 1);
    expect_logged("cannot make '/' the root (-r): only root can");
}
END_TEST

/* ---- as root ---- */

/* The ids, the only group, and every way back. */
static int lost_everything(const struct identity *identity)
{
    gid_t groups[4];
    int count = getgroups(4, groups);

    if (stayed(identity) != 0)
        return 3;
    if (count == -1 || count > 1 || (count == 1 && groups[0] != identity->group))
        return 4;
    if (setuid(0) == 0 || seteuid(0) == 0 || setreuid(0, 0) == 0 || setreuid((uid_t)-1, 0) == 0)
        return 5;
    if (setgid(0) == 0 || setegid(0) == 0 || setregid(0, 0) == 0)
        return 6;
    if (platform_set_groups(0, NULL) == 0 || platform_change_root("/") == 0)
        return 7;
    return 0;
}

static int is_nobody(const struct identity *identity)
{
    const struct passwd *entry = getpwnam("nobody");

    if (entry == NULL || getuid() != entry->pw_uid || getgid() != entry->pw_gid)
        return 10;
    return lost_everything(identity);
}

static int is_some_user(const struct identity *identity)
{
    return getuid() == SOME_USER && getgid() == SOME_GROUP ? lost_everything(identity) : 10;
}

static int is_in_nobodys_root_group(const struct identity *identity)
{
    return getuid() == SOME_USER && getgid() == 0 && setuid(0) == -1 ? stayed(identity) : 10;
}

/* Catches a server that clients reach as root because nobody thought of -u. */
START_TEST(root_becomes_nobody)
{
    ck_assert_int_eq(outcome_of(attempt, (struct attempt){.check = is_nobody}), 0);
    ck_assert_int_eq(outcome_of(attempt, (struct attempt){.user = "nobody", .check = is_nobody}), 0);
}
END_TEST

/* Catches a number that is looked up only, and a group that is not taken or not dropped. */
START_TEST(a_number_and_a_group_are_taken)
{
    char name[300];
    const struct group *root_group = getgrgid(0);

    snprintf(name, sizeof name, "%d:%d", SOME_USER, SOME_GROUP);
    ck_assert_int_eq(outcome_of(attempt, (struct attempt){.user = name, .check = is_some_user}), 0);
    snprintf(name, sizeof name, "%d:0", SOME_USER);
    ck_assert_int_eq(
        outcome_of(attempt, (struct attempt){.user = name, .check = is_in_nobodys_root_group}), 0);
    ck_assert_ptr_nonnull(root_group);
    snprintf(name, sizeof name, "%d:%s", SOME_USER, root_group->gr_name);
    ck_assert_int_eq(
        outcome_of(attempt, (struct attempt){.user = name, .check = is_in_nobodys_root_group}), 0);
}
END_TEST

static int attempt_with_groups(void *data)
{
    const gid_t groups[] = {0, 1, 2, 12345};

    return platform_set_groups(SUITE_LENGTH(groups), groups) == -1 ? 98 : attempt(data);
}

/* Catches root's own groups, adm or disk among them, that stay with the unprivileged server. */
START_TEST(supplementary_groups_are_given_up)
{
    ck_assert_int_eq(outcome_of(attempt_with_groups, (struct attempt){.check = is_nobody}), 0);
}
END_TEST

/* As a program with the set-user-ID bit that somebody else starts. */
static int attempt_set_user_id(void *data)
{
    return setregid(SOME_GROUP, 0) == -1 || setreuid(SOME_USER, 0) == -1 ? 98 : attempt(data);
}

/* Catches a real or saved id that is left out, and is the way back. */
START_TEST(all_three_ids_change)
{
    ck_assert_int_eq(outcome_of(attempt_set_user_id, (struct attempt){.check = is_nobody}), 0);
}
END_TEST

static int is_root(const struct identity *identity)
{
    return geteuid() == 0 && identity->user == 0 ? stayed(identity) : 10;
}

/* Catches an administrator who cannot have what he insists on. */
START_TEST(root_is_kept_by_insisting)
{
    ck_assert_int_eq(outcome_of(attempt, (struct attempt){.user = "root", .check = is_root}), 0);
    ck_assert_int_eq(outcome_of(attempt, (struct attempt){.user = "0:0", .check = is_root}), 0);
    ck_assert_int_eq(outcome_of(attempt_with_groups, (struct attempt){.user = "0:7", .check = stayed}),
                     0);
}
END_TEST

static int is_inside(const struct identity *identity)
{
    char where[64];
    struct stat root;

    if (stat("/inside", &root) == -1 || stat("/etc", &root) == 0)
        return 20;
    if (getcwd(where, sizeof where) == NULL || strcmp(where, "/") != 0)
        return 21;
    if (chdir("..") == -1 || stat("inside", &root) == -1)
        return 22;
    return identity->user == 0 ? 0 : lost_everything(identity);
}

/* Catches a chroot without chdir, which is no chroot, and names that are looked up only in the
 * new root, where /etc/passwd is missing. */
START_TEST(the_root_changes_with_the_working_directory)
{
    ck_assert_int_eq(close(open(inside, O_CREAT | O_WRONLY, 0644)), 0);
    ck_assert_int_eq(outcome_of(attempt, (struct attempt){.root = directory, .check = is_inside}), 0);
    ck_assert_int_eq(outcome_of(attempt, (struct attempt){.user = "root", .root = directory,
                                                          .check = is_inside}), 0);
}
END_TEST

/* Catches a server that finds out only after binding, or serves without its root. */
START_TEST(what_is_no_root_is_refused)
{
    char missing[100];

    snprintf(missing, sizeof missing, "%s/missing", directory);
    ck_assert_int_eq(outcome_of(attempt, (struct attempt){.root = missing}), 1);
    expect_logged("missing' the root (-r): ");
    ck_assert_int_eq(outcome_of(attempt, (struct attempt){.root = "/dev/null"}), 1);
    expect_logged("cannot make '/dev/null' the root (-r): it is not a directory");
}
END_TEST

/* With this bit Linux keeps all capabilities through setuid (capabilities(7)). */
static int attempt_keeping_capabilities(void *data)
{
#ifdef PR_SET_SECUREBITS
    const unsigned long no_setuid_fixup = 1 << 2; /* SECBIT_NO_SETUID_FIXUP */

    if (prctl(PR_SET_SECUREBITS, no_setuid_fixup, 0, 0, 0) == 0)
        return attempt(data);
#endif
    (void)data;
    return CANNOT_TEST;
}

/* Catches a proof that proves nothing: here setuid succeeds and root comes back all the same. */
START_TEST(what_can_be_taken_back_is_fatal)
{
    int result = outcome_of(attempt_keeping_capabilities, (struct attempt){.user = NULL});

    if (result == CANNOT_TEST) {
        printf("identity: what_can_be_taken_back_is_fatal skipped: no securebits here\n");
        return;
    }
    ck_assert_int_eq(result, 2);
    expect_logged("as 'nobody' (-u) it could still become root again");
}
END_TEST

int main(void)
{
    const TTest *const tests[] = {
        what_is_no_user_or_group_is_refused, a_long_name_is_refused,
        a_number_without_entry_needs_a_group, an_unprivileged_server_stays_who_it_is,
        an_unprivileged_server_may_name_itself, an_unprivileged_server_can_be_nobody_else,
        /* The rest needs root. */
        root_becomes_nobody, a_number_and_a_group_are_taken, supplementary_groups_are_given_up,
        all_three_ids_change, root_is_kept_by_insisting,
        the_root_changes_with_the_working_directory, what_is_no_root_is_refused,
        what_can_be_taken_back_is_fatal};
    const size_t for_anybody = 6;
    int status;

    if (geteuid() != 0) {
        printf("identity: %zu tests skipped: they need root\n", SUITE_LENGTH(tests) - for_anybody);
        fflush(stdout);
        return suite_run("identity", tests, for_anybody);
    }
    if (suite_make_directory(directory, sizeof directory) == -1)
        return EXIT_FAILURE;
    snprintf(inside, sizeof inside, "%s/inside", directory);
    status = suite_run("identity", tests, SUITE_LENGTH(tests));
    suite_remove_directory(directory);
    return status;
}
