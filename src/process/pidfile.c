/* pidfile.c: see pidfile.h. */
#include "process/pidfile.h"

#include "base/path.h"
#include "process/log.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define LOCK_TRIES 1000 /* each time another server started or stopped: only a mistake gets there */
#define CONTENT_SIZE 64 /* more than a pid, a newline, and the rest of a longer pid */
/* Whether another process has the lock: POSIX leaves the choice between the two. */
#define IS_TAKEN(error) ((error) == EAGAIN || (error) == EACCES)

enum attempt { ATTEMPT_DONE, ATTEMPT_AGAIN, ATTEMPT_FAILED };

/* Reads the pid in the file. Returns it, 0 when there is none, -1 when it is no pidfile. */
static long read_pid(int descriptor)
{
    char text[CONTENT_SIZE];
    ssize_t length = pread(descriptor, text, sizeof text - 1, 0);

    if (length == -1 || length == (ssize_t)sizeof text - 1)
        return -1;
    text[length] = '\0';
    return strspn(text, "0123456789 \n") == (size_t)length ? strtol(text, NULL, 10) : -1;
}

/* Cuts off the rest of the pid before only then: whoever reads meanwhile finds a whole pid in the
 * first line. Returns 0, or -1 with errno. */
static int write_pid(int descriptor)
{
    char text[CONTENT_SIZE];
    int length = snprintf(text, sizeof text, "%ld\n", (long)getpid());

    errno = ENOSPC; /* where only a part is written */
    return pwrite(descriptor, text, (size_t)length, 0) == length ? ftruncate(descriptor, length)
                                                                 : -1;
}

static int fail_open(const char *path)
{
    int error = errno;
    const char *slash = strrchr(path, '/');

    if (error == ENOENT && slash != NULL && slash != path && slash[1] != '\0')
        log_error("cannot open the pidfile '%s' (-P): there is no folder '%.*s'; make it, or "
                  "choose another", path, (int)(slash - path), path);
    else if (error == ENAMETOOLONG || error == ERANGE) /* getcwd's */
        log_error("cannot open the pidfile (-P): its path is too long, or a name in it; choose a "
                  "shorter one");
    else if (error == ELOOP)
        log_error("cannot open the pidfile '%s' (-P): it is a symbolic link; name the file itself",
                  path);
    else
        log_error("cannot open the pidfile '%s' (-P): %s%s", path, strerror(error),
                  error == EACCES ? "; choose a folder in which you may write" : "");
    return -1;
}

/* There is no lock to be had: logs who holds it, unless that process has ended meanwhile. */
static enum attempt fail_lock(int descriptor, const char *path)
{
    struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET};
    long pid;

    if (!IS_TAKEN(errno)) {
        log_error("cannot lock the pidfile '%s' (-P): %s; choose a folder on a local file system",
                  path, strerror(errno));
        return ATTEMPT_FAILED;
    }
    if (fcntl(descriptor, F_GETLK, &lock) == 0 && lock.l_type == F_UNLCK)
        return ATTEMPT_AGAIN;
    /* A process of another machine or pid namespace has no pid here: then the one in the file. */
    pid = lock.l_pid > 0 ? (long)lock.l_pid : read_pid(descriptor);
    if (pid <= 0)
        log_error("another process holds '%s' (-P); stop it first, or choose another pidfile",
                  path);
    else if (lock.l_type == F_RDLCK)
        log_error("pid %ld is no server, but holds '%s' (-P) as one that reads it; end it, or "
                  "choose another pidfile", pid, path);
    else
        log_error("pid %ld is running already and holds '%s' (-P); stop it first, or choose "
                  "another pidfile", pid, path);
    return ATTEMPT_FAILED;
}

static bool is_in_place(const struct pidfile *pidfile)
{
    struct stat named, opened;

    return lstat(pidfile->path, &named) == 0 && fstat(pidfile->descriptor, &opened) == 0 &&
           named.st_dev == opened.st_dev && named.st_ino == opened.st_ino;
}

