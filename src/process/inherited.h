/*
 * inherited.h: the descriptors that a process was started with, of which few are meant for it.
 */
#ifndef INHERITED_H
#define INHERITED_H

/*
 * Makes 0, 1 and 2 open, on /dev/null where they were not, so that none of them becomes a
 * client's socket on which a stray message would appear; and closes all from `lowest_free`
 * on, which whoever started us left open by accident. 0 is /dev/null from then on. Returns 0, or -1
 * with errno where /dev/null cannot be opened: then nothing may be opened at all.
 */
int inherited_tidy(int lowest_free);

/* Closes all descriptors from `lowest` on. */
void inherited_close_from(int lowest);

#endif
