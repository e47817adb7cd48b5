/* address.c: see address.h. */
#include "base/address.h"

#include "base/parse.h"
#include "base/text.h"

#include <arpa/inet.h>
#include <net/if.h>
#include <netdb.h>
#include <stdio.h>
#include <string.h>

/* Copies `length` characters and ends them. Returns false when there is no room. */
static bool copy_part(char *part, size_t room, const char *text, size_t length)
{
    if (length >= room)
        return false;
    memcpy(part, text, length);
    part[length] = '\0';
    return true;
}

/* Gives the reason of a failure. Returns -1. */
static int fail(const char **problem, const char *why)
{
    *problem = why;
    return -1;
}

static int split_path(const char *path, struct endpoint *endpoint, const char **problem)
{
    if (strlen(path) >= sizeof ((struct sockaddr_un *)NULL)->sun_path ||
        !copy_part(endpoint->host, sizeof endpoint->host, path, strlen(path)))
        return fail(problem, "it is too long for the path of a Unix socket");
    return 0;
}

static int split_port(const char *port, struct endpoint *endpoint, const char **problem)
{
    const char *digits = "0123456789";
    const char *letters = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_+";
    long number;

    if (*port == '\0')
        return fail(problem, "the port is missing");
    if (*port == '-' || port[strspn(port, letters)] != '\0')
        return fail(problem, "the port is neither a number nor a service name");
    if (port[strspn(port, digits)] == '\0' && parse_number(port, 0, 65535, &number) == -1)
        return fail(problem, "a port is a number from 0 to 65535");
    if (!copy_part(endpoint->port, sizeof endpoint->port, port, strlen(port)))
        return fail(problem, "the service name is too long");
    return 0;
}

static int split_host(const char *host, size_t length, struct endpoint *endpoint,
                      const char **problem)
{
    if (length == 0)
        return fail(problem, "the host is missing; write * for every address");
    if (!copy_part(endpoint->host, sizeof endpoint->host, host, length))
        return fail(problem, "the host name is too long");
    return 0;
}

/* What stands in brackets has a colon, which is what they are for. It does not begin with '/', or
 * the endpoint would be taken for a path. */
static int split_brackets(const char *host, size_t length, struct endpoint *endpoint,
                          const char **problem)
{
    if (length > 0 && (host[0] == '/' || memchr(host, ':', length) == NULL))
        return fail(problem, "only an IPv6 address is written in brackets");
    return split_host(host, length, endpoint, problem);
}

int address_split(const char *text, struct endpoint *endpoint, const char **problem)
{
    const char *colon = strchr(text, ':');
    const char *close = strchr(text, ']');

    memset(endpoint, 0, sizeof *endpoint);
    if (text[0] == '/')
        return split_path(text, endpoint, problem);
    if (text[0] == '[' && close != NULL && close[1] == ':')
        return split_brackets(text + 1, (size_t)(close - text - 1), endpoint, problem) == -1
                   ? -1
                   : split_port(close + 2, endpoint, problem);
    if (text[0] == '[' || (colon != NULL && strchr(colon + 1, ':') != NULL))
        return fail(problem, "an IPv6 address is written [address]:port");
    if (colon == NULL)
        return split_port(text, endpoint, problem);
    return split_host(text, (size_t)(colon - text), endpoint, problem) == -1
               ? -1
               : split_port(colon + 1, endpoint, problem);
}

/* Adds one address unless it is there already: /etc/hosts may name one twice. */
static size_t add_address(struct address *found, size_t count, const struct sockaddr *name,
                          socklen_t length)
{
    if (length > sizeof found->name)
        return count;
    for (size_t i = 0; i < count; i++)
        if (found[i].length == length && memcmp(&found[i].name, name, length) == 0)
            return count;
    memset(&found[count], 0, sizeof found[count]);
    memcpy(&found[count].name, name, length);
    found[count].length = length;
    return count + 1;
}

static int resolve_path(const char *path, struct address *found)
{
    memset(found, 0, sizeof *found);
    found->name.local.sun_family = AF_UNIX;
    memcpy(found->name.local.sun_path, path, strlen(path) + 1);
    found->length = (socklen_t)sizeof found->name.local;
    return 1;
}

/* The port to ask getaddrinfo for: RFC 862 fixes `echo`, whatever /etc/services says. */
static const char *port_number(const char *port)
{
    return strcmp(port, "echo") == 0 ? "7" : port;
}

static const char *host_name(const struct endpoint *endpoint, bool passive)
{
    if (strcmp(endpoint->host, "*") == 0)
        return passive ? NULL : "localhost";
    return endpoint->host[0] != '\0' ? endpoint->host : "localhost";
}

int address_resolve(const struct endpoint *endpoint, bool passive, struct address *found,
                    size_t limit, const char **problem)
{
    struct addrinfo hints = {.ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM};
    struct addrinfo *list;
    size_t count = 0;
    int error;

    if (limit == 0)
        return fail(problem, "there are too many addresses");
    if (endpoint->host[0] == '/')
        return resolve_path(endpoint->host, found);
    if (passive)
        hints.ai_flags = AI_PASSIVE;
    error = getaddrinfo(host_name(endpoint, passive), port_number(endpoint->port), &hints, &list);
    if (error == EAI_SERVICE)
        return fail(problem, "there is no such service; it is written host:port, and a port "
                             "is a number or a name of services(5)");
    if (error != 0)
        return fail(problem, gai_strerror(error));
    for (struct addrinfo *each = list; each != NULL && count < limit; each = each->ai_next)
        if (each->ai_family == AF_INET || each->ai_family == AF_INET6)
            count = add_address(found, count, each->ai_addr, each->ai_addrlen);
    freeaddrinfo(list);
    if (count == 0)
        return fail(problem, "it has no IPv4 or IPv6 address");
    return (int)count;
}

