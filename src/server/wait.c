/* wait.c: waiting, and what each wait keeps up to date: the title, the manager (server.h). */
#include "server/server.h"

#include "base/clock.h"
#include "base/descriptors.h"
#include "base/text.h"
#include "process/log.h"
#include "process/manager.h"
#include "process/signals.h"
#include "process/title.h"
#include "server/serve.h"

#include <errno.h>
#include <stdio.h>

static void update_title(struct server *server)
{
    char title[TITLE_MAX];
    struct text text = text_in(title, sizeof title);
    size_t live = server->children->live;

    if (live == server->wait.titled_live && server->listeners.count > 0)
        return;
    server->wait.titled_live = live;
    text_add_number(&text, live);
    if (server->stop.phase == SERVER_SERVING) {
        text_add(&text, " live of ");
        text_add_number(&text, server->options->max_connections);
        text_add(&text, " on ");
        listeners_text(&server->listeners, text.at, (size_t)(text.end - text.at) + 1);
    } else {
        text_add(&text, " live, stopping");
    }
    title_set(title);
}

/* Keeps the service manager informed. Returns when to do so next: clock.h; 0: no such time. */
static double notify_manager(const struct server *server, double now)
{
    char text[MANAGER_STATUS_MAX];

    if (!manager_present())
        return 0;
    snprintf(text, sizeof text, "%zu live, %llu ended, %llu refused",
             server->children->live, server->statistics.ended, server->statistics.refused);
    return manager_update(text, now);
}

struct waiting server_wait_begin(struct server *server, double until)
{
    double now = clock_seconds();
    double times[] = {until, server->stop.phase_ends, gate_wakes(&server->gate, now),
                      log_sum_up(now), notify_manager(server, now),
                      server->over_cap_count > 0 ? server->over_cap[0].until : 0};
    double wake = clock_earliest(times, sizeof times / sizeof times[0]);
    bool open = !server->model->children_accept && accept_is_open(server, now);
    bool just_opened = open && server->wait.was_closed;
    bool at_once = just_opened || server->stop.signal != 0 || (wake > 0 && wake <= now);
    double seconds = at_once ? 0 : wake > 0 ? wake - now : -1;

    update_title(server);
    for (size_t i = 0; i < server->listeners.count; i++)
        server->listeners.all[i].ready = false;
    server->wait.was_closed = !open;
    if (!open)
        server->wait.was_full = server->children->live >= server->options->max_connections;
    return (struct waiting){now, seconds, open, just_opened};
}

double server_wait_end(struct server *server, const struct waiting *waiting, int found)
{
    struct listener *all = server->listeners.all;

    if (found == -1) {
        gate_pause(&server->gate, errno, "the wait", "");
        clock_sleep(GATE_PAUSE_FIRST);
    }
    /* A wait that has slept to its end has let signals in; any other may not have (signals.h). */
    if (found == -1 || ((found > 0 || waiting->seconds == 0) &&
                        waiting->now - server->wait.heard >= server->wait.hear_period)) {
        signals_deliver();
        server->wait.heard = waiting->now;
    }
    /* Who waits when the gate has just opened was deferred, and so are all until nobody waits. */
    for (size_t i = 0; i < server->listeners.count; i++)
        if (waiting->just_opened || !all[i].ready)
            all[i].late = all[i].ready;
    double now = clock_seconds(); /* ThreadSanitizer runs handlers here: not after what follows */
    requests_handle_stop(server, now);
    gate_end_episode(&server->gate, now);
    return now;
}

void server_wait_for(struct server *server, double until, fd_set *readable, fd_set *writable,
                     int limit)
{
    struct listener *all = server->listeners.all;
    struct waiting waiting = server_wait_begin(server, until);
    struct timespec timeout = clock_timespec(waiting.seconds);

    for (size_t i = 0; waiting.open && i < server->listeners.count; i++) {
        FD_SET(DESCRIPTORS_BIT(all[i].descriptor), readable);
        if (all[i].descriptor >= limit)
            limit = all[i].descriptor + 1;
    }
    int found = pselect(limit, readable, writable, NULL, waiting.seconds < 0 ? NULL : &timeout,
                        signals_wait_mask());
    if (found == -1) {
        FD_ZERO(readable);
        if (writable != NULL)
            FD_ZERO(writable);
        found = errno == EINTR ? 0 : -1;
    }
    for (size_t i = 0; waiting.open && i < server->listeners.count; i++)
        all[i].ready = FD_ISSET(DESCRIPTORS_BIT(all[i].descriptor), readable);
    (void)server_wait_end(server, &waiting, found);
}

void server_wait(struct server *server, double until)
{
    fd_set readable;

    FD_ZERO(&readable);
    server_wait_for(server, until, &readable, NULL, 0);
}
