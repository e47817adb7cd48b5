/* address.c: see address.h. */
#include "base/address.h"

#include "base/parse.h"
#include "base/text.h"

#include <arpa/inet.h>
#include <net/if.h>
#include <netdb.h>
#include <string.h>
#include <strings.h>

/* Returns as address_split does. */
static const char *split_port(const char *port, struct endpoint *endpoint)
{
    const char *letters = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_+";
    long number;

    if (*port == '\0')
        return "the port is missing";
    if (*port == '-' || port[strspn(port, letters)] != '\0')
        return "the port is neither a number nor a service name";
    if (port[strspn(port, "0123456789")] == '\0' && parse_number(port, 0, 65535, &number) == -1)
        return "a port is a number from 0 to 65535";
    if (strlen(port) >= sizeof endpoint->port)
        return "the service name is too long";
    strcpy(endpoint->port, port);
    return NULL;
}

const char *address_split(const char *text, struct endpoint *endpoint)
{
    const char *host = text, *colon = strchr(text, ':'), *end = colon, *close = strchr(text, ']');

    *endpoint = (struct endpoint){.host = ""};
    if (text[0] == '/') {
        if (strlen(text) >= sizeof ((struct sockaddr_un *)NULL)->sun_path)
            return "it is too long for the path of a Unix socket";
        strcpy(endpoint->host, text);
        return NULL;
    }
    if (text[0] == '[' && close != NULL && close[1] == ':') {
        host++;
        end = close;
        colon = close + 1;
        /* A '/' would make a path of the endpoint. */
        if (host < end && (*host == '/' || memchr(host, ':', (size_t)(end - host)) == NULL))
            return "only an IPv6 address is written in brackets";
    } else if (text[0] == '[' || (colon != NULL && strchr(colon + 1, ':') != NULL)) {
        return "an IPv6 address is written [address]:port";
    }
    if (colon == NULL)
        return split_port(text, endpoint);
    if (host == end)
        return "the host is missing; write * for every address";
    if ((size_t)(end - host) >= sizeof endpoint->host)
        return "the host name is too long";
    memcpy(endpoint->host, host, (size_t)(end - host));
    return split_port(colon + 1, endpoint);
}

/* Adds one address, unless it is of another kind or there already: /etc/hosts may have it twice. */
static size_t add_address(struct address *found, size_t count, const struct addrinfo *info)
{
    if ((info->ai_family != AF_INET && info->ai_family != AF_INET6) ||
        info->ai_addrlen > sizeof found->name)
        return count;
    for (size_t i = 0; i < count; i++)
        if (found[i].length == info->ai_addrlen &&
            memcmp(&found[i].name, info->ai_addr, info->ai_addrlen) == 0)
            return count;
    memset(&found[count], 0, sizeof found[count]);
    memcpy(&found[count].name, info->ai_addr, info->ai_addrlen);
    found[count].length = info->ai_addrlen;
    return count + 1;
}

/* Adds the addresses of a host (NULL: every address) to the `*count` that are there. Returns what
 * getaddrinfo does. */
static int look_up(const char *host, const char *port, bool passive, struct address *found,
                   size_t limit, size_t *count)
{
    struct addrinfo hints = {.ai_flags = passive ? AI_PASSIVE : 0, .ai_socktype = SOCK_STREAM};
    struct addrinfo *list;
    int error = getaddrinfo(host, port, &hints, &list);

    if (error != 0)
        return error;
    for (struct addrinfo *each = list; each != NULL && *count < limit; each = each->ai_next)
        *count = add_address(found, *count, each);
    freeaddrinfo(list);
    return 0;
}

/* Whether a name is for loopback addresses, whoever knows it (RFC 6761, 6.3). */
static bool is_localhost(const char *host)
{
    static const char name[] = "localhost";
    const size_t size = sizeof name - 1;
    size_t length = strlen(host);

    length -= length > 0 && host[length - 1] == '.';
    return length >= size && strncasecmp(host + length - size, name, size) == 0 &&
           (length == size || host[length - size - 1] == '.');
}

int address_resolve(const struct endpoint *endpoint, bool passive, struct address *found,
                    size_t limit, const char **problem)
{
    const char *port = strcmp(endpoint->port, "echo") == 0 ? "7" : endpoint->port;
    const char *host = endpoint->host;
    size_t count = 0;
    int error;

    *problem = limit == 0 ? "there are too many addresses" : "it has no IPv4 or IPv6 address";
    if (limit == 0)
        return -1;
    if (host[0] == '/') {
        *found = (struct address){sizeof found->name.local, {.local = {.sun_family = AF_UNIX}}};
        strcpy(found->name.local.sun_path, host);
        return 1;
    }
    if (host[0] == '\0' || strcmp(host, "*") == 0)
        host = host[0] == '*' && passive ? NULL : "localhost";
    error = look_up(host, port, passive, found, limit, &count);
    if (error != 0 && error != EAI_SERVICE && host != NULL && is_localhost(host)) {
        error = look_up("127.0.0.1", port, passive, found, limit, &count);
        (void)look_up("::1", port, passive, found, limit, &count);
    }
    if (error == 0)
        return count > 0 ? (int)count : -1;
    *problem = error == EAI_SERVICE ? "there is no such service; it is written host:port, and a "
                                      "port is a number or a name of services(5)"
                                    : gai_strerror(error);
    return -1;
}