static void add_ipv4(struct text *text, const struct in_addr *address)
{
    unsigned long number = ntohl(address->s_addr);

    for (int shift = 24; shift >= 0; shift -= 8) {
        text_add_number(text, number >> shift & 255);
        text_add(text, shift > 0 ? "." : "");
    }
}

/* The name of an interface; "" where it cannot be found out. To look it up takes a socket, which a
 * child may not open (process/confine.h), so the last one that was found is remembered: a child has
 * the one that its parent found. */
static const char *zone_name(unsigned interface)
{
    static _Thread_local struct {
        unsigned interface;
        char name[IF_NAMESIZE];
    } last;
    char name[IF_NAMESIZE];

    if (if_indextoname(interface, name) != NULL) {
        strcpy(last.name, name);
        last.interface = interface;
    }
    return last.interface == interface ? last.name : "";
}

/* In brackets, and a link-local address with its interface, without which it means nothing (RFC
 * 4007 section 11). With other addresses getaddrinfo does not take one. */
static void add_ipv6(struct text *text, const struct sockaddr_in6 *address)
{
    char host[INET6_ADDRSTRLEN] = "";
    const char *zone = "";

    inet_ntop(AF_INET6, &address->sin6_addr, host, sizeof host);
    if (IN6_IS_ADDR_LINKLOCAL(&address->sin6_addr))
        zone = zone_name(address->sin6_scope_id);
    text_add(text, "[");
    text_add(text, host);
    text_add(text, *zone != '\0' ? "%" : "");
    text_add(text, zone);
    text_add(text, "]");
}

static void add_port(struct text *text, const struct sockaddr *address)
{
    text_add(text, ":");
    text_add_number(text, address_port(address));
}

char *address_text(const struct sockaddr *address, char *buffer)
{
    const struct sockaddr_un *local = (const void *)address;
    char path[sizeof local->sun_path + 1] = "";
    struct text text = text_in(buffer, ADDRESS_TEXT_MAX);

    switch (address->sa_family) {
    case AF_INET:
        add_ipv4(&text, &((const struct sockaddr_in *)(const void *)address)->sin_addr);
        add_port(&text, address);
        break;
    case AF_INET6:
        add_ipv6(&text, (const void *)address);
        add_port(&text, address);
        break;
    case AF_UNIX:
        /* A path that fills sun_path, as that of a socket we were given may, has no NUL at its end.
         * An abstract name (unix(7)) begins with a NUL, which is shown as @. */
        memcpy(path, local->sun_path, sizeof local->sun_path);
        if (path[0] == '\0')
            text_add(&text, "@");
        text_add(&text, path + (path[0] == '\0'));
        break;
    default:
        text_add(&text, "unknown");
        break;
    }
    return buffer;
}

char *peer_text(const struct peer *peer, char *text)
{
    const struct sockaddr_in6 *v6 = &peer->name.v6;

    if (peer->name.any.sa_family == AF_UNIX)
        return strcpy(text, "local");
    if (peer->name.any.sa_family == AF_INET6 && IN6_IS_ADDR_V4MAPPED(&v6->sin6_addr)) {
        struct sockaddr_in v4 = {.sin_family = AF_INET, .sin_port = v6->sin6_port};

        memcpy(&v4.sin_addr, v6->sin6_addr.s6_addr + 12, sizeof v4.sin_addr);
        return address_text((const void *)&v4, text);
    }
    return address_text(&peer->name.any, text);
}

unsigned address_port(const struct sockaddr *address)
{
    if (address->sa_family == AF_INET)
        return ntohs(((const struct sockaddr_in *)(const void *)address)->sin_port);
    if (address->sa_family == AF_INET6)
        return ntohs(((const struct sockaddr_in6 *)(const void *)address)->sin6_port);
    return 0;
}

void address_set_port(struct address *address, unsigned port)
{
    if (address->name.any.sa_family == AF_INET)
        address->name.v4.sin_port = htons((uint16_t)port);
    else if (address->name.any.sa_family == AF_INET6)
        address->name.v6.sin6_port = htons((uint16_t)port);
}

struct source address_source(const struct peer *peer)
{
    struct source source = {(uint32_t)peer->name.any.sa_family, 0};
    const uint8_t *bytes = peer->name.v6.sin6_addr.s6_addr;

    if (source.kind == AF_INET6 && IN6_IS_ADDR_V4MAPPED(&peer->name.v6.sin6_addr)) {
        source.kind = AF_INET;
        memcpy(&source.net, bytes + 12, 4);
    } else if (source.kind == AF_INET6) {
        memcpy(&source.net, bytes, 8);
    } else if (source.kind == AF_INET) {
        memcpy(&source.net, &peer->name.v4.sin_addr, 4);
    }
    return source;
}

bool source_equal(struct source one, struct source other)
{
    return one.kind == other.kind && one.net == other.net;
}
