/*
 * parse.h: strict numbers and durations: the whole text must be the value, without blanks, a sign
 * that makes no sense, or anything behind it. What is outside the range is an error, never a limit.
 */
#ifndef PARSE_H
#define PARSE_H

#define PARSE_DURATION_MAX (10.0 * 365 * 24 * 3600) /* ten years, far from any overflow */

/* A whole decimal number from `lowest` to `highest`; a duration in seconds: 500ms, 30s, 5m, 2h, or
 * a bare number, also with a decimal fraction. Return 0, or -1 with the value untouched. */
int parse_number(const char *text, long lowest, long highest, long *value);
int parse_duration(const char *text, double *seconds);

/* A decimal number at the start of a text, 0 or more, perhaps with a fraction. Returns what is
 * behind it, or NULL with the value untouched. */
const char *parse_decimal(const char *text, double *value);

#endif
