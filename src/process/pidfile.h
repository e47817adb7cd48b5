/*
 * pidfile.h: -P file: which process is the server, and that there is only one.
 *
 * The lock says that a server runs; the content, a pid and a newline, says which one. So a
 * file that a crashed server left behind is no obstacle: nobody holds its lock.
 *
 * The lock is fcntl's (POSIX.1-2008, fcntl, F_SETLK). It belongs to the process:
 *   - a child does not inherit it: hence pidfile_open comes after daemon_detach;
 *   - exec keeps it, as long as the descriptor stays open (pidfile_adopt);
 *   - closing *any* descriptor of the file, opened if only to read it, drops it.
 *
 * At the end the file is removed if it still is ours (device and inode). Where it cannot be, since
 * the root has changed or only root may write to the folder, such as /run, it is emptied, which
 * means the same. A descriptor of the folder, to remove it by, would be a way out of the new root.
 *
 * A file that holds anything but a pid is left alone: a slip such as -P /etc/passwd must not
 * cost that file its content. A symbolic link is not followed.
 */
#ifndef PIDFILE_H
#define PIDFILE_H

#define PIDFILE_PATH_MAX 1024 /* PATH_MAX need not be defined (POSIX.1-2008, limits.h) */

struct pidfile {
    int descriptor;              /* open and locked; -1: there is none */
    char path[PIDFILE_PATH_MAX]; /* absolute, so that a chdir does not matter */
};

/* Opens `path`, close-on-exec, locks it, and writes the pid of this process, which has not yet
 * given up privileges. Returns 0, or -1 (logged): another server holds the lock (then its pid is
 * named), the folder is missing, the file is no pidfile. After -1 no new file is left behind,
 * except an empty one where there are no locks, and `pidfile` may be passed to pidfile_close. */
int pidfile_open(struct pidfile *pidfile, const char *path);

/* Takes over descriptor, lock and path of an earlier program of this process. Returns as
 * pidfile_open does: not open, no file, or locked by another process; then it is as it was. */
int pidfile_adopt(struct pidfile *pidfile, int descriptor, const char *path);

/* Removes or empties the file, and unlocks it. Not for children. */
void pidfile_close(struct pidfile *pidfile);

#endif