static int lock_file(int descriptor)
{
    struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET};

    return fcntl(descriptor, F_SETLK, &lock);
}

static enum attempt take_opened(struct pidfile *pidfile)
{
    int descriptor = pidfile->descriptor;
    struct stat status;
    bool regular = fstat(descriptor, &status) == 0 && S_ISREG(status.st_mode);

    /* Whoever has it by another name could write another pid into it; so could another owner. */
    if (regular && status.st_nlink > 1)
        log_error("the pidfile '%s' (-P) has another name as well; remove it", pidfile->path);
    else if (regular && status.st_uid != geteuid() && status.st_uid != 0)
        log_error("the pidfile '%s' (-P) belongs to user %ld; remove it", pidfile->path,
                  (long)status.st_uid);
    else if (regular && lock_file(descriptor) == -1)
        return fail_lock(descriptor, pidfile->path);
    /* Removed by another server between our open and lock: the next server would open another. */
    else if (regular && !is_in_place(pidfile))
        return ATTEMPT_AGAIN;
    else if (!regular || read_pid(descriptor) == -1)
        log_error("'%s' is not a pidfile (-P), and is left alone: it holds something else; choose "
                  "another name", pidfile->path);
    else if (write_pid(descriptor) == 0)
        return ATTEMPT_DONE;
    else {
        log_error("cannot write the pidfile '%s' (-P): %s", pidfile->path, strerror(errno));
        pidfile_close(pidfile);
    }
    return ATTEMPT_FAILED;
}

int pidfile_open(struct pidfile *pidfile, const char *path)
{
    enum attempt attempt = ATTEMPT_AGAIN;

    pidfile->descriptor = -1;
    if (path_absolute(path, pidfile->path, sizeof pidfile->path) == -1)
        return fail_open(path);
    for (int tries = 0; tries < LOCK_TRIES && attempt == ATTEMPT_AGAIN; tries++) {
        /* O_NONBLOCK: opening a FIFO must not wait. It has no effect on a file. */
        pidfile->descriptor =
            open(pidfile->path, O_RDWR | O_CREAT | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC,
                 S_IRUSR | S_IWUSR | S_IRGRP | S_IROTH);
        if (pidfile->descriptor == -1)
            return fail_open(path);
        attempt = take_opened(pidfile);
        if (attempt != ATTEMPT_DONE && pidfile->descriptor != -1)
            close(pidfile->descriptor); /* which drops the lock */
    }
    if (attempt == ATTEMPT_DONE)
        return 0;
    if (attempt == ATTEMPT_AGAIN)
        log_error("cannot lock the pidfile '%s' (-P): others keep replacing it", path);
    pidfile->descriptor = -1;
    return -1;
}

int pidfile_adopt(struct pidfile *pidfile, int descriptor, const char *path)
{
    struct stat status;
    const char *why;

    pidfile->descriptor = descriptor;
    if (fstat(descriptor, &status) == 0 && !S_ISREG(status.st_mode))
        why = "it is not a file";
    else if (path_absolute(path, pidfile->path, sizeof pidfile->path) == 0 &&
             lock_file(descriptor) == 0 && write_pid(descriptor) == 0 &&
             fcntl(descriptor, F_SETFD, FD_CLOEXEC) != -1)
        return 0;
    else
        why = IS_TAKEN(errno) ? "another process has locked it" : strerror(errno);
    log_error("cannot take over the pidfile '%s' (-P) as descriptor %d: %s", path, descriptor, why);
    pidfile->descriptor = -1;
    return -1;
}

void pidfile_close(struct pidfile *pidfile)
{
    if (pidfile->descriptor == -1)
        return;
    /* Locked until it is removed: another server that has opened it meanwhile finds it out of its
     * place once it gets the lock, and tries again. */
    if ((!is_in_place(pidfile) || unlink(pidfile->path) == -1) &&
        ftruncate(pidfile->descriptor, 0) == -1)
        log_error("cannot remove or empty the pidfile '%s' (-P): %s", pidfile->path,
                  strerror(errno));
    close(pidfile->descriptor);
    pidfile->descriptor = -1;
}
