/* one_process.c: see one_process.h. */
#include "parts/one_process.h"

#include "base/descriptors.h"
#include "process/signals.h"

/* Nothing is reaped here: the signals that come are for a person, who does not notice. Seconds. */
#define HEAR_PERIOD 0.01

int one_process_start(struct server *server)
{
    server->wait.hear_period = HEAR_PERIOD;
    descriptors_raise_limit();
    signals_without_children();
    return server_announce(server);
}

/* A client that is held is let in again before any other is accepted. */
int64_t one_process_number(const struct server *server)
{
    return (int64_t)server->statistics.accepted;
}

void one_process_record_exit(struct server *server, const struct child *child,
                            const struct session *session)
{
    struct record record = ledger_exit_record(child->id, session);

    server_exit_recorded(server, &record);
}
