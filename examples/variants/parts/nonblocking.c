/* nonblocking.c: see nonblocking.h. */
#include "parts/nonblocking.h"

#include "base/clock.h"

#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

/* The memory of sessions that have ended, for the next ones: to get a buffer from the system and to
 * give it back costs more than all else that is done here for a connection. */
#define SPARES_MAX 64

static struct nonblocking *spares[SPARES_MAX]; /* of one size: a process has one service */
static size_t spare_count;

void nonblocking_free(struct nonblocking *nonblocking)
{
    if (spare_count < SPARES_MAX)
        spares[spare_count++] = nonblocking;
    else
        free(nonblocking);
}

struct nonblocking *nonblocking_open(const struct service *service, const struct client *client,
                                     double now)
{
    struct nonblocking *nonblocking =
        spare_count > 0 ? spares[--spare_count]
                        : malloc(sizeof *nonblocking + session_buffer_size(service));

    if (nonblocking == NULL)
        return NULL;
    (void)fcntl(client->descriptor, F_SETFL, O_NONBLOCK); /* it has no other flag yet */
    nonblocking->child = NULL;
    nonblocking->wanted = 0;
    nonblocking->timer = (struct timer){.owner = nonblocking};
    nonblocking->opened = nonblocking->moved = now;
    session_open(&nonblocking->session, service, client->descriptor, &client->peer,
                 nonblocking->buffer);
    return nonblocking;
}

/* When the session reaches each of its limits. A PROXY header has one time for all of it. */
static double idle_due(const struct nonblocking *nonblocking)
{
    const struct service *service = nonblocking->session.service;

    if (nonblocking->session.header.due)
        return nonblocking->opened + session_header_time(service->idle);
    return service->idle > 0 ? nonblocking->moved + service->idle : 0;
}

static double lifetime_due(const struct nonblocking *nonblocking)
{
    const struct service *service = nonblocking->session.service;

    return service->lifetime > 0 ? nonblocking->opened + service->lifetime : 0;
}

/* The pause begins when the last byte before it has moved: of the greeting, or of a header. */
static double pause_due(const struct nonblocking *nonblocking)
{
    return nonblocking->moved + nonblocking->session.unsent.pause;
}

static bool reached(double due, double now)
{
    return due > 0 && now >= due;
}

/* A read, and the write of what it has read: there nearly always is room, and else it waits. */
static void step_ready(struct nonblocking *nonblocking, double now)
{
    struct session *session = &nonblocking->session;
    bool reads = session->wants != SESSION_WRITE;

    if (session_step(session))
        nonblocking->moved = now;
    if (reads && session->wants == SESSION_WRITE)
        (void)session_step(session);
}

bool nonblocking_step(struct nonblocking *nonblocking, bool ready, double now)
{
    struct session *session = &nonblocking->session;

    if (reached(lifetime_due(nonblocking), now))
        session_end(session, SESSION_LIFETIME);
    else if (session->wants == SESSION_PAUSE ? now >= pause_due(nonblocking) : ready)
        step_ready(nonblocking, now);
    else if (session->wants != SESSION_PAUSE && reached(idle_due(nonblocking), now))
        session_end(session, SESSION_IDLE);
    return session->wants != SESSION_DONE;
}

double nonblocking_due(const struct nonblocking *nonblocking)
{
    bool pauses = nonblocking->session.wants == SESSION_PAUSE;

    return clock_earlier(pauses ? pause_due(nonblocking) : idle_due(nonblocking),
                         lifetime_due(nonblocking));
}

void nonblocking_close(struct nonblocking *nonblocking)
{
    session_finish(&nonblocking->session);
    close(nonblocking->session.descriptor);
}
