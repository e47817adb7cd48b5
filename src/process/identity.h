/*
 * identity.h: who the server is once it listens: -u user[:group] and -r root.
 *
 * A server started as root binds its ports, and then becomes somebody else for good. Names
 * are looked up first (identity_find), while /etc and the network are within reach; after
 * binding, identity_become gives up everything in the one order that works: supplementary
 * groups, group, root directory, user. Each of them needs the privilege that the last one
 * ends, and where a group or the user cannot be had the sockets' files can still be removed:
 * the root has not been left. Then it tries to take each of them back, and fails if any attempt
 * succeeds.
 *
 * The rules:
 *   started as root, no -u     becomes `nobody`, with the group of that entry
 *   started as root, -u root   stays root: the way to insist. Nothing is proved then
 *   started as somebody else   may name itself with -u, nobody else; -r needs root
 *
 * "As root" means that the effective user is 0. All supplementary groups are given up and
 * those of the new user are not taken: the server opens nothing afterwards that they could
 * help with, so it has the one group and no other.
 *
 * What must be open before identity_become, since it may be out of reach afterwards: the log,
 * listeners, the pidfile, /dev/null (daemon.h), the service manager's socket (manager.h).
 * A directory descriptor must not be among them: it is a way out of the new root.
 *
 * Sources: POSIX.1-2008, setuid, setgid, seteuid, setegid, getgroups, getpwnam, getgrnam;
 * setgroups(2), chroot(2); "Setuid Demystified" (Chen, Wagner, Dean 2002) on proving it.
 */
#ifndef IDENTITY_H
#define IDENTITY_H

#include <stdbool.h>
#include <sys/types.h>

struct identity {
    uid_t user; /* who the server is to be */
    gid_t group;
    const char *name;    /* as -u has it, or the default, for messages; NULL: neither */
    const char *root;    /* -r, NULL: none; the caller's text */
    bool privileged;     /* started as root */
    uid_t started_user;  /* real ids at the start, which must not come back either */
    gid_t started_group;
};

/*
 * Finds out who the server is to be. `user` is the value of -u, "user" or "user:group", each
 * a name or a number and none of them empty, and `root` that of -r; either may be NULL. Both are kept. A name wins
 * over a number, as in chown(1). Call it before binding, so that a mistake costs nothing.
 * Returns 0, or -1 (said): an unknown name, something only root can do, no such directory,
 * or, without root, real ids that are others than the effective ones.
 */
int identity_find(struct identity *identity, const char *user, const char *root);

/*
 * Becomes that: supplementary groups, group, chroot and chdir("/"), user; then proves that
 * none of it can be taken back. Does nothing where identity_find found nothing to change.
 * Returns 0, or -1 (said). After -1 the process may be half changed: it must end.
 */
int identity_become(const struct identity *identity);

#endif
