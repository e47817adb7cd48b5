/* test_title.c: what ps(1) shows (title.h). */
#include "suite.h"

#include "process/title.h"

/* The command line of this process as /proc shows it, up to its first NUL. */
static const char *shown(void)
{
    static char text[4096];
    FILE *file = fopen("/proc/self/cmdline", "r");
    size_t size = file != NULL ? fread(text, 1, sizeof text - 1, file) : 0;

    if (file != NULL)
        fclose(file);
    text[size] = '\0';
    return text;
}

/* Where a kernel lacks what titles need, the command line has to stay what it was. */
static int set_titles(void *data)
{
    static char area[TITLE_MAX];
    char before[4096], text[2 * TITLE_MAX], expected[4096];

    (void)data;
    strcpy(before, shown());
    title_open("program", area);
    if (strcmp(shown(), before) == 0) {
        title_set("1 live");
        return strcmp(shown(), before) == 0 ? 0 : 1;
    }
    title_set("1 live");
    if (strcmp(shown(), "program: 1 live") != 0)
        return 2;
    title_set("192.0.2.1:7");
    if (strcmp(shown(), "program: 192.0.2.1:7") != 0 || strcmp(area, shown()) != 0)
        return 3;
    memset(text, 'x', sizeof text - 1);
    text[sizeof text - 1] = '\0';
    title_set(text);
    snprintf(expected, sizeof expected, "program: %.*s", TITLE_MAX - 2 - 9, text);
    if (strcmp(shown(), expected) != 0)
        return 4;
    title_set("short");
    title_open("program", NULL); /* memory of its own */
    return strcmp(shown(), "program: starting") == 0 ? 0 : 5;
}

/* Catches a title that shows the rest of a longer one, or exceeds its memory. */
START_TEST(the_title_is_what_was_set_last)
{
    int result = suite_in_child(set_titles, NULL);

    ck_assert_msg(result == 0, "%d: '%s'", result, shown());
}
END_TEST

SUITE("title", the_title_is_what_was_set_last)
