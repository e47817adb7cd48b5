/* path.c: see path.h. */
#include "base/path.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define PATH_DEFAULT "/bin:/usr/bin" /* where execvp(3) looks without a PATH */

int path_absolute(const char *path, char *text, size_t size)
{
    size_t used;
    int length;

    *text = '\0';
    if (path[0] != '/' && getcwd(text, size) == NULL)
        return -1;
    used = strlen(text);
    /* Two slashes at the front may mean something else (POSIX.1-2008, 4.13). */
    length = snprintf(text + used, size - used, "%s%s", used > 1 ? "/" : "", path);
    errno = ENAMETOOLONG;
    return length < (int)(size - used) ? 0 : -1;
}

bool path_find(const char *name, bool (*fits)(const char *path), char *text, size_t size)
{
    const char *folders = getenv("PATH");
    int error = ENOENT;

    if (strchr(name, '/') != NULL)
        return path_absolute(name, text, size) == 0 && fits(text);
    folders = folders != NULL ? folders : PATH_DEFAULT;
    while (*name != '\0' && folders != NULL) {
        int length = (int)strcspn(folders, ":");
        int used = snprintf(text, size, "%.*s%s%s", length, folders, length > 0 ? "/" : "", name);
        if (used < (int)size && fits(text))
            return true;
        error = access(text, F_OK) == 0 ? EACCES : error;
        folders = folders[length] == ':' ? folders + length + 1 : NULL;
    }
    errno = error;
    return false;
}
