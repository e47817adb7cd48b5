/*
 * title.h: what ps(1) shows: "forkecho: 3 live of 1024 on 127.0.0.1:7" for the server,
 * "forkecho: 127.0.0.1:4242" for a child.
 *
 * POSIX has no such thing. On Linux a process may say where its command line lies (prctl(2),
 * PR_SET_MM_MAP, in a kernel built with CONFIG_CHECKPOINT_RESTORE); elsewhere the command line
 * stays what it was. The parent composes the title of a child, which only copies it into a page
 * that it writes to anyway. So a title costs a child neither a system call nor a page fault.
 */
#ifndef TITLE_H
#define TITLE_H

#include <stddef.h>

/* Longest title with its end; more is cut. */
#define TITLE_MAX 160

/* From now on the title is the text in `area`, of TITLE_MAX characters; NULL: in memory of this
 * module. Where the system cannot do that there are no titles. `program` is kept. */
void title_open(const char *program, char *area);

/* The title is "program: " and this text. */
void title_set(const char *text);

/* The same in two steps: the parent composes `title`, of TITLE_MAX characters, and the child copies
 * it into its area. */
void title_compose(char *title, const char *text);
void title_take(const char *title);

#endif
