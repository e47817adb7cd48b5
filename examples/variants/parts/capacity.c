/* capacity.c: see capacity.h. */
#include "parts/capacity.h"

#include <stdio.h>

int capacity_fit(struct options *options, size_t most, const char *limit)
{
    char why[160];

    if (options->max_connections <= most)
        return 0;
    if (options->max_connections_given) {
        snprintf(why, sizeof why, "'%zu' is more than %s can serve at once, which is %zu (%s)",
                 options->max_connections, options->program, most, limit);
        options_reject(options, 'c', why);
        return -1;
    }
    options->max_connections = most;
    return 0;
}
