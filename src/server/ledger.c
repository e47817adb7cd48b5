/* ledger.c: see ledger.h. */
#include "server/ledger.h"

#include "base/clock.h"
#include "platform/platform.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <string.h>
#include <unistd.h>

_Static_assert(sizeof(struct record) == 13 * sizeof(uint64_t) &&
                   sizeof(struct record) < _POSIX_PIPE_BUF &&
                   sizeof(struct peer) == sizeof ((struct record *)0)->client,
               "a record has gaps, could be torn, or has no room for a client");

/* After a write of a child's that failed, and twice as long after each that follows: few, as where
 * thousands end at once they take the processor that their reader needs. And after a read that
 * failed: who waits would spin. Seconds. */
#define PAUSE 0.01
#define PAUSE_MAX 1.0 /* in all, a child tries for a little longer */

int ledger_open(struct ledger *ledger, enum ledger_writer writer)
{
    int ends[2];

    if (pipe(ends) == -1)
        return -1;
    *ledger = (struct ledger){.read_end = ends[0], .write_end = ends[1]};
    if (writer == LEDGER_GIVES_UP)
        platform_widen_pipe(ends[1], LEDGER_SIZE);
    if (fcntl(ends[0], F_SETFD, FD_CLOEXEC) != -1 && fcntl(ends[1], F_SETFD, FD_CLOEXEC) != -1 &&
        fcntl(ends[0], F_SETFL, O_NONBLOCK) != -1 &&
        (writer == LEDGER_WAITS || fcntl(ends[1], F_SETFL, O_NONBLOCK) != -1))
        return 0;
    close(ends[0]);
    close(ends[1]);
    return -1;
}

static uint64_t checksum_of(const struct record *record)
{
    uint64_t words[offsetof(struct record, checksum) / sizeof(uint64_t)], sum = 0;

    memcpy(words, record, sizeof words);
    for (size_t i = 0; i < sizeof words / sizeof words[0]; i++)
        sum = (sum << 13 | sum >> 51) ^ words[i];
    return sum;
}

struct record ledger_exit_record(int64_t id, const struct session *session)
{
    struct record record = {.kind = RECORD_EXIT, .id = id, .in = session->in, .out = session->out,
                            .ending = session->ending, .problem = session->header.problem};

    if (session->header.named)
        memcpy(record.client, &session->peer, sizeof record.client);
    return record;
}

bool ledger_client(const struct record *record, struct peer *client)
{
    struct peer named;

    memcpy(&named, record->client, sizeof named);
    sa_family_t family = named.name.any.sa_family;
    if (family != AF_INET && family != AF_INET6 && family != AF_UNIX)
        return false;
    *client = named;
    return true;
}

int ledger_write(int write_end, struct record *record)
{
    double pause = PAUSE;

    record->magic = LEDGER_MAGIC;
    record->checksum = checksum_of(record);
    while (pause < PAUSE_MAX) {
        if (write(write_end, record, sizeof *record) != -1)
            return 0;
        if (errno == EPIPE)
            return -1;
        if (errno != EINTR) { /* the ledger is full; what else fails may pass as well */
            clock_sleep(pause);
            pause *= 2;
        }
    }
    return -1;
}

/* Reads more into the batch. Returns whether it holds a whole record's bytes now. A read that did
 * not fill the room has emptied the pipe, so the next one is left out, once. */
static bool fill(struct ledger *ledger)
{
    size_t room = sizeof ledger->batch - ledger->held;
    ssize_t size;

    if (ledger->emptied) {
        ledger->emptied = false;
        return false;
    }
    memmove(ledger->batch, ledger->batch + ledger->at, ledger->held);
    ledger->at = 0;
    do
        size = read(ledger->read_end, ledger->batch + ledger->held, room);
    while (size == -1 && errno == EINTR);
    if (size > 0) {
        ledger->held += (size_t)size;
        /* Without a whole record this call returns false, and so no read is to be left out. */
        ledger->emptied = (size_t)size < room && ledger->held >= sizeof(struct record);
    } else if (size == -1 && errno != EAGAIN && errno != EWOULDBLOCK) {
        clock_sleep(PAUSE);
    }
    return ledger->held >= sizeof(struct record);
}

bool ledger_read(struct ledger *ledger, struct record *record)
{
    while (ledger->junk < LEDGER_JUNK_MAX && (ledger->held >= sizeof *record || fill(ledger))) {
        memcpy(record, ledger->batch + ledger->at, sizeof *record);
        bool whole = record->magic == LEDGER_MAGIC && record->checksum == checksum_of(record);
        size_t size = whole ? sizeof *record : 1; /* a record may begin with the next byte */
        ledger->at += size;
        ledger->held -= size;
        if (whole)
            return true;
        ledger->junk++;
    }
    return false;
}
