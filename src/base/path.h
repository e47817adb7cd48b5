/* path.h: paths that mean the same in every working directory, and where PATH leads to. */
#ifndef PATH_H
#define PATH_H

#include <stdbool.h>
#include <stddef.h>

/* Writes `path`, made absolute, into `text` of `size` characters. Returns 0, or -1 with errno. */
int path_absolute(const char *path, char *text, size_t size);

/* Looks for a program as execvp(3) does: a name with a slash is its path, which is made absolute;
 * any other is in one of the folders of PATH, where these may be relative. Writes the path of the
 * first that `fits` into `text`. False, with errno as execvp has it: there is none. */
bool path_find(const char *name, bool (*fits)(const char *path), char *text, size_t size);

#endif
