/*
 * fuzz_access.c: blocks of addresses, and lists of them (access.h).
 *
 * Input: lines. "A block" allows, "X block" denies; any other line is an address, of a client
 * that is then asked about. Catches: a block that does not hold what it names or holds its
 * neighbour, one that is written in a form that means another, bits beyond the length that
 * are let through, and a list that decides otherwise than the longest block does.
 */
#include "echo/access.h"
#include "fuzz.h"

#include <arpa/inet.h>

/* The most that a run has: each is compared with each. */
#define RULES_MAX 32

/* The rules as they were written, for a decision that is slow and plain. */
static struct {
    struct block block;
    enum access_rule rule;
} rules[RULES_MAX];
static size_t rules_count;

static bool bit_of(const uint8_t *bytes, size_t at)
{
    return (bytes[at / 8] >> (7 - at % 8) & 1) != 0;
}

/* The bytes of a client's address, an IPv4 one's as v4-mapped, in `address`. */
static void bytes_of(const struct peer *peer, struct in6_addr *address)
{
    static const struct in6_addr prefix = {.s6_addr = {[10] = 0xff, [11] = 0xff}};

    *address = peer->name.any.sa_family == AF_INET ? prefix : peer->name.v6.sin6_addr;
    if (peer->name.any.sa_family == AF_INET)
        memcpy(address->s6_addr + 12, &peer->name.v4.sin_addr, 4);
}

/* Where a block's bits begin among those of a v4-mapped address. */
static size_t start_of(const struct block *block)
{
    return block->family == AF_INET ? 96 : 0;
}

/* Bit by bit: whether a block holds a client. */
static bool holds(const struct block *block, const struct peer *peer)
{
    struct in6_addr address;

    bytes_of(peer, &address);
    if (IN6_IS_ADDR_V4MAPPED(&address) != (block->family == AF_INET))
        return false;
    for (size_t i = 0; i < block->length; i++)
        if (bit_of(address.s6_addr, start_of(block) + i) != bit_of(block->address, i))
            return false;
    return true;
}

/* The longest block decides, a deny before an allow; then whether anyone is allowed by name. */
static bool permits(const struct peer *peer)
{
    int longest = -1;
    bool allows = false, answer = true;

    for (size_t i = 0; i < rules_count; i++) {
        int length = rules[i].block.length;

        allows = allows || rules[i].rule == ACCESS_ALLOW;
        if (!holds(&rules[i].block, peer) || length < longest)
            continue;
        answer = rules[i].rule == ACCESS_ALLOW && (length > longest || answer);
        longest = length;
    }
    return longest >= 0 ? answer : !allows;
}

/* Whether a list with this block alone names the client. */
static bool block_holds(const struct block *block, const struct peer *peer)
{
    struct access access = {.entries = NULL};
    bool named = access_add(&access, ACCESS_DENY, block) == 0 && access_names(&access, peer);

    free(access.entries);
    return named;
}

/* A client that differs from the block's first address in bit `at`; in none behind the last. */
static struct peer client_beside(const struct block *block, size_t at)
{
    uint8_t bytes[16] = {[10] = 0xff, [11] = 0xff};
    size_t start = start_of(block) / 8;

    memcpy(bytes + start, block->address, sizeof bytes - start);
    if (at < 128)
        bytes[at / 8] ^= (uint8_t)(0x80 >> at % 8);
    return peer_of(AF_INET6, bytes, 7);
}

/* It holds its first address and all that differ in a bit beyond the length, and no other. */
static void check_reach(const struct block *block)
{
    for (size_t at = 0; at <= 128; at++) {
        struct peer peer = client_beside(block, at);

        /* One bit more makes a v4-mapped address of its neighbour, which is in no shorter block. */
        if (block->family == AF_INET6 && IN6_IS_ADDR_V4MAPPED(&peer.name.v6.sin6_addr))
            continue;
        FUZZ_HOLDS(block_holds(block, &peer) == (at >= start_of(block) + block->length));
    }
}

static void check_block(const struct block *block)
{
    char text[BLOCK_TEXT_MAX], problem[BLOCK_PROBLEM_MAX];
    struct block again;
    struct peer local = peer_of(AF_UNIX, block->address, 0);

    FUZZ_HOLDS(block->family == AF_INET || block->family == AF_INET6);
    FUZZ_HOLDS(start_of(block) + block->length <= 128);
    for (size_t at = block->length; at < 128; at++)
        FUZZ_HOLDS(!bit_of(block->address, at));
    FUZZ_HOLDS(block_parse(block_text(block, text), &again, problem) == 0);
    FUZZ_HOLDS(same_bytes(&again, block, sizeof again));
    FUZZ_HOLDS(!block_holds(block, &local));
    check_reach(block);
}

/* A block that is rejected has a reason, which names the right one where only bits are wrong. */
static void check_problem(const char *problem)
{
    static const char network[] = "the network is ";
    const char *meant = strstr(problem, network);
    char other[BLOCK_PROBLEM_MAX];
    struct block block;

    FUZZ_HOLDS(memchr(problem, '\0', BLOCK_PROBLEM_MAX) != NULL && is_plain(problem));
    FUZZ_HOLDS(meant == NULL || block_parse(meant + strlen(network), &block, other) == 0);
}

static void add_rule(struct access *access, enum access_rule rule, const char *text)
{
    char problem[BLOCK_PROBLEM_MAX];
    struct block block;

    memset(problem, 'x', sizeof problem);
    if (block_parse(text, &block, problem) == -1) {
        check_problem(problem);
        return;
    }
    check_block(&block);
    if (rules_count == RULES_MAX || access_add(access, rule, &block) == -1)
        return;
    rules[rules_count].block = block;
    rules[rules_count++].rule = rule;
}

/* An IPv4 client is the same by its v4-mapped address. */
static struct peer mapped(const struct peer *peer)
{
    uint8_t bytes[16] = {[10] = 0xff, [11] = 0xff};

    memcpy(bytes + 12, &peer->name.v4.sin_addr, 4);
    return peer_of(AF_INET6, bytes, peer->name.v4.sin_port);
}

static void ask(const struct access *access, const char *text)
{
    sa_family_t family = strchr(text, ':') != NULL ? AF_INET6 : AF_INET;
    uint8_t bytes[16] = {0};
    bool named = false;
    struct peer peer, other;

    if (inet_pton(family, text, bytes) != 1)
        return;
    peer = peer_of(family, bytes, 7);
    other = family == AF_INET ? mapped(&peer) : peer;
    for (size_t i = 0; i < rules_count; i++)
        named = named || holds(&rules[i].block, &peer);
    FUZZ_HOLDS(access_permits(access, &peer) == permits(&peer));
    FUZZ_HOLDS(access_permits(access, &other) == permits(&peer));
    FUZZ_HOLDS(access_names(access, &peer) == named);
    FUZZ_HOLDS(source_equal(address_source(&peer), address_source(&other)));
    FUZZ_HOLDS(can_be_told(&peer) && can_be_told(&other));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct input input = input_of(data, size);
    struct access access = {.entries = NULL};
    char *line;

    rules_count = 0;
    while ((line = take_line(&input)) != NULL) {
        if (line[0] == 'A' && line[1] == ' ')
            add_rule(&access, ACCESS_ALLOW, line + 2);
        else if (line[0] == 'X' && line[1] == ' ')
            add_rule(&access, ACCESS_DENY, line + 2);
        else
            ask(&access, line);
        free(line);
    }
    free(access.entries);
    return 0;
}
