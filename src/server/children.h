/*
 * children.h: the table of live children, by id and in order of age, counted by source.
 *
 * A child is live until it is reaped. Its id is its pid; servers without processes number their
 * clients. When its session has ended it leaves its source (address.h), though it is still live:
 * its client may come again. All others, and only those, are in the counts of their sources.
 *
 * Cost: all is constant, and makes no system call. About 200 bytes an entry, in private memory
 * (platform.h): a large table makes no fork dearer.
 */
#ifndef CHILDREN_H
#define CHILDREN_H

#include "base/address.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct child {
    int64_t id;
    struct peer peer;
    double since;    /* when it was accepted: clock.h */
    int stop_signal; /* the last signal by which it was asked to stop; 0: it was not */
    void *own;       /* the model's: a thread, a session */

    bool owes_header;   /* a PROXY header is due before it becomes a program, and has not come */
    bool exit_recorded; /* its exit record was read (ledger.h), which says all of these: */
    struct peer client; /* the client that a PROXY header named; AF_UNSPEC: none did */
    int ending;         /* enum session_ending; of a program its exit status */
    int problem;        /* enum proxy_problem */
    int exec_error;     /* why it did not become a program, an errno; 0: nothing */
    uint64_t in, out;   /* bytes */
    /* The reaper's (fork/reaper.h): */
    struct child *exiting_next;
    double exiting_until;
    /* The table's: */
    struct child *older, *younger;
    struct child *chain; /* the next with this hash, or the next free one. NULL in one never used:
                          * the one behind it, so that a new table need not be touched */
    struct source_count *source; /* NULL: it has left it */
};

struct children {
    size_t live;                     /* how many, ... */
    size_t most_from_one;            /* ... and the most of them of any source */
    struct child *oldest, *youngest; /* `younger` and `older` lead to all others; NULL: none live */
    /* The table's: */
    size_t capacity;
    unsigned shift; /* leaves the top bits, one more for each doubling of the chains */
    uint64_t salt;
    uint32_t *sources;    /* how many sources have so many live, at least 1 */
    struct child **by_id; /* chains, at least one for each entry */
    struct source_count **by_source;
    struct child *free_child; /* the first free entry; never NULL, but beyond the last */
    struct source_count *free_source;
};

/* A table for `capacity` children. NULL with errno on failure. Never given back. */
struct children *children_new(size_t capacity);

/* Registers a child. NULL when the table is full or the id is there already. */
struct child *children_add(struct children *children, int64_t id, const struct peer *peer,
                           double since);
struct child *children_find(struct children *children, int64_t id);
void children_remove(struct children *children, struct child *child);
void children_leave_source(struct children *children, struct child *child);

/* How many are counted for the source of `peer`. */
size_t children_from(const struct children *children, const struct peer *peer);

#endif
