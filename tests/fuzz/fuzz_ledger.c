/*
 * fuzz_ledger.c: the ledger, written by children of which some were compromised (ledger.h).
 *
 * Input: a row of acts, each a byte and what it needs: a child writes its exit record, junk, a
 * record that is torn, one with a bit turned, a lie with the right checksum, a flood, or the parent
 * reads what there is. All of it goes through a real pipe. Catches: a record that is read and was
 * never written, one that is lost behind junk, changed or in another order,
 * bytes that are counted neither as records nor as junk, a parent that never gets away from
 * junk, and a client's address that no header can have named.
 */
#include "fuzz.h"
#include "server/ledger.h"

#include <errno.h>
#include <unistd.h>

/* What may lie in the pipe: less than any pipe holds, as a child that finds it full waits. */
#define UNREAD_MAX 32768
#define RECORDS_MAX 2048

/* What an act is; any other number is one of these again. */
enum act { ACT_EXIT, ACT_JUNK, ACT_TORN, ACT_TURNED, ACT_LIE, ACT_FLOOD, ACT_TAKE, ACTS };

/* One run, and all records that it wrote whole, in order. */
static struct {
    struct ledger ledger;
    size_t written, taken;             /* of `genuine` */
    size_t strangers;                 /* taken, and never written: bytes that look like one */
    unsigned long long bytes, unread; /* written to the pipe, and what of that is not yet taken */
    unsigned long long junk;          /* that the ledger has counted */
} run;
static struct record genuine[RECORDS_MAX];

/* The checksum, by its description in ledger.h. */
static uint64_t checksum_of(const struct record *record)
{
    const unsigned char *bytes = (const void *)record;
    uint64_t sum = 0, word;

    for (size_t at = 0; at < offsetof(struct record, checksum); at += sizeof word) {
        memcpy(&word, bytes + at, sizeof word);
        sum = (sum * 8192 + sum / (UINT64_C(1) << 51)) ^ word;
    }
    return sum;
}

/* A session as it may have ended: its fields are the input's. */
static struct session session_from(struct input *input)
{
    static const sa_family_t families[] = {AF_INET, AF_INET6, AF_UNIX};
    struct session session = {.in = take_word(input, 8), .out = take_word(input, 8)};
    uint8_t kind = take_byte(input), address[16];

    session.ending = (enum session_ending)(kind % SESSION_ENDINGS);
    session.header.problem = (enum proxy_problem)(take_byte(input) % PROXY_PROBLEMS);
    for (size_t i = 0; i < sizeof address; i++)
        address[i] = take_byte(input);
    session.header.named = kind >= 128;
    session.peer = peer_of(families[kind / 8 % FUZZ_LENGTH(families)], address, address[15]);
    return session;
}

static void remember(const struct record *record)
{
    genuine[run.written++] = *record;
    run.bytes += sizeof *record;
    run.unread += sizeof *record;
}

static void write_bytes(const void *bytes, size_t size)
{
    if (write(run.ledger.write_end, bytes, size) != (ssize_t)size)
        fuzz_fail(__FILE__, __LINE__, "the pipe has room");
    run.bytes += size;
    run.unread += size;
}

/* A record with its right checksum, about a child that the input makes up. */
static struct record record_from(struct input *input)
{
    int64_t id = (int64_t)take_word(input, 4);
    struct session session = session_from(input);
    struct record record = ledger_exit_record(id, &session);

    record.magic = LEDGER_MAGIC;
    record.checksum = checksum_of(&record);
    return record;
}

static void write_exit(struct input *input)
{
    int64_t id = (int64_t)take_word(input, 4);
    struct session session = session_from(input);
    struct record record = ledger_exit_record(id, &session);

    (void)ledger_write(run.ledger.write_end, &record);
    record.checksum = checksum_of(&record);
    remember(&record);
}

/* A whole record, of which some words say anything, with the checksum that fits. */
static void write_lie(struct input *input)
{
    struct record record = record_from(input);

    record.id = (int64_t)take_word(input, 8);
    record.ending = (int64_t)take_word(input, 8);
    record.problem = (int64_t)take_word(input, 8);
    for (size_t i = 0; i < sizeof record.client; i++)
        record.client[i] = take_byte(input);
    record.kind = take_word(input, 1);
    record.checksum = checksum_of(&record);
    if (write(run.ledger.write_end, &record, sizeof record) != (ssize_t)sizeof record)
        fuzz_fail(__FILE__, __LINE__, "the pipe has room");
    remember(&record);
}

