/* lines.c: the lines of the log that are about clients: refuse, end, status (parts.h). */
#include "server/parts.h"

#include "base/clock.h"
#include "process/log.h"

#include <stdio.h>

void lines_log_refusal(const struct peer *peer, const char *why)
{
    char from[ADDRESS_TEXT_MAX];

    log_refusal("refuse from=%s why=%s", peer_text(peer, from), why);
}

/* Room for "from=CLIENT via=PROXY", and for `signal-N` or `proxy why="..."`. */
#define PARTIES_MAX (2 * ADDRESS_TEXT_MAX + 16)
#define HOW_MAX 96

/* Whom a child served: its peer, or the client that this has named, by way of it. */
static char *parties_text(const struct child *child, char *text)
{
    char peer[ADDRESS_TEXT_MAX], client[ADDRESS_TEXT_MAX];

    peer_text(&child->peer, peer);
    if (child->client.name.any.sa_family == AF_UNSPEC)
        snprintf(text, PARTIES_MAX, "from=%s", peer);
    else
        snprintf(text, PARTIES_MAX, "from=%s via=%s", peer_text(&child->client, client), peer);
    return text;
}

static char *how_text(const struct child *child, int signal, char *text)
{
    const char *ending = session_ending_name(child->ending);

    if (signal != 0)
        snprintf(text, HOW_MAX, "signal-%d", signal);
    else if (child->ending == SESSION_PROXY)
        snprintf(text, HOW_MAX, "%s why=\"%s\"", ending, proxy_problem_text(child->problem));
    else
        snprintf(text, HOW_MAX, "%s", ending);
    return text;
}

void lines_log_end(const struct server *server, const struct child *child, int signal)
{
    char parties[PARTIES_MAX], bytes[64] = "in=- out=-", how[HOW_MAX];

    if (!log_shows(LOG_CLIENTS))
        return;
    if (child->exit_recorded)
        snprintf(bytes, sizeof bytes, "in=%llu out=%llu", (unsigned long long)child->in,
                 (unsigned long long)child->out);
    log_event(LOG_CLIENTS, "end pid=%lld %s %s secs=%.3f how=%s live=%zu", (long long)child->id,
              parties_text(child, parties), bytes, clock_seconds() - child->since,
              how_text(child, signal, how), children_live(server->children) - 1);
}

void lines_log_status(const struct server *server, size_t zombies)
{
    const struct statistics *count = &server->statistics;
    const struct child *oldest = children_oldest(server->children);
    double now = clock_seconds();

    log_event(LOG_NORMAL,
              "status live=%zu peak=%zu accepted=%llu ended=%llu refused=%llu deferred=%llu "
              "in=%llu out=%llu zombies=%zu deferred-cap=%llu deferred-failure=%llu "
              "source-max=%zu oldest=%.3f uptime=%.3f",
              children_live(server->children), count->peak, count->accepted, count->ended,
              count->refused, count->deferred, count->in, count->out, zombies,
              count->deferred_cap, count->deferred - count->deferred_cap,
              children_most_from_one(server->children), oldest != NULL ? now - oldest->since : 0,
              now - server->started);
}
