/*
 * address.h: text to socket addresses and back, and the source of a client.
 *
 * An address is written `port`, `host:port`, `*:port`, `[::1]:port` or `/path` (a Unix socket), the
 * same on every command line and in every log line: what one prints, another takes. `echo` is port
 * 7 (RFC 862) also where there is no /etc/services, and `localhost` 127.0.0.1 and ::1 where nothing
 * knows it (RFC 6761, 6.3). All memory is the caller's.
 */
#ifndef ADDRESS_H
#define ADDRESS_H

#include <netinet/in.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>
#include <sys/un.h>

#define ADDRESS_TEXT_MAX 128 /* with its end: a Unix path, or a scoped IPv6 address and port */

/* A client's address; clients have no Unix path, and without room for one tables stay small. */
struct peer {
    union {
        struct sockaddr any;
        struct sockaddr_in v4;
        struct sockaddr_in6 v6;
    } name;
    uint32_t user; /* whose a Unix client is (platform_peer_user); 0 for others */
};

struct address { /* to listen on or connect to */
    socklen_t length;
    union {
        struct sockaddr any;
        struct sockaddr_in v4;
        struct sockaddr_in6 v6;
        struct sockaddr_un local;
    } name;
};

struct endpoint { /* an address as it was written, in its parts */
    char host[256]; /* empty: localhost; "*": every address; or a path that starts with '/' */
    char port[64];  /* number or service name; empty for a path */
};

/* Splits `text`, without a look at the network. Returns what is wrong with it; NULL: nothing. */
const char *address_split(const char *text, struct endpoint *endpoint);

/* Resolves `endpoint` to at most `limit` different addresses, in the resolver's order. `passive`:
 * they are to be listened on; then "*" is 0.0.0.0 and ::, else it is localhost. Returns how many;
 * or -1 when there are none, and `*problem` says why. */
int address_resolve(const struct endpoint *endpoint, bool passive, struct address *found,
                    size_t limit, const char **problem);

/* Write an address that was listened on or connected to in the form that address_split takes; that
 * of a client, unmapped, which is "local" at a Unix socket. Return `text`, of ADDRESS_TEXT_MAX. */
char *address_text(const struct sockaddr *address, char *text);
char *peer_text(const struct peer *peer, char *text);

/* The client by its IPv4 address where that is v4-mapped, as at a listener for both families. */
struct peer peer_unmapped(const struct peer *peer);

/* The port of an IPv4 or IPv6 address in host order; 0 for others. */
unsigned address_port(const struct sockaddr *address);
void address_set_port(struct address *address, unsigned port);

/* Whom a connection is counted against: an IPv4 address, also a v4-mapped one; an IPv6 /64 (what a
 * customer or a machine is given: RFC 6177, RFC 4291 section 2.5.4); or the user of a Unix client.
 * All link-local addresses are of one prefix: there, whoever is on the same link (RFC 4007). */
struct source {
    uint32_t kind; /* AF_INET, AF_INET6 or AF_UNIX */
    uint32_t zone; /* the interface of a link-local address */
    uint64_t net;  /* the address or prefix, in network byte order, or the user */
};
struct source address_source(const struct peer *peer);
bool source_equal(struct source one, struct source other);

#endif
