/* one_process.c: see one_process.h. */
#include "parts/one_process.h"

#include "base/descriptors.h"
#include "process/log.h"
#include "process/signals.h"

/* Nothing is reaped here: the signals that come are for a person, who does not notice. Seconds. */
#define HEAR_PERIOD 0.01

int one_process_start(struct server *server)
{
    server->hear_period = HEAR_PERIOD;
    descriptors_raise_limit();
    signals_without_children();
    return server_announce(server);
}

/* A client that is held is let in again before any other is accepted. */
int64_t one_process_number(const struct server *server)
{
    return (int64_t)server->statistics.accepted;
}

void one_process_signed_off(struct server *server, const struct child *child,
                            const struct session *session)
{
    struct record record = ledger_record(child->id, session);

    server_signed_off(server, &record);
}

void one_process_heed(struct server *server,
                      void (*tell)(struct server *server, struct child *child, int signal))
{
    if (signals_take(SIGUSR1))
        server_status(server, 0);
    if (signals_take(SIGHUP) && !server_hung_up(server))
        log_error("cannot upgrade (SIGHUP): %s serves its clients in this process, and they would "
                  "end with the program; restart it instead", server->options->program);
    server_pass_order(server, tell);
}
