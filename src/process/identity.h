/*
 * identity.h: who the server is once it listens: -u user[:group] and -r root.
 *
 * A server started as root binds its ports, and then becomes another user for good: it gives up
 * everything in the one order that works: supplementary groups, group, root directory, user. In the
 * end it tries to get each of the old ids back, and fails if it succeeds.
 *
 *   started as root, no -u     becomes `nobody`, with the group of that entry
 *   started as root, -u root   stays root, which has to be asked for; nothing is proved
 *   started as another user    may name itself with -u, nobody else; -r needs root
 *
 * "As root" means that the effective user is 0. The new user's supplementary groups are not taken.
 *
 * What may be out of reach afterwards (log, listeners, pidfile, the service manager's socket) must
 * be open before identity_become, but no descriptor of a directory: a way out of the new root.
 *
 * Sources: POSIX.1-2008, setuid, seteuid; "Setuid Demystified" (Chen, Wagner, Dean 2002).
 */
#ifndef IDENTITY_H
#define IDENTITY_H

#include <stdbool.h>
#include <sys/types.h>

struct identity {
    uid_t user; /* who the server is to be */
    gid_t group;
    const char *name;    /* as -u has it, or the default, for messages; NULL: neither */
    const char *root;    /* -r; NULL: none */
    bool privileged;     /* started as root */
    uid_t started_user;  /* real ids at the start, which must not come back either */
    gid_t started_group;
};

/* Finds out who the server is to be. `user` is the value of -u, "user" or "user:group", each a
 * name or a number, and `root` that of -r. Either may be NULL; both are kept. Digits that are a
 * name count as the name, as in chown(1). Call it while /etc and the network are within reach, and
 * before binding, so that a mistake costs nothing. Returns 0, or -1 (logged): an unknown name, what
 * only root can do, no such directory, or, without root, real ids other than the effective ones. */
int identity_find(struct identity *identity, const char *user, const char *root);

/* Returns 0, also where there is nothing to change, or -1 (logged): half changed, it must end. */
int identity_become(const struct identity *identity);

#endif
