/* capacity.h: for a server that can serve only so many clients at once, whatever -c says. */
#ifndef CAPACITY_H
#define CAPACITY_H

#include "server/options.h"

/* Lowers the default of -c to `most`; one that was given above that is refused with `limit`, which
 * is what bounds it. Returns 0, or -1 (reported). */
int capacity_fit(struct options *options, size_t most, const char *limit);

#endif