static void add_ipv4(struct text *text, const struct sockaddr_in *address)
{
    unsigned long number = ntohl(address->sin_addr.s_addr);

    for (int shift = 24; shift >= 0; shift -= 8) {
        text_add_number(text, number >> shift & 255);
        text_add(text, shift > 0 ? "." : ":");
    }
    text_add_number(text, ntohs(address->sin_port));
}

/* The name of an interface; "" where it cannot be found out. To look it up takes a socket, which a
 * child may not open (process/confine.h): it has the last one that its parent found. */
static const char *zone_name(unsigned interface)
{
    static _Thread_local unsigned last;
    static _Thread_local char last_name[IF_NAMESIZE];
    char name[IF_NAMESIZE];

    if (if_indextoname(interface, name) != NULL) {
        strcpy(last_name, name);
        last = interface;
    }
    return last == interface ? last_name : "";
}

/* A link-local address means nothing without its interface (RFC 4007 section 11); with others
 * getaddrinfo does not take one. */
static void add_ipv6(struct text *text, const struct sockaddr_in6 *address)
{
    char host[INET6_ADDRSTRLEN] = "";
    bool local = IN6_IS_ADDR_LINKLOCAL(&address->sin6_addr);
    const char *zone = local ? zone_name(address->sin6_scope_id) : "";

    inet_ntop(AF_INET6, &address->sin6_addr, host, sizeof host);
    text_add(text, "[");
    text_add(text, host);
    text_add(text, *zone != '\0' ? "%" : "");
    text_add(text, zone);
    text_add(text, "]:");
    text_add_number(text, ntohs(address->sin6_port));
}

/* A path that fills sun_path, as that of a socket we were given may, has no NUL at its end. An
 * abstract name (unix(7)) begins with a NUL, which is shown as @. */
static void add_path(struct text *text, const struct sockaddr_un *address)
{
    char path[sizeof address->sun_path + 1] = "";

    memcpy(path, address->sun_path, sizeof address->sun_path);
    text_add(text, path[0] == '\0' ? "@" : "");
    text_add(text, path + (path[0] == '\0'));
}

char *address_text(const struct sockaddr *address, char *buffer)
{
    struct text text = text_in(buffer, ADDRESS_TEXT_MAX);

    if (address->sa_family == AF_INET)
        add_ipv4(&text, (const void *)address);
    else if (address->sa_family == AF_INET6)
        add_ipv6(&text, (const void *)address);
    else if (address->sa_family == AF_UNIX)
        add_path(&text, (const void *)address);
    else
        text_add(&text, "unknown");
    return buffer;
}

struct peer peer_unmapped(const struct peer *peer)
{
    const struct sockaddr_in6 *v6 = &peer->name.v6;
    struct peer plain = {.name.v6 = {.sin6_port = 0}};

    if (peer->name.any.sa_family != AF_INET6 || !IN6_IS_ADDR_V4MAPPED(&v6->sin6_addr))
        return *peer;
    plain.name.v4.sin_family = AF_INET;
    plain.name.v4.sin_port = v6->sin6_port;
    memcpy(&plain.name.v4.sin_addr, v6->sin6_addr.s6_addr + 12, sizeof plain.name.v4.sin_addr);
    return plain;
}

char *peer_text(const struct peer *peer, char *text)
{
    struct peer plain = peer_unmapped(peer);

    return plain.name.any.sa_family == AF_UNIX ? strcpy(text, "local")
                                               : address_text(&plain.name.any, text);
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
    struct peer plain = peer_unmapped(peer);
    struct source source = {.kind = plain.name.any.sa_family};

    if (source.kind == AF_INET)
        memcpy(&source.net, &plain.name.v4.sin_addr, 4);
    else if (source.kind == AF_INET6)
        memcpy(&source.net, &plain.name.v6.sin6_addr, 8);
    else
        source.net = plain.user;
    if (source.kind == AF_INET6 && IN6_IS_ADDR_LINKLOCAL(&plain.name.v6.sin6_addr))
        source.zone = plain.name.v6.sin6_scope_id;
    return source;
}

bool source_equal(struct source one, struct source other)
{
    return one.kind == other.kind && one.zone == other.zone && one.net == other.net;
}
