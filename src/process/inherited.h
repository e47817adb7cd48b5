/*
 * inherited.h: the descriptors that a process was started with, most of them by accident.
 */
#ifndef INHERITED_H
#define INHERITED_H

/*
 * Opens /dev/null on those of 0, 1 and 2 that are closed, so that none of them becomes a
 * client's socket on which a stray message would appear, and on 0 in any case. Closes all from
 * `lowest_free` on, which whoever started us left open by accident. Returns 0, or -1 with errno
 * where /dev/null cannot be opened: then nothing else may be opened, for it could become one of 0,
 * 1 and 2.
 */
int inherited_tidy(int lowest_free);

/* Closes all descriptors from `lowest` on. */
void inherited_close_from(int lowest);

#endif
