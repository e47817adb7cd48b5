/* access.c: see access.h. */
#include "echo/access.h"

#include "base/parse.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MAPPED_BITS 96 /* the prefix of a v4-mapped address, before the IPv4 address */
static const uint8_t mapped[MAPPED_BITS / 8] = {[10] = 0xff, [11] = 0xff};

struct access_entry {
    struct block block;
    enum access_rule rule;
};

static bool is_mapped(const uint8_t *address)
{
    return memcmp(address, mapped, sizeof mapped) == 0;
}

/* The bits of byte number `index` that a block of `length` bits keeps. */
static uint8_t mask_of(size_t index, size_t length)
{
    size_t bits = length > index * 8 ? length - index * 8 : 0;

    return (uint8_t)(0xff00U >> (bits < 8 ? bits : 8));
}

/* Reads an address. Returns where a length behind it begins to count, 0 or MAPPED_BITS; or -1. */
static int read_address(const char *text, size_t size, uint8_t *address)
{
    char host[INET6_ADDRSTRLEN];

    if (size >= sizeof host)
        return -1;
    memcpy(host, text, size);
    host[size] = '\0';
    if (strchr(host, ':') != NULL)
        return inet_pton(AF_INET6, host, address) == 1 ? 0 : -1;
    memcpy(address, mapped, sizeof mapped);
    return inet_pton(AF_INET, host, address + sizeof mapped) == 1 ? MAPPED_BITS : -1;
}

int block_parse(const char *text, struct block *block, char *problem)
{
    size_t size = strcspn(text, "/");
    const char *tail = text + size + 1; /* the length, if there is a '/' */
    struct block found = {.local = false}, network;
    int first = read_address(text, size, found.address);
    long length = 128 - first;
    char meant[BLOCK_TEXT_MAX];

    if (first == -1) {
        snprintf(problem, BLOCK_PROBLEM_MAX, "it is neither an IPv4 nor an IPv6 address");
        return -1;
    }
    if (text[size] == '/' && ((tail[0] == '0' && tail[1] != '\0') ||
                              parse_number(tail, 0, 128 - first, &length) == -1)) {
        snprintf(problem, BLOCK_PROBLEM_MAX, "its length is a number from 0 to %d", 128 - first);
        return -1;
    }
    found.length = (uint8_t)(first + length);
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
    bool v4 = block->length >= MAPPED_BITS && is_mapped(block->address);
    int first = v4 ? MAPPED_BITS : 0;
    char host[INET6_ADDRSTRLEN];

    inet_ntop(v4 ? AF_INET : AF_INET6, block->address + first / 8, host, sizeof host);
    snprintf(text, BLOCK_TEXT_MAX, "%s/%d", host, block->length - first);
    return text;
}

/* A client's address, of 16 bytes. Returns false for a Unix client, which has none. */
static bool read_peer(const struct peer *peer, uint8_t *address)
{
    memcpy(address, mapped, sizeof mapped);
    if (peer->name.any.sa_family == AF_INET)
        memcpy(address + sizeof mapped, &peer->name.v4.sin_addr, 4);
    else if (peer->name.any.sa_family == AF_INET6)
        memcpy(address, &peer->name.v6.sin6_addr, 16);
    else
        return false;
    return true;
}

static bool holds(const struct block *block, const uint8_t *address)
{
    size_t whole = block->length / 8;

    return !block->local && memcmp(block->address, address, whole) == 0 &&
           (block->length >= MAPPED_BITS || !is_mapped(address)) &&
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
    uint8_t address[16];
    bool local = !read_peer(peer, address);

    for (size_t i = 0; i < access->count; i++)
        if ((local ? access->entries[i].block.local : holds(&access->entries[i].block, address)) &&
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
