/* title.c: see title.h. */
#include "process/title.h"

#include "base/text.h"
#include "platform/platform.h"

#include <string.h>

static struct {
    const char *program;
    char *area; /* of TITLE_MAX characters, the last of which is not ours (platform.h) */
} the_title;

void title_open(const char *program, char *area)
{
    static char own[TITLE_MAX];

    the_title.program = program;
    the_title.area = area != NULL ? area : own;
    memset(the_title.area, 0, TITLE_MAX);
    title_set("starting");
    if (platform_show_title(the_title.area, TITLE_MAX) == -1)
        the_title.area = NULL;
}

void title_set(const char *text)
{
    struct text title;

    if (the_title.area == NULL)
        return;
    title = text_in(the_title.area, TITLE_MAX - 1);
    text_add(&title, the_title.program);
    text_add(&title, ": ");
    text_add(&title, text);
}
