/* identity.c: see identity.h. */
#include "process/identity.h"

#include "base/parse.h"
#include "platform/platform.h"
#include "process/log.h"

#include <errno.h>
#include <grp.h>
#include <limits.h>
#include <pwd.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define UNPRIVILEGED_USER "nobody" /* whom root becomes without -u */
#define NAME_SIZE 256 /* the user of -u; LOGIN_NAME_MAX is 256 on Linux, less elsewhere */
#define GROUPS_SEEN 16 /* more than a process that gave them up can have */
#define NO_GROUP ((gid_t)-1) /* setreuid(2) and its like take it for "no change" */

/* Of a name that the database lacks. Returns 0, or -1 (logged). Systems have different errnos for
 * an unknown name (getpwnam(3)), but those below mean that the database failed. */
static int read_number(const char *kind, const char *name, int error, long *number)
{
    if (parse_number(name, 0, LONG_MAX, number) == 0 && (long)(uid_t)*number == *number &&
        (uid_t)*number != (uid_t)-1 && (long)(gid_t)*number == *number &&
        (gid_t)*number != NO_GROUP)
        return 0;
    if (error == EIO || error == EMFILE || error == ENFILE || error == ENOMEM || error == ERANGE)
        log_error("cannot look up the %s '%s' (-u): %s", kind, name, strerror(error));
    else
        log_error("there is no %s '%s' (-u); choose one that 'getent %s' lists, or a number", kind,
                  name, strcmp(kind, "user") == 0 ? "passwd" : "group");
    return -1;
}

/* Finds a user and its group; NO_GROUP for a number without an entry. Returns 0, or -1 (logged). */
static int find_user(struct identity *identity, const char *name)
{
    const struct passwd *entry;
    long number;

    errno = 0;
    entry = getpwnam(name);
    if (entry == NULL && read_number("user", name, errno, &number) == -1)
        return -1;
    if (entry == NULL)
        entry = getpwuid((uid_t)number);
    identity->user = entry != NULL ? entry->pw_uid : (uid_t)number;
    identity->group = entry != NULL ? entry->pw_gid : NO_GROUP;
    return 0;
}

static int find_group(struct identity *identity, const char *name)
{
    const struct group *entry;
    long number;

    errno = 0;
    entry = getgrnam(name);
    if (entry == NULL && read_number("group", name, errno, &number) == -1)
        return -1;
    identity->group = entry != NULL ? entry->gr_gid : (gid_t)number;
    return 0;
}

static int find_both(struct identity *identity, const char *text)
{
    const char *colon = strchr(text, ':');
    char user[NAME_SIZE];
    bool fits = snprintf(user, sizeof user, "%.*s", (int)strcspn(text, ":"), text) < NAME_SIZE;

    if (find_user(identity, fits ? user : text) == -1) /* whole: not another that exists */
        return -1;
    if (colon != NULL)
        return find_group(identity, colon + 1);
    /* A server that is this user already keeps its group as well. */
    if (!identity->privileged && identity->user == geteuid())
        identity->group = getegid();
    if (identity->group != NO_GROUP)
        return 0;
    log_error("user %s has no entry that names its group (-u); write %s:group", user, user);
    return -1;
}

static int check_unprivileged(const struct identity *identity)
{
    long user = (long)geteuid(), group = (long)getegid();
    bool changed = getuid() != geteuid() || getgid() != getegid();

    if (identity->name != NULL &&
        (changed || identity->user != geteuid() || identity->group != getegid()))
        log_error("cannot become '%s' (-u): only root can, and this is user %ld, group %ld; start "
                  "it as root, or without -u", identity->name, user, group);
    else if (changed)
        log_error("it was started as user %ld, group %ld, by user %ld, group %ld, and could become "
                  "those again; start it as one of them, or as root with -u", user, group,
                  (long)getuid(), (long)getgid());
    else if (identity->root != NULL)
        log_error("cannot make '%s' the root (-r): only root can, and this is user %ld; start it "
                  "as root, or without -r", identity->root, user);
    else
        return 0;
    return -1;
}

static int check_root(const char *root)
{
    struct stat status;
    bool found = root != NULL && stat(root, &status) == 0;

    if (root == NULL || (found && S_ISDIR(status.st_mode)))
        return 0;
    log_error("cannot make '%s' the root (-r): %s%s", root,
              found ? "it is not a directory" : strerror(errno),
              found ? "" : "; it has to be a directory, which may be empty");
    return -1;
}

