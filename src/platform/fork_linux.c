/*
 * fork_linux.c: platform_fork on Linux, and that the kernel ends children rather than their parent
 * where memory runs out (oom_score_adj, proc(5)).
 */
#define _GNU_SOURCE
#include "platform/platform.h"

#include "base/text.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <unistd.h>

#define SCORE_MAX 1000 /* OOM_SCORE_ADJ_MAX (linux/oom.h) */

/* In private memory, for it is written to between forks: each page that the parent writes to after
 * a fork costs a fault, and so would snprintf, deep in the stack. */
static struct score {
    int file;
    unsigned next, least; /* the value of the next child, and the least of any */
    char own[16];         /* the parent's, as the kernel has written it */
    char text[16];        /* where a child's is written */
} *score;

static void set_score(const char *text)
{
    (void)!write(score->file, text, strlen(text));
}

/* In /proc/self root owns the files of a process that is not dumpable (proc(5)), as where its
 * program may not be read (mode 711): so it is dumpable for as long as it opens this one. */
static int open_score(void)
{
    const char path[] = "/proc/self/oom_score_adj";
    int file = open(path, O_RDWR | O_CLOEXEC), traceable = prctl(PR_GET_DUMPABLE, 0, 0, 0, 0);

    if (file == -1 && traceable == 0 && prctl(PR_SET_DUMPABLE, 1, 0, 0, 0) == 0) {
        file = open(path, O_RDWR | O_CLOEXEC);
        (void)prctl(PR_SET_DUMPABLE, 0, 0, 0, 0);
    }
    return file;
}

int platform_prefer_children(int file)
{
    char text[sizeof score->own] = "";
    long own;

    if (file == 0 && (file = open_score()) == -1)
        return 0;
    own = pread(file, text, sizeof text - 1, 0) > 0 ? strtol(text, NULL, 10) : SCORE_MAX;
    if (own >= SCORE_MAX || (score = platform_private_memory(sizeof *score)) == NULL) {
        close(file);
        return 0;
    }
    *score = (struct score){.file = file, .next = SCORE_MAX};
    score->least = own > 0 ? (unsigned)own + 1 : 1;
    strcpy(score->own, text);
    return file;
}

static pid_t plain_fork(void)
{
#ifdef HAVE__FORK
    return _Fork();
#else
    return fork();
#endif
}

pid_t platform_fork(void)
{
    struct text text;
    pid_t pid;

    if (score == NULL)
        return plain_fork();
    text = text_in(score->text, sizeof score->text);
    text_add_number(&text, score->next);
    score->next = score->next > score->least ? score->next - 1 : SCORE_MAX;
    set_score(score->text);
    pid = plain_fork();
    if (pid != 0) {
        int error = errno;
        set_score(score->own);
        if (pid == -1) /* not else: it lies in a page that a child then shares */
            errno = error;
    }
    return pid;
}
