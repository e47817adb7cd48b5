/*
 * metrics.h: how it goes, in numbers, and the pages that tell it to monitors (-S).
 *
 * One table in metrics.c has a row for each metric: its name, type, labels and the sentence that
 * explains it. All pages are printed from that table, in its order: to add a metric is a member
 * here, a row there, and what metrics_take puts into it. forkecho-metrics(5) lists them.
 *
 * Names and units are those of Prometheus (prometheus.io/docs/practices/naming), the pages its text
 * format 0.0.4 and OpenMetrics 1.0.
 *
 * metrics_write is for a forked child, which has neither malloc nor a clock nor the tables of its
 * parent (platform.h): it reads nothing but the numbers. Cost: metrics_take, in the parent, is
 * constant in live children and sources, three system calls.
 */
#ifndef METRICS_H
#define METRICS_H

#include "server/http.h"
#include "server/server.h"

#include <stddef.h>
#include <stdint.h>

enum why_deferred { DEFERRED_CAP, DEFERRED_FAILURE, DEFERRED_WHYS };
enum direction { BYTES_IN, BYTES_OUT, DIRECTIONS };

/* All at one moment; times are microseconds. */
struct metrics {
    const char *model; /* the program's name */
    uint64_t information; /* 1 */
    uint64_t live, peak, most, oldest, source_most, held;
    uint64_t accepted, ended[ENDED_HOWS], refused[REFUSALS], deferred[DEFERRED_WHYS];
    uint64_t closed[DEFERRED_WHYS], stopping; /* 0 or 1 */
    uint64_t bytes[DIRECTIONS];
    uint64_t log_lost, upgrades;
    uint64_t started;                    /* since the Epoch */
    uint64_t parent_time, children_time; /* of a processor */
};

#define METRICS_PAGE_MAX 16384 /* more than any page has, whatever the numbers are */

void metrics_take(struct metrics *metrics, const struct server *server);

/* Writes a page. Returns its length. */
size_t metrics_write(const struct metrics *metrics, enum http_page page,
                     char text[METRICS_PAGE_MAX]);

#endif
