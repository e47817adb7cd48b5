/*
 * access.h: CIDR blocks, and lists of blocks whose clients are permitted or denied.
 *
 * A block is written `10.0.0.0/8`, `2001:db8::/32`, or as one address (RFC 4632 section 3.1; RFC
 * 4291 section 2.3). A v4-mapped address (RFC 4291 section 2.5.5.2) counts as the IPv4 one: so no
 * client escapes a rule by its socket's family. A shorter IPv6 block holds no IPv4 client.
 *
 * The longest block that holds a client decides; where it is both allowed and denied, it is denied.
 * A client that no block holds is permitted, unless the list has an allow. Clients of a Unix socket
 * are in a block of their own alone, and else permitted: there the socket's file decides.
 * Cost: a question takes a few nanoseconds a rule. Without rules nothing is allocated.
 */
#ifndef ACCESS_H
#define ACCESS_H

#include "base/address.h"

#define BLOCK_TEXT_MAX (INET6_ADDRSTRLEN + 4) /* a block's text, "/128" and its end */
#define BLOCK_PROBLEM_MAX 128                 /* what is wrong with one: a phrase and a block */

struct block {
    sa_family_t family;  /* AF_INET; AF_INET6; AF_UNIX: all clients of Unix sockets */
    uint8_t length;      /* bits that count */
    uint8_t address[16]; /* in network byte order; all bits beyond `length` are 0 */
};

/* Reads a block. Strict: no bits beyond the length, no leading zeros, no name, no zone. Returns 0;
 * or -1 with `block` untouched and the reason in `problem`, of BLOCK_PROBLEM_MAX characters. */
int block_parse(const char *text, struct block *block, char *problem);

/* Writes a block, always with its length, into `text`, of BLOCK_TEXT_MAX. Returns that. */
char *block_text(const struct block *block, char *text);

enum access_rule { ACCESS_ALLOW, ACCESS_DENY };

struct access { /* a list of rules; all zeros: without rules */
    struct access_entry *entries; /* the owner's to free */
    size_t count;
    bool allows; /* some rule is an allow */
};

/* Adds a rule, in any order. Returns 0, or -1 with errno (ENOMEM) and the list as it was. */
int access_add(struct access *access, enum access_rule rule, const struct block *block);

/* Whether the client may be served; for a list of proxies, whether any block holds the client. */
bool access_permits(const struct access *access, const struct peer *peer);
bool access_names(const struct access *access, const struct peer *peer);

#endif
