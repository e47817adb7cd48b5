/*
 * replay.c: the main() of a harness without libFuzzer: has it take each file that is named, or
 * each that lies in a folder that is named.
 *
 *   build/fuzz/fuzz_address tests/fuzz/corpus/address
 *
 * A file's path is printed before it is taken, so where a run crashes or hangs, the last one
 * is to blame. Without a file it fails: a corpus that was moved would pass unseen.
 */
#include "fuzz.h"

#include <dirent.h>
#include <errno.h>
#include <sys/stat.h>
#include <unistd.h>

/* Seconds that one file may take, which only one that hangs needs. */
#define FILE_TIMEOUT 60

static int replayed;

static int complain(const char *path)
{
    fprintf(stderr, "%s: %s\n", path, strerror(errno));
    return -1;
}

/* The bytes are the only ones in their memory, as in libFuzzer's. */
static int replay_file(const char *path, size_t size)
{
    FILE *file = fopen(path, "r");
    uint8_t *bytes;

    if (file == NULL)
        return complain(path);
    bytes = fuzz_memory(size);
    size = fread(bytes, 1, size, file);
    fclose(file);
    printf("%s\n", path);
    fflush(stdout);
    alarm(FILE_TIMEOUT);
    (void)LLVMFuzzerTestOneInput(bytes, size);
    alarm(0);
    free(bytes);
    replayed++;
    return 0;
}

static int replay_folder(const char *path)
{
    struct dirent **entries;
    int count = scandir(path, &entries, NULL, alphasort), result = 0;
    char name[4096];
    struct stat status;

    if (count == -1)
        return complain(path);
    for (int i = 0; i < count; i++) {
        snprintf(name, sizeof name, "%s/%s", path, entries[i]->d_name);
        if (stat(name, &status) == -1)
            result = complain(name);
        else if (S_ISREG(status.st_mode) && replay_file(name, (size_t)status.st_size) == -1)
            result = -1;
        free(entries[i]);
    }
    free(entries);
    return result;
}

int main(int argc, char **argv)
{
    int result = 0;

    for (int i = 1; i < argc; i++) {
        struct stat status;

        if (stat(argv[i], &status) == -1)
            result = complain(argv[i]);
        else if ((S_ISDIR(status.st_mode) ? replay_folder(argv[i])
                                          : replay_file(argv[i], (size_t)status.st_size)) == -1)
            result = -1;
    }
    if (replayed == 0)
        fprintf(stderr, "usage: %s file-or-folder...: nothing was replayed\n", argv[0]);
    return result == 0 && replayed > 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
