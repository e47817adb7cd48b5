/* text.c: see text.h. */
#include "base/text.h"

struct text text_in(char *buffer, size_t size)
{
    *buffer = '\0';
    return (struct text){.at = buffer, .end = buffer + size - 1};
}

void text_add(struct text *text, const char *more)
{
    while (*more != '\0' && text->at < text->end)
        *text->at++ = *more++;
    *text->at = '\0';
}

void text_add_number(struct text *text, unsigned long long number)
{
    char digits[24] = "", *at = digits + sizeof digits - 1;

    do {
        *--at = (char)('0' + number % 10);
        number /= 10;
    } while (number > 0);
    text_add(text, at);
}
