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
    int own, next; /* the parent's value, and that of the next child */
    char own_text[16], next_text[16];
} *score;

static void put_score(char *text, int value)
{
    struct text room = text_in(text, sizeof score->own_text);

    text_add(&room, value < 0 ? "-" : "");
    text_add_number(&room, (unsigned)abs(value));
}

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
    char text[16] = "";
    long own;

    if (file == 0 && (file = open_score()) == -1)
        return 0;
    own = pread(file, text, sizeof text - 1, 0) > 0 ? strtol(text, NULL, 10) : SCORE_MAX;
    if (own >= SCORE_MAX || (score = platform_private_memory(sizeof *score)) == NULL) {
        close(file);
        return 0;
    }
    *score = (struct score){.file = file, .own = (int)own, .next = SCORE_MAX};
    put_score(score->own_text, score->own);
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
    pid_t pid;

    if (score == NULL)
        return plain_fork();
    put_score(score->next_text, score->next);
    score->next = score->next > score->own + 1 ? score->next - 1 : SCORE_MAX;
    set_score(score->next_text);
    pid = plain_fork();
    if (pid != 0) {
        int error = errno;
        set_score(score->own_text);
        if (pid == -1) /* not else: it lies in a page that a child then shares */
            errno = error;
    }
    return pid;
}
