/*
 * fuzz_proxy.c: PROXY headers, versions 1 and 2 (proxy.h), as the bytes come.
 *
 * Input: the bytes. The parser sees them byte after byte, and whole. Catches: a read behind
 * what has come, a header that is another one when it comes in pieces, a verdict that is taken
 * back or that is never reached, a size that takes bytes of the client's, and a client whose
 * address is not the one that was sent.
 */
#include "echo/proxy.h"
#include "fuzz.h"

#include <arpa/inet.h>
#include <stdio.h>

/* Longer inputs are cut: more than a header has room for tells no more. */
#define BYTES_MAX (PROXY_HEADER_MAX + 64)

/* What the parser says of the first bytes. */
struct verdict {
    int found;
    enum proxy_problem problem;
    struct proxy_header header;
};

/* The bytes end where their memory does; nothing is written but what is told. */
static struct verdict look_at(const uint8_t *bytes, size_t size)
{
    struct verdict verdict = {.problem = PROXY_PROBLEMS};
    struct proxy_header untouched;
    char *copy = fuzz_memory(size);

    memset(&untouched, 0xa5, sizeof untouched);
    verdict.header = untouched;
    memcpy(copy, bytes, size);
    verdict.found = proxy_parse(copy, size, &verdict.header, &verdict.problem);
    FUZZ_HOLDS(verdict.found == 1 ||
               same_bytes(&verdict.header, &untouched, sizeof untouched));
    free(copy);
    return verdict;
}

static bool same_peer(const struct peer *one, const struct peer *other)
{
    return same_bytes(one, other, sizeof *one);
}

static bool same_verdict(const struct verdict *one, const struct verdict *other)
{
    if (one->found != other->found)
        return false;
    if (one->found == -1)
        return one->problem == other->problem;
    return one->found == 0 || (one->header.size == other->header.size &&
                               one->header.known == other->header.known &&
                               same_peer(&one->header.peer, &other->header.peer));
}

/* The client, written as a line of version 1, is read as the same one. */
static void check_written(const struct peer *peer)
{
    char line[256], address[INET6_ADDRSTRLEN];
    bool v4 = peer->name.any.sa_family == AF_INET;
    struct verdict verdict;

    if (peer->name.any.sa_family == AF_UNIX)
        return;
    inet_ntop(peer->name.any.sa_family,
              v4 ? (const void *)&peer->name.v4.sin_addr : &peer->name.v6.sin6_addr, address,
              sizeof address);
    snprintf(line, sizeof line, "PROXY TCP%c %s %s %u 7\r\n", v4 ? '4' : '6', address,
             v4 ? "192.0.2.1" : "::1", address_port(&peer->name.any));
    verdict = look_at((const uint8_t *)line, strlen(line));
    FUZZ_HOLDS(verdict.found == 1 && verdict.header.size == strlen(line));
    FUZZ_HOLDS(verdict.header.known && same_peer(&verdict.header.peer, peer));
}

static void check_header(const uint8_t *bytes, const struct proxy_header *header)
{
    static const struct peer none;
    sa_family_t family = header->peer.name.any.sa_family;

    FUZZ_HOLDS(header->size >= strlen("PROXY UNKNOWN\r\n") && header->size <= PROXY_HEADER_MAX);
    FUZZ_HOLDS(bytes[0] != 'P' || memcmp(bytes + header->size - 2, "\r\n", 2) == 0);
    if (!header->known) {
        FUZZ_HOLDS(same_peer(&header->peer, &none));
        return;
    }
    FUZZ_HOLDS(family == AF_INET || family == AF_INET6 || family == AF_UNIX);
    FUZZ_HOLDS(family != AF_INET6 || !IN6_IS_ADDR_V4MAPPED(&header->peer.name.v6.sin6_addr));
    FUZZ_HOLDS(can_be_told(&header->peer));
    check_written(&header->peer);
}

/* With all the bytes that a header may have, whatever they are, there is a verdict. */
static void check_no_wait_is_endless(const uint8_t *bytes, size_t size)
{
    static uint8_t padded[PROXY_HEADER_MAX];

    memset(padded, 0, sizeof padded);
    memcpy(padded, bytes, size < sizeof padded ? size : sizeof padded);
    FUZZ_HOLDS(look_at(padded, sizeof padded).found != 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    size_t most = size < BYTES_MAX ? size : BYTES_MAX, come = 0;
    struct verdict whole = look_at(data, most), first = {.found = 0};

    while (first.found == 0 && come < most)
        first = look_at(data, ++come);
    FUZZ_HOLDS(same_verdict(&first, &whole));
    check_no_wait_is_endless(data, most);
    if (whole.found == 1) {
        FUZZ_HOLDS(whole.header.size == come);
        check_header(data, &whole.header);
    } else if (whole.found == -1) {
        FUZZ_HOLDS(whole.problem > PROXY_RIGHT && whole.problem < PROXY_CUT);
        FUZZ_HOLDS(strcmp(proxy_problem_text(whole.problem), "unknown") != 0);
    }
    return 0;
}
