/*
 * proxy.h: the PROXY protocol's header, versions 1 and 2: a proxy says which client it forwards.
 *
 * Source: HAProxy's doc/proxy-protocol.txt, sections 2.1 (version 1) and 2.2 (version 2). What the
 * text leaves to the receiver is decided here:
 *
 * - UNKNOWN, LOCAL and UNSPEC keep the connection's own peer, as the text demands. So does DGRAM:
 *   a receiver treats a valid combination that it has no use for as UNSPEC.
 * - A Unix client is "local"; its path is not used. A v4-mapped client is its IPv4 address.
 * - Version 1 takes IPv6 addresses with a dotted tail as well, as inet_ntop writes v4-mapped ones.
 * - TLVs are skipped, also the one with a checksum: TCP has one already.
 *
 * Bytes that cannot become a header are an error at once; a line is decoded once its CRLF is there.
 * Cost: a call looks at 107 bytes at most (version 1) or a few (version 2), however many there are.
 */
#ifndef PROXY_H
#define PROXY_H

#include "base/address.h"

/* The longest header that is accepted. Version 2 allows 65,551 bytes; the largest addresses need
 * 232, and the TLVs that proxies send (host name, certificate's name, unique id) a few hundred. */
#define PROXY_HEADER_MAX 4096

/* What is wrong with a header. A child reports the number to its parent. */
enum proxy_problem {
    PROXY_RIGHT,          /* nothing */
    PROXY_NO_HEADER,      /* the bytes begin as neither version does */
    PROXY_LINE_TOO_LONG,  /* version 1: no CRLF where there has to be one */
    PROXY_LINE_CHARACTER, /* a byte that no address and no port has, or a CR or LF alone */
    PROXY_LINE_WORDS,     /* not two addresses and two ports with single spaces */
    PROXY_LINE_ADDRESS,
    PROXY_LINE_PORT,
    PROXY_COMMAND,   /* version 2: another version or command */
    PROXY_FAMILY,    /* an unknown family or transport */
    PROXY_TOO_LONG,  /* more than PROXY_HEADER_MAX */
    PROXY_TOO_SHORT, /* no room for the addresses of its family */
    PROXY_CUT,       /* found by the caller: the connection ended within the header */
    PROXY_LATE,      /* found by the caller: it was not complete in time */
    PROXY_PROBLEMS
};

/* The phrase for log lines; "unknown" for PROXY_RIGHT and for numbers that are no problem. */
const char *proxy_problem_text(int64_t problem);

struct proxy_header {
    size_t size;      /* bytes of the header; what follows is the client's */
    bool known;       /* false: the proxy names no client; keep the connection's own peer */
    struct peer peer; /* the true client, when known; all zeros otherwise */
};

/* Looks for a header at the start of the `size` bytes that have come so far. Returns 1 when it is
 * complete; 0 when more bytes are needed (call again with all of them), never once there are
 * PROXY_HEADER_MAX; -1 when it is malformed. Sets `*header` with 1 alone, `*problem` with -1. */
int proxy_parse(const char *bytes, size_t size, struct proxy_header *header,
                enum proxy_problem *problem);

#endif
