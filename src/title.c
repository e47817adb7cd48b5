/* title.c: see title.h. */
#include "title.h"

#include "platform.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

/* A process has one title. */
static struct {
    const char *program;
    char *area; /* NULL: there are no titles */
} the_title;

/* The last byte of the area is not ours (platform.h). */
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

static void compose(char *title, const char *format, va_list values)
{
    int used = snprintf(title, TEXT_SIZE, "%s: ", the_title.program);

    vsnprintf(title + used, TEXT_SIZE - (size_t)used, format, values);
}

void title_set(const char *format, ...)
{
    va_list values;

    if (the_title.area == NULL)
        return;
    va_start(values, format);
    compose(the_title.area, format, values);
    va_end(values);
}

void title_compose(char *title, const char *format, ...)
{
    va_list values;

    if (the_title.area == NULL)
        return;
    va_start(values, format);
    compose(title, format, values);
    va_end(values);
}

void title_take(const char *title)
{
    if (the_title.area != NULL)
        memcpy(the_title.area, title, TEXT_SIZE);
}
