/* ledger.c: see ledger.h. */
#include "ledger.h"

#include "clock.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#define LEDGER_MARK UINT64_C(0x6f6863656b726f66) /* "forkecho" where bytes are little-endian */

/* How long a child tries to sign off on a full ledger, and how often it looks. */
#define SIGN_OFF_TRIES 100
#define SIGN_OFF_PAUSE 0.01

static int set_flags(int descriptor)
{
    if (fcntl(descriptor, F_SETFL, O_NONBLOCK) == -1)
        return -1;
    return fcntl(descriptor, F_SETFD, FD_CLOEXEC);
}

int ledger_open(struct ledger *ledger)
{
    int ends[2];

    memset(ledger, 0, sizeof *ledger);
    if (pipe(ends) == -1)
        return -1;
    ledger->read_end = ends[0];
    ledger->write_end = ends[1];
    if (set_flags(ends[0]) == 0 && set_flags(ends[1]) == 0)
        return 0;
    ledger_close(ledger);
    return -1;
}

void ledger_close(struct ledger *ledger)
{
    close(ledger->read_end);
    close(ledger->write_end);
}

/* A sum to which every bit of every field counts, and the order of the fields. */
static uint64_t seal_of(const struct record *record)
{
    const uint64_t fields[] = {record->mark, (uint64_t)record->id, record->in, record->out,
                               (uint64_t)record->ending};
    uint64_t seal = 0;

    for (size_t i = 0; i < sizeof fields / sizeof fields[0]; i++)
        seal = (seal << 13 | seal >> 51) ^ fields[i];
    return seal;
}

void ledger_sign_off(int write_end, int64_t id, const struct session *session)
{
    struct record record = {LEDGER_MARK, id, session->in, session->out, session->ending, 0};

    record.seal = seal_of(&record);
    for (int tries = 0; tries < SIGN_OFF_TRIES; tries++) {
        if (write(write_end, &record, sizeof record) != -1)
            return;
        if (errno == EAGAIN)
            clock_sleep(SIGN_OFF_PAUSE);
        else if (errno != EINTR)
            return; /* EPIPE: the parent is gone, and with it whoever would read this */
    }
}

/* Drops the first `size` bytes held. */
static void drop(struct ledger *ledger, size_t size)
{
    ledger->held -= size;
    memmove(ledger->batch, ledger->batch + size, ledger->held);
}

/* Reads more behind what is held. Returns whether a whole record may be there now. A read
 * that did not fill its room has emptied the pipe, so the next one is left out, once. */
static int fill(struct ledger *ledger)
{
    size_t room = sizeof ledger->batch - ledger->held;
    ssize_t size;

    if (ledger->emptied) {
        ledger->emptied = 0;
        return 0;
    }
    do
        size = read(ledger->read_end, ledger->batch + ledger->held, room);
    while (size == -1 && errno == EINTR);
    if (size > 0) {
        ledger->held += (size_t)size;
        /* Where that was no whole record, this very call has said that there is none. */
        ledger->emptied = (size_t)size < room && ledger->held >= sizeof(struct record);
    }
    return ledger->held >= sizeof(struct record);
}

/* Whether a record begins at the first byte held. */
static int whole_record(const struct ledger *ledger, struct record *record)
{
    memcpy(record, ledger->batch, sizeof *record);
    return record->mark == LEDGER_MARK && record->seal == seal_of(record);
}

/* Skips the first byte, which begins no record, and all up to where one may begin. */
static void skip_junk(struct ledger *ledger)
{
    uint64_t mark = LEDGER_MARK;
    size_t at = 1;

    while (at + sizeof mark <= ledger->held && memcmp(ledger->batch + at, &mark, sizeof mark) != 0)
        at++;
    ledger->junk += at;
    drop(ledger, at);
}

int ledger_take(struct ledger *ledger, struct record *record)
{
    while (ledger->junk < LEDGER_JUNK_MAX && (ledger->held >= sizeof *record || fill(ledger))) {
        if (whole_record(ledger, record)) {
            drop(ledger, sizeof *record);
            return 1;
        }
        skip_junk(ledger);
    }
    return 0;
}
