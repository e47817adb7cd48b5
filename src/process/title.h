/*
 * title.h: what ps(1) shows: "forkecho: 3 live of 1024 on 127.0.0.1:7"; of a child, its client.
 *
 * On Linux a process may say where its command line lies (prctl(2), PR_SET_MM_MAP, in a kernel
 * built with CONFIG_CHECKPOINT_RESTORE). A title then costs no system call, and no page fault where
 * its area lies on the stack, in a page that parent and child write to anyway: that is 3 % of the
 * processor time of a connection (tests/bench/FIGURES).
 */
#ifndef TITLE_H
#define TITLE_H

#define TITLE_MAX 160 /* with its end; more is cut */

/* From now on the title is the text in `area`, of TITLE_MAX characters; NULL: in memory of this
 * module. Where the system cannot do that there are no titles. `program` is kept. */
void title_open(const char *program, char *area);

/* The title is "program: " and this text. */
void title_set(const char *text);

#endif
