/*
 * ledger.h: the pipe on which children report to their parent (why: fork/reaper.h).
 *
 * A record is smaller than PIPE_BUF, so write(2) writes all of it or nothing. The parent reads
 * without blocking. A forked child that finds the ledger full (its parent is stopped) for a second
 * exits without a record, and the parent's sweep finds it. No sweep finds a thread, nor the worker
 * of a pool, which goes on: these wait in write(2).
 *
 * A child may have been compromised. Bytes that are no record, by magic number and checksum, are
 * skipped and counted: a torn record costs only itself. The caller checks what a whole one says.
 */
#ifndef LEDGER_H
#define LEDGER_H

#include "echo/session.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define LEDGER_MAGIC UINT64_C(0x6f6863656b726f66) /* "forkecho" where bytes are little-endian */

enum record_kind {
    RECORD_EXIT,         /* a session has ended: in, out, ending, problem, a client if named; of
                          * what was to become a program: it did not, for this error, if any */
    RECORD_ARRIVAL,      /* a child of a pool has accepted a client: its address */
    RECORD_ACCEPT_FAILED, /* a child of a pool cannot accept: error */
    RECORD_CLIENT        /* the PROXY header before a program has come, and has perhaps named the
                          * client: the program begins now */
};

/* Tests parse this struct: all members are of 64-bit words, and there is no gap. The checksum
 * starts at 0; for each word before it, it is rotated left by 13 bits and XORed with the word. */
struct record {
    uint64_t magic;      /* LEDGER_MAGIC */
    uint64_t kind;       /* enum record_kind */
    int64_t id;          /* the child's pid; in servers without processes, the client's number */
    uint64_t in, out;    /* bytes of the client's that were read, and written to it */
    int64_t ending;      /* enum session_ending */
    int64_t problem;     /* enum proxy_problem */
    int64_t error;       /* the errno of accept, or of exec */
    uint8_t client[32];  /* a struct peer: the client; AF_UNSPEC: none is given */
    uint64_t checksum;
};

#define LEDGER_SIZE (1 << 20) /* bytes of one of forked children, where the system lets it have so
                               * many: room for 10,000 that end at once */
#define LEDGER_BATCH 64       /* records that one read may bring */
#define LEDGER_JUNK_MAX 65536 /* bytes: a child that writes more does so on purpose */

enum ledger_writer { LEDGER_GIVES_UP, LEDGER_WAITS }; /* while it is full, as said above */

struct ledger {
    int read_end, write_end; /* 0: not open */
    size_t at, held;         /* what is still to be read from `batch`: where, and how many bytes */
    char batch[LEDGER_BATCH * sizeof(struct record)];
    bool emptied;            /* the last read took all that the pipe had */
    unsigned long junk;      /* bytes skipped since the caller last set this to 0 */
};

/* Opens the pipe, close-on-exec. Returns 0, or -1 with errno. */
int ledger_open(struct ledger *ledger, enum ledger_writer writer);

/* The exit record of `id`'s session, but for magic and checksum. */
struct record ledger_exit_record(int64_t id, const struct session *session);

/* Gets the client out. False where it has none, or one of a family that clients do not have. */
bool ledger_client(const struct record *record, struct peer *client);

/* Writes a record, to which it adds magic and checksum. Returns 0, or -1 with errno (EAGAIN: it
 * stays full; EPIPE: nobody would read it). Async-signal-safe. */
int ledger_write(int write_end, struct record *record);

/* Reads the next record. False when there is none now, or `junk` has reached LEDGER_JUNK_MAX: then
 * the caller should do something else first, and set it to 0. */
bool ledger_read(struct ledger *ledger, struct record *record);

#endif
