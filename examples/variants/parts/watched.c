/* watched.c: see watched.h. */
#include "parts/watched.h"

#include "base/clock.h"

#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

/* Sessions that have ended, for the next ones: to take a buffer from the system and give it back
 * again costs more than all else that is done here for a connection. */
#define SPARES_MAX 64

static struct watched *spares[SPARES_MAX];
static size_t spare_count;
static size_t spare_size; /* of each: a process has one service */

static struct watched *take(size_t size)
{
    if (size != spare_size)
        while (spare_count > 0)
            free(spares[--spare_count]);
    spare_size = size;
    return spare_count > 0 ? spares[--spare_count] : malloc(size);
}

void watched_free(struct watched *watched)
{
    if (spare_count < SPARES_MAX)
        spares[spare_count++] = watched;
    else
        free(watched);
}

struct watched *watched_open(const struct service *service, int descriptor,
                             const struct peer *peer, double now)
{
    struct watched *watched = take(sizeof *watched + session_buffer_size(service));

    if (watched == NULL)
        return NULL;
    (void)fcntl(descriptor, F_SETFL, O_NONBLOCK); /* a new socket has no other flag to keep */
    watched->child = NULL;
    watched->wanted = 0;
    watched->timer = (struct timer){.owner = watched};
    watched->opened = watched->moved = now;
    session_open(&watched->session, service, descriptor, peer, watched->buffer);
    return watched;
}

/* When the session is due by each of its limits, and for what. A PROXY header has one time for
 * all of it. */
static double idle_due(const struct watched *watched)
{
    const struct service *service = watched->session.service;

    if (watched->session.header.due)
        return watched->opened + header_time(service->idle);
    return service->idle > 0 ? watched->moved + service->idle : 0;
}

static double lifetime_due(const struct watched *watched)
{
    const struct service *service = watched->session.service;

    return service->lifetime > 0 ? watched->opened + service->lifetime : 0;
}

/* The pause begins when the last byte before it has moved: of the greeting, or of a header. */
static double pause_due(const struct watched *watched)
{
    return watched->moved + watched->session.unsent.pause;
}

static bool reached(double due, double now)
{
    return due > 0 && now >= due;
}

/* A read, and the write of what it has read: there nearly always is room, and else it waits. */
static void step_ready(struct watched *watched, double now)
{
    struct session *session = &watched->session;
    bool reads = session->wants != SESSION_WRITE;

    if (session_step(session))
        watched->moved = now;
    if (reads && session->wants == SESSION_WRITE)
        (void)session_step(session);
}

bool watched_step(struct watched *watched, bool ready, double now)
{
    struct session *session = &watched->session;

    if (reached(lifetime_due(watched), now))
        session_end(session, SESSION_LIFETIME);
    else if (session->wants == SESSION_PAUSE ? now >= pause_due(watched) : ready)
        step_ready(watched, now);
    else if (session->wants != SESSION_PAUSE && reached(idle_due(watched), now))
        session_end(session, SESSION_IDLE);
    return session->wants != SESSION_DONE;
}

double watched_due(const struct watched *watched)
{
    double due = watched->session.wants == SESSION_PAUSE ? pause_due(watched) : idle_due(watched);

    return clock_earlier(due, lifetime_due(watched));
}

void watched_close(struct watched *watched)
{
    session_finish(&watched->session);
    close(watched->session.descriptor);
    watched_free(watched);
}
