/*
 * counters.c: linked into each program of `make coverage`. gcov by itself writes its counts when a
 * process exits, and so misses those of children that end by _exit, that may open no file any more,
 * have another root or user, or are killed.
 *
 * Here all processes of a program count in one file, which they map before anything else is done
 * (counters.ld has put the counters on pages of their own), so nothing that they do later is
 * missed. With COUNTERS_DUMP in its environment a program does nothing but add that file to the
 * .gcda files that gcov reads.
 *
 * It relies on GCC: on -fprofile-info-section, with which nothing is written at exit, and on
 * libgcov's dump.
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

struct gcov_info;
extern void __gcov_init(struct gcov_info *info);
extern void __gcov_dump(void);
extern struct gcov_info *const __start_gcov_info[], *const __stop_gcov_info[];
extern char counters_begin[], counters_end[];

/* One for each program, which all users may write, as any of them may run a server. Tests put one
 * program under the name of another: the size tells them apart, and a file that was cut would end
 * (SIGBUS) those that have mapped it. */
static int open_file(size_t size)
{
    char path[4096], self[4096] = "";
    ssize_t length = readlink("/proc/self/exe", self, sizeof self - 1);
    int file;

    if (length <= 0)
        return -1;
    snprintf(path, sizeof path, COUNTERS "/%s.%zu", strrchr(self, '/') + 1, size);
    file = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0666);
    if (file != -1)
        (void)!fchmod(file, 0666);
    return file;
}

/* Where the file cannot be opened, this process is not counted. */
__attribute__((constructor(101))) static void map_counters(void)
{
    size_t size = (size_t)(counters_end - counters_begin);
    int file = open_file(size);

    if (file == -1)
        return;
    if (ftruncate(file, (off_t)size) == 0)
        (void)!mmap(counters_begin, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED, file, 0);
    close(file);
    if (getenv("COUNTERS_DUMP") == NULL)
        return;
    for (struct gcov_info *const *info = __start_gcov_info; info < __stop_gcov_info; info++)
        __gcov_init(*info);
    __gcov_dump();
    _exit(0);
}
