/*
 * fuzz_proxy.c: PROXY headers, versions 1 and 2 (proxy.h), as the bytes come.
 *
 * Input: the bytes. The parser sees them byte after byte, and whole. Catches: a read behind
 * what has come, a header that is another one when it comes in pieces, a result that changes
 * with more bytes or never comes, a size that swallows bytes of the client's, and a client whose
 * address is not the one that was sent.
 */
#include "echo/proxy.h"
#include "fuzz.h"

#include <arpa/inet.h>
#include <stdio.h>

/* Longer inputs are cut: bytes beyond the longest header show nothing more. */
#define BYTES_MAX (PROXY_HEADER_MAX + 64)

/* What the parser says of the first bytes. */
struct result {
    int found;
    enum proxy_problem problem;
    struct proxy_header header;
};

/* The bytes end where their memory does. The header is written only where one is found. */
static struct result look_at(const uint8_t *bytes, size_t size)
{
    struct result result = {.problem = PROXY_PROBLEMS};
    struct proxy_header untouched;
    char *copy = fuzz_memory(size);

    memset(&untouched, 0xa5, sizeof untouched);
    result.header = untouched;
    memcpy(copy, bytes, size);
    result.found = proxy_parse(copy, size, &result.header, &result.problem);
    FUZZ_HOLDS(result.found == 1 ||
               same_bytes(&result.header, &untouched, sizeof untouched));
    free(copy);
    return result;
}

static bool same_peer(const struct peer *one, const struct peer *other)
{
    return same_bytes(one, other, sizeof *one);
}

static bool same_result(const struct result *one, const struct result *other)
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
    struct result result;

    if (peer->name.any.sa_family == AF_UNIX)
        return;
    inet_ntop(peer->name.any.sa_family,
              v4 ? (const void *)&peer->name.v4.sin_addr : &peer->name.v6.sin6_addr, address,
              sizeof address);
    snprintf(line, sizeof line, "PROXY TCP%c %s %s %u 7\r\n", v4 ? '4' : '6', address,
             v4 ? "192.0.2.1" : "::1", address_port(&peer->name.any));
    result = look_at((const uint8_t *)line, strlen(line));
    FUZZ_HOLDS(result.found == 1 && result.header.size == strlen(line));
    FUZZ_HOLDS(result.header.known && same_peer(&result.header.peer, peer));
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

/* With all the bytes that a header may have, whatever they are, there is a result. */
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
    struct result whole = look_at(data, most), first = {.found = 0};

    while (first.found == 0 && come < most)
        first = look_at(data, ++come);
    FUZZ_HOLDS(same_result(&first, &whole));
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
