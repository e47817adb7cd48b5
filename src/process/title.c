/* title.c: see title.h. */
#include "process/title.h"

#include "base/text.h"
#include "platform/platform.h"

#include <string.h>

static const char *name; /* of the program */
static char *title_area; /* of TITLE_MAX characters, the last of which is not ours (platform.h) */

void title_open(const char *program, char *area)
{
    static char own[TITLE_MAX];

    name = program;
    title_area = area != NULL ? area : own;
    memset(title_area, 0, TITLE_MAX);
    title_set("starting");
    if (platform_show_title(title_area, TITLE_MAX) == -1)
        title_area = NULL;
}

void title_set(const char *text)
{
    struct text title;

    if (title_area == NULL)
        return;
    title = text_in(title_area, TITLE_MAX - 1);
    text_add(&title, name);
    text_add(&title, ": ");
    text_add(&title, text);
}
