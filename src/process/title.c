/* title.c: see title.h. */
#include "process/title.h"

#include "base/text.h"
#include "platform/platform.h"

#include <string.h>

/* A process has one title. */
static struct {
    const char *program;
    char *area; /* NULL: there are no titles */
} the_title;

/* The last byte of the area belongs to platform_show_title. */
#define TEXT_SIZE (TITLE_MAX - 1)

void title_open(const char *program, char *area)
{
    static char own[TITLE_MAX];

    if (area == NULL)
        area = own;
    memset(area, 0, TITLE_MAX);
    the_title.program = program;
    the_title.area = area;
    title_set("starting");
    if (platform_show_title(area, TITLE_MAX) == -1)
        the_title.area = NULL;
}

static void compose(char *title, const char *more)
{
    struct text text = text_in(title, TEXT_SIZE);

    text_add(&text, the_title.program);
    text_add(&text, ": ");
    text_add(&text, more);
}

void title_set(const char *text)
{
    if (the_title.area != NULL)
        compose(the_title.area, text);
}

void title_compose(char *title, const char *text)
{
    if (the_title.area != NULL)
        compose(title, text);
}

void title_take(const char *title)
{
    if (the_title.area != NULL)
        memcpy(the_title.area, title, TEXT_SIZE);
}
