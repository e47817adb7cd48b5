/*
 * fuzz_address.c: an address as it is written on a command line (address.h): split, resolved,
 * and written again.
 *
 * Input: the text. Catches: a part that overflows or that is not what it seems (a path in a
 * host's place), a text that is taken but cannot be written so that it means the same, and an
 * address that is listened on and printed in a form that the client does not take.
 *
 * Only numbers are resolved: an input asks nothing of the network.
 */
#include "fuzz.h"

#include <arpa/inet.h>
#include <net/if.h>
#include <sys/un.h>

enum { FOUND_MAX = 4 };

/* Writes the parts of an endpoint as one text again. */
static void join(const struct endpoint *endpoint, char *text, size_t size)
{
    bool brackets = endpoint->host[0] != '/' && strchr(endpoint->host, ':') != NULL;

    snprintf(text, size, "%s%s%s%s%s", brackets ? "[" : "", endpoint->host, brackets ? "]" : "",
             endpoint->host[0] != '\0' && endpoint->port[0] != '\0' ? ":" : "", endpoint->port);
}

/* What a split endpoint is: a path alone, or a port with or without a host. */
static void check_parts(const struct endpoint *endpoint)
{
    FUZZ_HOLDS(memchr(endpoint->host, '\0', sizeof endpoint->host) != NULL);
    FUZZ_HOLDS(memchr(endpoint->port, '\0', sizeof endpoint->port) != NULL);
    FUZZ_HOLDS((endpoint->host[0] == '/') == (endpoint->port[0] == '\0'));
    FUZZ_HOLDS(endpoint->host[0] != '/' ||
               strlen(endpoint->host) < sizeof ((struct sockaddr_un *)NULL)->sun_path);
}

/* A text that was taken can be written from its parts, and is then the same. */
static void check_joined(const struct endpoint *endpoint)
{
    char text[sizeof endpoint->host + sizeof endpoint->port + 4];
    struct endpoint again;

    join(endpoint, text, sizeof text);
    FUZZ_HOLDS(address_split(text, &again) == NULL);
    FUZZ_HOLDS(same_bytes(&again, endpoint, sizeof again));
}

/* Whether an interface that is there has this name or number. */
static bool is_zone(const char *zone)
{
    char name[IF_NAMESIZE];
    unsigned long number = strtoul(zone, NULL, 10);

    if (*zone == '\0' || zone[strspn(zone, "0123456789")] != '\0')
        return if_nametoindex(zone) != 0;
    return number <= UINT32_MAX && if_indextoname((unsigned)number, name) != NULL;
}

/* Whether a host is a numeric address, with such a zone, if any. */
static bool is_numeric(const char *host)
{
    char address[INET6_ADDRSTRLEN];
    size_t length = strcspn(host, "%");
    uint8_t bytes[16];

    if (length >= sizeof address || (host[length] == '%' && !is_zone(host + length + 1)))
        return false;
    memcpy(address, host, length);
    address[length] = '\0';
    return inet_pton(AF_INET6, address, bytes) == 1 ||
           (host[length] == '\0' && inet_pton(AF_INET, address, bytes) == 1);
}

static bool asks_nobody(const struct endpoint *endpoint)
{
    bool host = endpoint->host[0] == '/' || strcmp(endpoint->host, "*") == 0 ||
                is_numeric(endpoint->host);

    return host && endpoint->port[strspn(endpoint->port, "0123456789")] == '\0';
}

/* Whether two addresses are the same, but for a zone. */
static bool is_same(const struct address *one, const struct address *other)
{
    struct address bare[2] = {*one, *other};

    for (size_t i = 0; i < FUZZ_LENGTH(bare); i++)
        if (bare[i].name.any.sa_family == AF_INET6 &&
            !IN6_IS_ADDR_LINKLOCAL(&bare[i].name.v6.sin6_addr))
            bare[i].name.v6.sin6_scope_id = 0;
    return same_bytes(&bare[0], &bare[1], sizeof bare[0]);
}

/* What one prints, another takes, and prints the same: the zone of an address that needs none
 * is left out. */
static void check_address(const struct address *address, bool passive)
{
    char text[ADDRESS_TEXT_MAX + 1], again[ADDRESS_TEXT_MAX];
    struct endpoint endpoint;
    struct address found[FOUND_MAX];
    const char *problem;

    FUZZ_HOLDS(address->length > 0 && address->length <= sizeof address->name);
    memset(text, 'x', sizeof text);
    address_text(&address->name.any, text);
    FUZZ_HOLDS(memchr(text, '\0', ADDRESS_TEXT_MAX) != NULL);
    FUZZ_HOLDS(address_split(text, &endpoint) == NULL);
    FUZZ_HOLDS(address_resolve(&endpoint, passive, found, FOUND_MAX, &problem) == 1);
    FUZZ_HOLDS(strcmp(address_text(&found[0].name.any, again), text) == 0);
    FUZZ_HOLDS(found[0].length == address->length && is_same(&found[0], address));
}

static void check_resolved(const struct endpoint *endpoint, bool passive)
{
    struct address found[FOUND_MAX];
    const char *problem = NULL;
    int count;

    if (!asks_nobody(endpoint) || (!passive && strcmp(endpoint->host, "*") == 0))
        return;
    count = address_resolve(endpoint, passive, found, FOUND_MAX, &problem);
    FUZZ_HOLDS(count <= FOUND_MAX && (count > 0 || problem != NULL));
    for (int i = 0; i < count; i++)
        check_address(&found[i], passive);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char *text = fuzz_memory(size + 1);
    struct endpoint endpoint;
    const char *problem;

    memcpy(text, data, size);
    text[size] = '\0';
    problem = address_split(text, &endpoint);
    if (problem == NULL) {
        check_parts(&endpoint);
        check_joined(&endpoint);
        check_resolved(&endpoint, true);
        check_resolved(&endpoint, false);
    } else {
        FUZZ_HOLDS(*problem != '\0' && is_plain(problem));
    }
    free(text);
    return 0;
}