static void write_turned(struct input *input)
{
    struct record record = record_from(input);
    unsigned char bytes[sizeof record];
    size_t bit = (size_t)take_word(input, 2) % (8 * sizeof record);

    memcpy(bytes, &record, sizeof record);
    bytes[bit / 8] ^= (unsigned char)(1U << bit % 8);
    write_bytes(bytes, sizeof bytes);
}

static void write_torn(struct input *input)
{
    struct record record = record_from(input);

    write_bytes(&record, take_byte(input) % sizeof record);
}

/* A client that a record names is one that there can be, and the one that it names. */
static void check_client(const struct record *record, const struct peer *client)
{
    sa_family_t family = client->name.any.sa_family;

    FUZZ_HOLDS(family == AF_INET || family == AF_INET6 || family == AF_UNIX);
    FUZZ_HOLDS(same_bytes(record->client, client, sizeof *client) && can_be_told(client));
}

/* Records are taken as they were written; what else looks like one has at least its checksum. */
static void check_taken(const struct record *record)
{
    struct peer client;

    FUZZ_HOLDS(record->magic == LEDGER_MAGIC && record->checksum == checksum_of(record));
    if (run.taken < run.written && same_bytes(record, &genuine[run.taken], sizeof *record))
        run.taken++;
    else
        run.strangers++;
    if (ledger_client(record, &client))
        check_client(record, &client);
}

/* As the server does it: all there is, and where there is much junk, in several goes. */
static void take_all(void)
{
    size_t most = (size_t)(run.bytes / LEDGER_JUNK_MAX) + 2, goes = 0;
    struct record record;

    do {
        FUZZ_HOLDS(goes++ < most);
        run.junk += run.ledger.junk;
        run.ledger.junk = 0;
        while (ledger_read(&run.ledger, &record))
            check_taken(&record);
    } while (run.ledger.junk >= LEDGER_JUNK_MAX);
    run.junk += run.ledger.junk;
    run.ledger.junk = 0;
    FUZZ_HOLDS(run.ledger.held < sizeof record);
    FUZZ_HOLDS(run.bytes == (run.taken + run.strangers) * sizeof record + run.junk +
                                run.ledger.held);
    run.unread = run.ledger.held;
}

static void write_flood(struct input *input)
{
    struct input part = take_part(input, 32);
    size_t times = take_byte(input);

    for (size_t i = 0; i < times && part.left > 0; i++)
        write_bytes(part.at, part.left);
}

static void act(struct input *input)
{
    struct input part;

    switch ((enum act)(take_byte(input) % ACTS)) {
    case ACT_EXIT: write_exit(input); break;
    case ACT_TORN: write_torn(input); break;
    case ACT_TURNED: write_turned(input); break;
    case ACT_LIE: write_lie(input); break;
    case ACT_FLOOD: write_flood(input); break;
    case ACT_JUNK:
        part = take_part(input, take_byte(input));
        write_bytes(part.at, part.left);
        break;
    default: take_all(); break;
    }
    if (run.unread > UNREAD_MAX)
        take_all();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct input input = input_of(data, size);
    struct record last = {.magic = LEDGER_MAGIC, .kind = RECORD_EXIT, .id = 4711};

    memset(&run, 0, sizeof run);
    if (ledger_open(&run.ledger, LEDGER_GIVES_UP) == -1)
        return 0;
    while (input.left > 0 && run.written < RECORDS_MAX - 1)
        act(&input);
    /* One more record is found behind whatever there was, and those before it as well. */
    last.checksum = checksum_of(&last);
    FUZZ_HOLDS(write(run.ledger.write_end, &last, sizeof last) == (ssize_t)sizeof last);
    remember(&last);
    take_all();
    FUZZ_HOLDS(run.taken == run.written || run.strangers > 0);
    close(run.ledger.read_end);
    close(run.ledger.write_end);
    return 0;
}
