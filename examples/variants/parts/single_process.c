/* single_process.c: see single_process.h. */
#include "parts/single_process.h"

#include "base/raise_limit.h"

#include <signal.h>

/* Nothing is reaped here: signals come from people, who do not notice such a delay. Seconds. */
#define HEAR_PERIOD 0.01

int single_process_start(struct server *server)
{
    server->wait.hear_period = HEAR_PERIOD;
    (void)raise_limit();
    signal(SIGCHLD, SIG_IGN); /* POSIX.1-2008, _Exit: the system reaps those it is handed */
    return server_announce(server);
}

/* No other is accepted before a client that is held has been let in again. */
int64_t single_process_number(const struct server *server)
{
    return (int64_t)server->statistics.accepted;
}
