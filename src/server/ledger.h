/*
 * ledger.h: the pipe on which a child signs off.
 *
 * waitpid(-1) walks the kernel's list of children from the oldest, so with ten thousand
 * live children it is slow just when there is nothing to reap; waitpid(pid) is constant
 * (Linux 5.13). So the parent has to know who ended: a child's last act is one record on
 * this pipe. The parent reads the ledger when SIGCHLD comes and reaps those it names.
 *
 * A record is smaller than PIPE_BUF, so write(2) puts it there whole or not at all. The read
 * end is non-blocking: the parent never waits for a child. A child waits for a full ledger
 * (a stopped parent) only so long, then exits without a record, which the sweep puts right.
 * Threads, and children that go on, are swept by nobody: they wait in write(2), and the system
 * wakes one for each room. If thousands looked again and again, whoever reads would get no
 * processor.
 *
 * The parent trusts nothing that it reads here: a child may have been subverted. Each
 * record begins with a mark and ends with a seal over its fields; bytes that are no record
 * are skipped and counted, so a torn one costs itself and not those behind it. Whether the
 * id is a live child's is the reader's to check.
 *
 * Cost: one write a child; one read for up to LEDGER_BATCH records.
 */
#ifndef LEDGER_H
#define LEDGER_H

#include "echo/session.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* What a child says of its client. Made of 64-bit words without a gap: the seal is over words. */
struct record {
    uint64_t magic;/* where a record begins */
    int64_t id;    /* the child's pid; in other servers of the family, its number */
    uint64_t in, out;
    int64_t ending;      /* enum session_ending */
    int64_t problem;     /* enum proxy_problem */
    uint64_t family;     /* AF_ of the client that a PROXY header named; AF_UNSPEC: none did */
    uint64_t port;       /* its port, in network byte order */
    uint8_t address[16]; /* its IPv4 or IPv6 address, in network byte order; 0 behind it */
    uint64_t checksum;       /* that it is whole */
};

#define LEDGER_BATCH 64
#define LEDGER_JUNK_MAX 65536 /* what a pipe holds; who writes more is at it on purpose */

/* What a writer does while the ledger is full. */
enum ledger_writer { LEDGER_GIVES_UP, LEDGER_WAITS };

struct ledger {
    int read_end, write_end;
    size_t held;        /* bytes in `batch` that are still to be taken */
    char batch[LEDGER_BATCH * sizeof(struct record)];
    int emptied;        /* the last read took all there was */
    unsigned long junk; /* bytes skipped since they were last told */
};

/* Opens the pipe, close-on-exec; the write end blocks for a writer that waits. Returns 0, or -1
 * with errno. */
int ledger_open(struct ledger *ledger, enum ledger_writer writer);

/* The same with the ends of a pipe that was opened before, by an earlier program. */
void ledger_adopt(struct ledger *ledger, int read_end, int write_end);

void ledger_close(struct ledger *ledger);

/* What there is to say of `id`'s session, but for mark and seal. */
struct record ledger_exit_record(int64_t id, const struct session *session);

/* The client that a PROXY header named, if the record says one. False where it says none, or
 * what no header can: the record may be a lie, but it is an address, or nothing. */
bool ledger_client(const struct record *record, struct peer *client);

/* Puts a client into a record, as ledger_client finds it again. */
void ledger_put_client(struct record *record, const struct peer *client);

/* Marks and seals a record, and writes it to the write end. While the ledger is full it waits, or
 * tries for about a second. Returns 0, or -1 with errno: EAGAIN where it still is, EPIPE where
 * nobody is left who would read it. Async-signal-safe. */
int ledger_write(int write_end, struct record *record);

/* A child's last act before _exit: the record of `id`'s session. Returns 0, or -1 as ledger_write
 * does: a process can leave all the same, a thread has to try again, or nobody joins it. */
int ledger_write_exit(int write_end, int64_t id, const struct session *session);

/* Takes the next record. Returns 1, or 0 when there is none now, or so much junk that the
 * caller should do something else first, and reset `junk`. */
int ledger_read(struct ledger *ledger, struct record *record);

#endif
