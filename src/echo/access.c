/* access.c: see access.h. */
#include "echo/access.h"

#include "base/parse.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* A v4-mapped address: 96 bits of prefix, then the IPv4 address. */
#define MAPPED_BITS 96
#define MAPPED_BYTES 12

struct access_entry {
    struct block block;
    enum access_rule rule;
};

/* ---- reading ---- */

/* The bits of byte number `index` that a block of `length` bits keeps. */
static uint8_t mask_of(size_t index, size_t length)
{
    size_t bits = length > index * 8 ? length - index * 8 : 0;

    return (uint8_t)(0xff00U >> (bits < 8 ? bits : 8));
}

/* Reads an address of `size` characters as a block of this one address. */
static int read_address(const char *text, size_t size, struct block *block)
{
    char host[INET6_ADDRSTRLEN];

    if (size >= sizeof host)
        return -1;
    memcpy(host, text, size);
    host[size] = '\0';
    block->family = strchr(host, ':') != NULL ? AF_INET6 : AF_INET;
    block->length = block->family == AF_INET6 ? 128 : 32;
    return inet_pton(block->family, host, block->address) == 1 ? 0 : -1;
}

/* Reads the length, at most the one that the block has now. */
static int read_length(const char *text, struct block *block)
{
    long number;

    if ((text[0] == '0' && text[1] != '\0') || parse_number(text, 0, block->length, &number) == -1)
        return -1;
    block->length = (uint8_t)number;
    return 0;
}

/* Clears all bits beyond the length. Returns whether there were any. */
static bool clear_host_bits(struct block *block)
{
    bool found = false;

    for (size_t i = 0; i < sizeof block->address; i++) {
        uint8_t mask = mask_of(i, block->length);
        found = found || (block->address[i] & ~mask) != 0;
        block->address[i] &= mask;
    }
    return found;
}

/* Makes a v4-mapped block an IPv4 one. A block shorter than the prefix has lost some of its
 * bits by now, so it does not look mapped. */
static void unmap(struct block *block)
{
    static const uint8_t prefix[MAPPED_BYTES] = {[10] = 0xff, [11] = 0xff};

    if (block->family != AF_INET6 || memcmp(block->address, prefix, sizeof prefix) != 0)
        return;
    block->family = AF_INET;
    block->length = (uint8_t)(block->length - MAPPED_BITS);
    memmove(block->address, block->address + MAPPED_BYTES, 4);
    memset(block->address + 4, 0, sizeof block->address - 4);
}

int block_parse(const char *text, struct block *block, char *problem)
{
    const char *slash = strchr(text, '/');
    struct block found;
    bool host_bits;
    char network[BLOCK_TEXT_MAX];

    memset(&found, 0, sizeof found);
    if (read_address(text, slash != NULL ? (size_t)(slash - text) : strlen(text), &found) == -1) {
        snprintf(problem, BLOCK_PROBLEM_MAX, "it is neither an IPv4 nor an IPv6 address");
        return -1;
    }
    if (slash != NULL && read_length(slash + 1, &found) == -1) {
        snprintf(problem, BLOCK_PROBLEM_MAX, "its length is a number from 0 to %d", found.length);
        return -1;
    }
    host_bits = clear_host_bits(&found);
    unmap(&found);
    if (host_bits) {
        snprintf(problem, BLOCK_PROBLEM_MAX, "it has bits beyond its length; the network is %s",
                 block_text(&found, network));
        return -1;
    }
    *block = found;
    return 0;
}

char *block_text(const struct block *block, char *text)
{
    char host[INET6_ADDRSTRLEN];

    inet_ntop(block->family, block->address, host, sizeof host);
    snprintf(text, BLOCK_TEXT_MAX, "%s/%u", host, block->length);
    return text;
}

/* ---- comparing ---- */

/* The client's address as a block of this one address. A Unix client's has a family of its own. */
static struct block address_of(const struct peer *peer)
{
    struct block address = {.family = peer->name.any.sa_family};

    address.length = address.family == AF_INET6 ? 128 : 32;
    if (address.family == AF_INET)
        memcpy(address.address, &peer->name.v4.sin_addr, 4);
    else if (address.family == AF_INET6)
        memcpy(address.address, &peer->name.v6.sin6_addr, 16);
    unmap(&address);
    return address;
}

static bool holds_address(const struct block *block, const struct block *address)
{
    size_t whole = block->length / 8;

    if (block->family != address->family || memcmp(block->address, address->address, whole) != 0)
        return false;
    return block->length % 8 == 0 ||
           (address->address[whole] & mask_of(whole, block->length)) == block->address[whole];
}

bool block_holds(const struct block *block, const struct peer *peer)
{
    struct block address = address_of(peer);

    return holds_address(block, &address);
}

/* ---- lists ---- */

static int make_room(struct access *access)
{
    size_t room = access->room > 0 ? access->room * 2 : 8;
    struct access_entry *entries;

    if (access->count < access->room)
        return 0;
    entries = realloc(access->entries, room * sizeof *entries);
    if (entries == NULL)
        return -1;
    access->entries = entries;
    access->room = room;
    return 0;
}

/* Whether the first of two rules that hold the same client decides. Lengths in different families
 * cannot be compared, but such blocks never hold the same client. */
static bool decides(const struct access_entry *one, const struct access_entry *other)
{
    if (one->block.length != other->block.length)
        return one->block.length > other->block.length;
    return one->rule == ACCESS_DENY && other->rule == ACCESS_ALLOW;
}

int access_add(struct access *access, enum access_rule rule, const struct block *block)
{
    struct access_entry entry = {*block, rule};
    size_t at = 0;

    if (make_room(access) == -1)
        return -1;
    while (at < access->count && !decides(&entry, &access->entries[at]))
        at++;
    memmove(&access->entries[at + 1], &access->entries[at],
            (access->count - at) * sizeof access->entries[0]);
    access->entries[at] = entry;
    access->count++;
    access->allows = access->allows || rule == ACCESS_ALLOW;
    return 0;
}

/* The rule that decides about a client; NULL where no block holds it. */
static const struct access_entry *find_rule(const struct access *access, const struct peer *peer)
{
    struct block address = address_of(peer);

    for (size_t i = 0; i < access->count; i++)
        if (holds_address(&access->entries[i].block, &address))
            return &access->entries[i];
    return NULL;
}

bool access_permits(const struct access *access, const struct peer *peer)
{
    const struct access_entry *entry = find_rule(access, peer);

    if (entry != NULL)
        return entry->rule == ACCESS_ALLOW;
    return !access->allows || peer->name.any.sa_family == AF_UNIX;
}

bool access_names(const struct access *access, const struct peer *peer)
{
    return find_rule(access, peer) != NULL;
}

void access_free(struct access *access)
{
    free(access->entries);
    *access = (struct access){.entries = NULL};
}
