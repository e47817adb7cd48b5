/* pool_report.c: see pool_report.h. */
#include "parts/pool_report.h"

#include "base/descriptors.h"
#include "process/log.h"

#include <errno.h>

#define PORTION 2048 /* records read in one turn: more than a pipe of 64 KiB holds */

bool pool_report_needs_reply(const struct options *options, const struct peer *peer)
{
    return options->max_per_source > 0 && access_permits(&options->access, peer);
}

/* A worker has accepted: admits its client, and replies where that is waited for. */
static void handle_arrival(const struct record *record, struct server *server)
{
    struct client client = {.descriptor = -1};
    struct child *earlier = children_find(server->children, record->id);
    bool may_come;

    if (!ledger_client(record, &client.peer)) {
        log_error("ignored a client on the ledger from %lld, who has no address",
                  (long long)record->id);
        return;
    }
    /* A worker has one client at a time: the earlier one is gone, without a report. */
    if (earlier != NULL)
        server_ended(server, earlier, 0);
    may_come = server_admit(server, &client);
    if (may_come)
        server_began(server, record->id, &client);
    if (pool_report_needs_reply(server->options, &client.peer))
        kill((pid_t)record->id, may_come ? POOL_ADMIT : POOL_REFUSE);
}

static bool all_listen(const struct listeners *listeners)
{
    for (size_t i = 0; i < listeners->count; i++)
        if (descriptors_option(listeners->all[i].descriptor, SOL_SOCKET, SO_ACCEPTCONN) <= 0)
            return false;
    return true;
}

/* What a child says may not be true: our own copies of the listeners are asked. */
static void handle_accept_failure(struct server *server, int error)
{
    if (!all_listen(&server->listeners))
        server_stop_failed(server, "a child's accept", error);
    else
        gate_pause(&server->gate, error, "a child's accept", "");
}

static void handle_report(const struct record *record, struct children *workers,
                          struct server *server)
{
    struct child *child;

    if (children_find(workers, record->id) == NULL) {
        log_error("ignored a record on the ledger for %lld, which is no child",
                  (long long)record->id);
    } else if (record->kind == RECORD_ARRIVAL) {
        handle_arrival(record, server);
    } else if (record->kind == RECORD_ACCEPT_FAILED) {
        handle_accept_failure(server, record->error > 0 && record->error < INT16_MAX
                                          ? (int)record->error
                                          : EIO);
    } else if ((child = server_exit_recorded(server, record)) != NULL) {
        server_ended(server, child, 0);
    }
}

bool pool_report_read(struct ledger *ledger, struct children *workers, struct server *server)
{
    struct record record;
    int portion = PORTION;

    while (portion-- > 0 && ledger_read(ledger, &record))
        handle_report(&record, workers, server);
    if (ledger->junk > 0)
        log_error("ignored %lu bytes on the ledger that are no record", ledger->junk);
    ledger->junk = 0;
    return portion < PORTION - 1;
}
