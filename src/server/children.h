/*
 * children.h: the table of live children, by id and in order of age, counted by source.
 *
 * A child is live from the moment it is registered until it is reaped. Its id is its pid;
 * servers of the family without processes number their clients. The table holds at most
 * as many as it was made for, and makes no system call.
 *
 * A client's source is whom its connection is counted against: an IPv4 address, an IPv6 network
 * (/64), or all clients of Unix sockets (address.h). A child whose session has ended leaves its
 * source, though it is still live: its client may come again.
 *
 * Invariants: children_live is the number of entries; the counts of all sources add up to
 * it, less those that have left their source; an id is there once.
 *
 * Cost: add, find and remove are constant (chained hashing, at least a chain for each
 * entry, chains salted so that a client cannot choose addresses that share one). Visiting
 * all is linear in the live ones. About 200 bytes an entry, in private memory, which children do
 * not inherit (platform.h): so a large table makes no fork dearer.
 */
#ifndef CHILDREN_H
#define CHILDREN_H

#include "base/address.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct children;

struct child {
    int64_t id;
    struct peer peer;
    double since;    /* when it was accepted: clock.h */
    int stop_signal; /* the last signal by which it was asked to stop; 0: it was not */
    void *own;       /* the model's: a thread, a session */

    bool exit_recorded; /* its exit record was read (ledger.h), which says all of these: */
    struct peer client; /* the client that a PROXY header named; AF_UNSPEC: none did */
    int ending;         /* enum session_ending */
    int problem;        /* enum proxy_problem */
    uint64_t in, out;   /* bytes */

    /* Its reaper's, which sets them and uses them (fork/reaper.h). */
    struct child *exiting_next;
    double exiting_until;

    /* The table's own. */
    struct child *older, *younger; /* in order of age */
    struct child *chain;           /* the next with this hash, or the next free one */
    struct source_count *source;   /* its source's count; NULL: it is counted there no more */
};

/* A table for `capacity` children. NULL with errno on failure. Never given back. */
struct children *children_new(size_t capacity);

/* Registers a child. NULL when the table is full or the id is there already. */
struct child *children_add(struct children *children, int64_t id, const struct peer *peer,
                           double since);

struct child *children_find(struct children *children, int64_t id);
void children_remove(struct children *children, struct child *child);

/* Counts it no more for its source. */
void children_leave_source(struct children *children, struct child *child);

size_t children_live(const struct children *children);

/* How many live children are counted for the source of `peer`. */
size_t children_from(const struct children *children, const struct peer *peer);

/* The most live children of one source. Linear in the live ones: for a status line. */
size_t children_most_from_one(const struct children *children);

/* The oldest child, NULL when there is none; `->younger` leads to all others. */
struct child *children_oldest(const struct children *children);

/* The youngest one, NULL when there is none; `->older` leads to all others. */
struct child *children_youngest(const struct children *children);

#endif