int identity_find(struct identity *identity, const char *user, const char *root)
{
    bool privileged = geteuid() == 0, becomes_default = privileged && user == NULL;

    *identity = (struct identity){.user = geteuid(), .group = getegid(), .root = root,
                                  .name = becomes_default ? UNPRIVILEGED_USER : user,
                                  .privileged = privileged,
                                  .started_user = getuid(), .started_group = getgid()};
    if (becomes_default && getpwnam(UNPRIVILEGED_USER) == NULL) {
        log_error("started as root, and there is no user '%s' to become; name one with -u (-u root "
                  "insists on root)", UNPRIVILEGED_USER);
        return -1;
    }
    if (identity->name != NULL && find_both(identity, identity->name) == -1)
        return -1;
    return identity->privileged ? check_root(root) : check_unprivileged(identity);
}

static int fail_step(const struct identity *identity, const char *what)
{
    const char *way_out = "";

    if (errno == EPERM)
        way_out = "; root needs CAP_SETUID and CAP_SETGID for that; or start as an unprivileged "
                  "user, or insist with -u root";
    if (errno == ENOSYS) /* platform/null.c */
        way_out = "; this build knows no way to: start as an unprivileged user, or insist with "
                  "-u root";
    log_error("cannot %s (-u %s): %s%s", what, identity->name, strerror(errno), way_out);
    return -1;
}

static int enter_root(const char *root)
{
    if (root == NULL || (platform_change_root(root) == 0 && chdir("/") == 0))
        return 0;
    log_error("cannot make '%s' the root (-r): %s%s", root, strerror(errno),
              errno == EPERM ? "; root needs CAP_SYS_CHROOT for that" : "");
    return -1;
}

/* Each step needs the privilege that the last one gives up. Whether the user can be changed is
 * tried before the root is: there, Unix sockets and the pidfile could no longer be removed. */
static int change(const struct identity *identity)
{
    if (identity->user == 0 && identity->group == getegid())
        return enter_root(identity->root); /* -u root may lack the privilege to change */
    if (platform_set_groups(0, NULL) == -1)
        return fail_step(identity, "give up the supplementary groups");
    if (setgid(identity->group) == -1)
        return fail_step(identity, "change the group");
    if (identity->root != NULL && (seteuid(identity->user) == -1 || seteuid(0) == -1))
        return fail_step(identity, "change the user");
    if (enter_root(identity->root) == -1)
        return -1;
    return setuid(identity->user) == -1 ? fail_step(identity, "change the user") : 0;
}

/* Systems differ in whether the group is among the supplementary groups itself. */
static bool has_only_group(gid_t group)
{
    gid_t groups[GROUPS_SEEN];
    int count = getgroups(GROUPS_SEEN, groups); /* -1: there are even more */

    for (int i = 0; i < count; i++)
        if (groups[i] != group)
            return false;
    return count != -1;
}

/* What of the former identity can be had again; NULL: nothing. Tried, since POSIX.1-2008 has no way
 * to show the saved ids: seteuid succeeds where one of them is the number in question. */
static const char *regained(const struct identity *identity)
{
    if (seteuid(0) == 0)
        return "become root again";
    if (identity->started_user != identity->user && seteuid(identity->started_user) == 0)
        return "become the user it was started as";
    if (identity->group != 0 && setegid(0) == 0)
        return "take the group of root again";
    if (identity->started_group != identity->group && setegid(identity->started_group) == 0)
        return "take the group it was started with";
    if (platform_set_groups(0, NULL) == 0)
        return "change its supplementary groups";
    if (platform_change_root("/") == 0)
        return "change its root";
    return NULL;
}

static int prove(const struct identity *identity)
{
    const char *power;

    if (getuid() != identity->user || geteuid() != identity->user ||
        getgid() != identity->group || getegid() != identity->group)
        log_error("it did not become '%s' (-u): user %ld, group %ld", identity->name,
                  (long)geteuid(), (long)getegid());
    else if (identity->privileged && !has_only_group(identity->group))
        log_error("it still has other groups than that of '%s' (-u)", identity->name);
    else if ((power = regained(identity)) != NULL)
        log_error("as '%s' (-u) it could still %s; start it without capabilities and securebits "
                  "that allow this, or insist with -u root", identity->name, power);
    else
        return 0;
    return -1;
}

int identity_become(const struct identity *identity)
{
    if (identity->name == NULL)
        return 0;
    if (identity->privileged && change(identity) == -1)
        return -1;
    return identity->user == 0 ? 0 : prove(identity);
}
