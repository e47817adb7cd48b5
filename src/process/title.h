/*
 * title.h: what ps(1) shows: "forkecho: 3 live of 1024 on 127.0.0.1:7" for the server,
 * "forkecho: 127.0.0.1:4242" for a child.
 *
 * POSIX has no such thing. On Linux a process may say where its command line lies (prctl(2),
 * PR_SET_MM_MAP, in a kernel built with CONFIG_CHECKPOINT_RESTORE); elsewhere the command line
 * stays what it was. What a child is to be called is written out by its parent, who has the code
 * for it at hand, and copied by the child into a page that it writes to anyway: so a title costs
 * neither a system call nor a page fault.
 */
#ifndef TITLE_H
#define TITLE_H

#include <stddef.h>

/* Longest title with its end; more is cut. */
#define TITLE_MAX 160

/* Has the title live in `area`, of TITLE_MAX characters, from now on, or in memory of its own
 * (NULL). Where the system cannot do that there are no titles. `program` is kept. */
void title_open(const char *program, char *area);

/* Makes "program: " and this text the title. */
void title_set(const char *text);

/* The same in two steps: the first, into `title`, by the parent, the second by its child. */
void title_compose(char *title, const char *text);
void title_take(const char *title);

#endif
