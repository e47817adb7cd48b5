/*
 * arguments.h: the command line of every program here, from one table: short and long forms, --help
 * and error messages, which so cannot disagree; tests hold the man pages against it.
 *
 * Options come before operands (POSIX.1-2008 XBD 12.2); long names are those of getopt_long(3).
 * An error is reported in one line on standard error; the caller exits with its usage status.
 */
#ifndef ARGUMENTS_H
#define ARGUMENTS_H

struct argument {
    int letter;        /* short form: 'c' for -c; above UCHAR_MAX: it has only a long form */
    const char *name;  /* long form, without the dashes */
    const char *value; /* what --help calls the value; NULL when there is none */
    const char *help;  /* one line for --help */
};

struct arguments {
    const char *program;         /* for messages */
    const char *synopsis;        /* operands, behind the options: "host:port [message]..." */
    const char *about;           /* one sentence: what the program does */
    const struct argument *list; /* ends with a letter of 0 */
    int argc;
    char **argv;
    const struct argument *current; /* the option last returned */
    const char *value;              /* its value */
};

/* The letter of the next option, with `current` and `value` set; 0 when they are done and
 * `optind` is at the first operand; -1 when one is unknown or lacks its value (reported). */
int arguments_next(struct arguments *arguments);

/* How messages name an option: "-c, --count" or "--count", in `text` of this size. */
#define ARGUMENTS_FORM_MAX 64
const char *arguments_form(const struct argument *argument, char *text);

/* Report a usage error, or that the current value is not `expected`: "a port". Return -1. */
int arguments_misused(const struct arguments *arguments, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
int arguments_reject(const struct arguments *arguments, const char *expected);

/* The current value as a number or a duration. Return 0, or -1 (reported). */
int arguments_number(const struct arguments *arguments, long lowest, long highest, long *value);
int arguments_duration(const struct arguments *arguments, double *seconds);

/* Prints --help, which fits a screen of 80 columns and 24 lines; writes out what was so printed on
 * standard output: returns 0, or -1 (reported). */
void arguments_help(const struct arguments *arguments);
int arguments_shown(const char *program);

#endif
