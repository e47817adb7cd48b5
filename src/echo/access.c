/* access.c: see access.h. */
#include "echo/access.h"

#include "base/parse.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MAPPED_BITS 96 /* the prefix of a v4-mapped address, before the IPv4 address */

struct access_entry {
    struct block block;
    enum access_rule rule;
};

/* The bits of byte number `index` that a block of `length` bits keeps. */
static uint8_t mask_of(size_t index, size_t length)
{
    size_t bits = length > index * 8 ? length - index * 8 : 0;

    return (uint8_t)(0xff00U >> (bits < 8 ? bits : 8));
}

/* A block of v4-mapped addresses is one of IPv4. */
static void unmap(struct block *block)
{
    static const uint8_t mapped[MAPPED_BITS / 8] = {[10] = 0xff, [11] = 0xff};

    if (block->family == AF_INET || block->length < MAPPED_BITS ||
        memcmp(block->address, mapped, sizeof mapped) != 0)
        return;
    block->family = AF_INET;
    block->length -= MAPPED_BITS;
    memcpy(block->address, block->address + sizeof mapped, 4);
    memset(block->address + 4, 0, sizeof block->address - 4);
}

int block_parse(const char *text, struct block *block, char *problem)
{
    size_t size = strcspn(text, "/");
    const char *tail = text + size + 1; /* the length, if there is a '/' */
    bool v6 = memchr(text, ':', size) != NULL;
    struct block found = {.family = v6 ? AF_INET6 : AF_INET}, network;
    char host[INET6_ADDRSTRLEN] = "", meant[BLOCK_TEXT_MAX];
    long most = v6 ? 128 : 32, length = most;

    if (size < sizeof host)
        memcpy(host, text, size);
    if (inet_pton(found.family, host, found.address) != 1) {
        snprintf(problem, BLOCK_PROBLEM_MAX, "it is neither an IPv4 nor an IPv6 address");
        return -1;
    }
    if (text[size] == '/' && ((tail[0] == '0' && tail[1] != '\0') ||
                              parse_number(tail, 0, most, &length) == -1)) {
        snprintf(problem, BLOCK_PROBLEM_MAX, "its length is a number from 0 to %ld", most);
        return -1;
    }
    found.length = (uint8_t)length;
    unmap(&found);
    network = found;
    for (size_t i = 0; i < sizeof network.address; i++)
        network.address[i] &= mask_of(i, network.length);
    if (memcmp(network.address, found.address, sizeof network.address) != 0) {
        snprintf(problem, BLOCK_PROBLEM_MAX, "it has bits beyond its length; the network is %s",
                 block_text(&network, meant));
        return -1;
    }
    *block = found;
    return 0;
}

char *block_text(const struct block *block, char *text)
{
    char host[INET6_ADDRSTRLEN];

    inet_ntop(block->family, block->address, host, sizeof host);
    snprintf(text, BLOCK_TEXT_MAX, "%s/%d", host, block->length);
    return text;
}

/* A Unix client has no address, and the block of these no length. */
static bool holds(const struct block *block, const struct peer *peer)
{
    const uint8_t *address = block->family == AF_INET
                                 ? (const uint8_t *)&peer->name.v4.sin_addr
                                 : (const uint8_t *)&peer->name.v6.sin6_addr;
    size_t whole = block->length / 8;

    return block->family == peer->name.any.sa_family &&
           memcmp(block->address, address, whole) == 0 &&
           (block->length % 8 == 0 ||
            (address[whole] & mask_of(whole, block->length)) == block->address[whole]);
}

/* Whether the first of two rules that hold the same client decides. */
static bool decides(const struct access_entry *one, const struct access_entry *other)
{
    return one->block.length > other->block.length ||
           (one->block.length == other->block.length && one->rule == ACCESS_DENY);
}

/* The rule that decides about a client; NULL where no block holds it. */
static const struct access_entry *find_rule(const struct access *access, const struct peer *peer)
{
    const struct access_entry *found = NULL;
    struct peer plain = peer_unmapped(peer);

    for (size_t i = 0; i < access->count; i++)
        if (holds(&access->entries[i].block, &plain) &&
            (found == NULL || decides(&access->entries[i], found)))
            found = &access->entries[i];
    return found;
}

int access_add(struct access *access, enum access_rule rule, const struct block *block)
{
    struct access_entry *entries = realloc(access->entries, (access->count + 1) * sizeof *entries);

    if (entries == NULL)
        return -1;
    access->entries = entries;
    access->entries[access->count++] = (struct access_entry){*block, rule};
    access->allows = access->allows || rule == ACCESS_ALLOW;
    return 0;
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
