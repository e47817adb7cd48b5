/* test_metrics.c: the pages that tell how it goes (metrics.h). */
#include "suite.h"

#include "server/metrics.h"
#include "server/serve.h"

#define LONGEST "18446744073709551615"

static char page[METRICS_PAGE_MAX];

static const char *written(const struct metrics *metrics, enum http_page form)
{
    size_t size = metrics_write(metrics, form, page);

    ck_assert_uint_eq(size, strlen(page));
    ck_assert_uint_lt(size, sizeof page - 1); /* nothing was left out */
    return page;
}

static void assert_has(const char *text, const char *line)
{
    char whole[200];

    snprintf(whole, sizeof whole, "\n%s\n", line);
    ck_assert_msg(strstr(text, whole) != NULL, "'%s' is not in:\n%s", line, text);
}

static struct metrics some(void)
{
    return (struct metrics){.model = "forkecho", .information = 1, .live = 3, .oldest = 1500000,
                            .accepted = 12, .ended = {[SESSION_IDLE] = 4, [ENDED_SIGNAL] = 5},
                            .refused = {[REFUSED_PER_SOURCE] = 2},
                            .deferred = {[DEFERRED_FAILURE] = 7}, .bytes = {11, 22},
                            .parent_time = 1, .started = UINT64_C(1800000000000000)};
}

/* Catches a number under another one's name or label, and a time of another unit. */
START_TEST(each_number_has_its_name)
{
    const struct metrics metrics = some();
    const char *text = written(&metrics, HTTP_PROMETHEUS);

    assert_has(text, "# HELP forkecho_live_children Children that are not yet reaped.");
    assert_has(text, "# TYPE forkecho_live_children gauge");
    assert_has(text, "forkecho_live_children 3");
    assert_has(text, "forkecho_oldest_connection_seconds 1.500000");
    assert_has(text, "# TYPE forkecho_connections_accepted_total counter");
    assert_has(text, "forkecho_connections_accepted_total 12");
    assert_has(text, "forkecho_connections_ended_total{how=\"eof\"} 0");
    assert_has(text, "forkecho_connections_ended_total{how=\"idle\"} 4");
    assert_has(text, "forkecho_connections_ended_total{how=\"signal\"} 5");
    assert_has(text, "forkecho_connections_ended_total{how=\"exit-0\"} 0");
    assert_has(text, "forkecho_connections_refused_total{why=\"max-per-source\"} 2");
    assert_has(text, "forkecho_connections_deferred_total{why=\"max-connections\"} 0");
    assert_has(text, "forkecho_connections_deferred_total{why=\"failure\"} 7");
    assert_has(text, "forkecho_bytes_total{direction=\"in\"} 11");
    assert_has(text, "forkecho_bytes_total{direction=\"out\"} 22");
    assert_has(text, "process_cpu_seconds_total 0.000001");
    assert_has(text, "process_start_time_seconds 1800000000.000000");
    assert_has(text, "# TYPE forkecho_build_info gauge");
    ck_assert_ptr_nonnull(strstr(text, "\nforkecho_build_info{version=\"" VERSION
                                       "\",model=\"forkecho\",libc=\""));
    ck_assert_ptr_null(strstr(text, "# EOF"));
}
END_TEST

/* Catches what a parser of OpenMetrics rejects: a counter's family with its ending, a type that is
 * not there, an end that is missing. */
START_TEST(openmetrics_has_names_and_an_end_of_its_own)
{
    const struct metrics metrics = some();
    const char *text = written(&metrics, HTTP_OPENMETRICS);

    assert_has(text, "# TYPE forkecho_connections_accepted counter");
    assert_has(text, "forkecho_connections_accepted_total 12");
    assert_has(text, "# TYPE forkecho_build info");
    ck_assert_str_eq(text + strlen(text) - 6, "# EOF\n");
    ck_assert_ptr_eq(strstr(text, "# EOF"), text + strlen(text) - 6);
}
END_TEST

/* Catches a column that wavers, which nobody can read. */
START_TEST(the_plain_page_is_aligned)
{
    struct metrics metrics;
    const char *text, *line, *end;
    size_t width = 0;

    memset(&metrics, 0xff, sizeof metrics); /* the longest numbers */
    metrics.model = "forkecho";
    text = written(&metrics, HTTP_PLAIN);
    ck_assert_ptr_eq(strstr(text, "forkecho " VERSION ", "), text);
    ck_assert_ptr_nonnull(strstr(text, "\nconnections ended: eof  "));
    ck_assert_ptr_nonnull(strstr(text, "  " LONGEST "\n"));
    for (line = strstr(text, "\n\n") + 2; *line != '\0'; line = end + 1) {
        end = strchr(line, '\n');
        ck_assert_msg(width == 0 || width == (size_t)(end - line), "%s", line);
        width = (size_t)(end - line);
        ck_assert_ptr_null(memchr(line, '_', width));
    }
    ck_assert_uint_lt(width, 80);
}
END_TEST

/* Catches a page that is cut where numbers are large. */
START_TEST(the_largest_numbers_have_room)
{
    struct metrics metrics;

    memset(&metrics, 0xff, sizeof metrics);
    metrics.model = "threadpoolecho";
    (void)written(&metrics, HTTP_PROMETHEUS);
    assert_has(written(&metrics, HTTP_OPENMETRICS), "forkecho_live_children " LONGEST);
}
END_TEST

/* Catches a number of the server's that does not reach its metric. */
START_TEST(numbers_are_those_of_the_server)
{
    static const struct options options = {.program = "forkecho", .max_connections = 2};
    static const struct serve_model no_model = {0};
    struct server *server = server_open(&no_model, &options, NULL);
    struct client client = {-1, peer_at("192.0.2.1", 1)};
    struct metrics metrics;
    struct child *child;

    ck_assert_ptr_nonnull(server);
    ck_assert(server_admit(server, &client) && server_admit(server, &client));
    child = server_began(server, 11, &client);
    ck_assert_ptr_nonnull(server_began(server, 12, &client));
    metrics_take(&metrics, server);
    ck_assert(metrics.live == 2 && metrics.most == 2 && metrics.accepted == 2);
    ck_assert(metrics.source_most == 2 && metrics.peak == 2 && metrics.stopping == 0);
    ck_assert(metrics.closed[DEFERRED_CAP] == 1 && metrics.closed[DEFERRED_FAILURE] == 0);
    server_ended(server, child, 9);
    server->gate.failures = 1;
    server->stop.phase = SERVER_DRAINING;
    metrics_take(&metrics, server);
    ck_assert(metrics.live == 1 && metrics.ended[ENDED_SIGNAL] == 1 && metrics.peak == 2);
    ck_assert(metrics.closed[DEFERRED_CAP] == 0 && metrics.closed[DEFERRED_FAILURE] == 1);
    ck_assert(metrics.stopping == 1 && metrics.parent_time > 0);
}
END_TEST

SUITE("metrics", each_number_has_its_name, openmetrics_has_names_and_an_end_of_its_own,
      the_plain_page_is_aligned, the_largest_numbers_have_room, numbers_are_those_of_the_server)
