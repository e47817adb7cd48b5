/*
 * text.h: put a text together without printf, which takes more than a microsecond, and so much
 * stack that the parent copies one page more after fork: for what is written for each connection.
 * The text always ends with a NUL; what does not fit is left out.
 */
#ifndef TEXT_H
#define TEXT_H

#include <stddef.h>

struct text {
    char *at;  /* where the NUL is */
    char *end; /* the last character of its room */
};

/* An empty text in `buffer`, of `size` characters, at least one; to add a text, or a number. */
struct text text_in(char *buffer, size_t size);
void text_add(struct text *text, const char *more);
void text_add_number(struct text *text, unsigned long long number);

#endif
