/* listeners.c: see listeners.h. */
#include "server/listeners.h"

#include "base/text.h"
#include "platform/platform.h"
#include "process/activation.h"
#include "process/log.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

#define PORT_TRIES 16 /* a port that the kernel chose for one family may be taken in the other */

/* What may help, for the end of a message. */
static const char *remedy(int error, int family)
{
    bool local = family == AF_UNIX;

    return error == EACCES && !local
               ? "; ports below 1024 need root, CAP_NET_BIND_SERVICE or a lower "
                 "net.ipv4.ip_unprivileged_port_start; or choose a higher one"
           : error == EADDRINUSE && local
               ? "; another server, or an earlier -l or -S, listens on it or is about to, or it is "
                 "not a socket"
           : error == EADDRINUSE
               ? "; another server, or an earlier -l or -S, listens on it; choose another port"
           : error == EADDRNOTAVAIL && family == AF_INET6
               ? "; no interface of this machine has it, or it is still being checked that no "
                 "other machine has it (tentative in 'ip -6 address'), or one has (dadfailed)"
           : error == EADDRNOTAVAIL ? "; no interface of this machine has it"
                                    : "";
}

/* Whether an address may be missing where its name has others: a machine may be without IPv6, or
 * IPv4, or without its loopback address alone, as in some containers. Leaves errno at `error`. */
static bool may_be_missing(int error, const struct address *address)
{
    struct sockaddr_in v4 = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    struct sockaddr_in6 v6 = {.sin6_family = AF_INET6, .sin6_addr = in6addr_loopback};
    int family = address->name.any.sa_family;
    bool is_v6 = family == AF_INET6, missing = error == EAFNOSUPPORT;
    bool is_loopback = is_v6 ? IN6_IS_ADDR_LOOPBACK(&address->name.v6.sin6_addr)
                             : address->name.v4.sin_addr.s_addr == v4.sin_addr.s_addr;
    int probe = error == EADDRNOTAVAIL && (is_loopback || !platform_has_family(family))
                    ? socket(family, SOCK_STREAM, 0)
                    : -1;

    if (probe != -1) {
        missing = bind(probe, is_v6 ? (struct sockaddr *)&v6 : (struct sockaddr *)&v4,
                       is_v6 ? sizeof v6 : sizeof v4) == -1;
        close(probe);
    }
    errno = error;
    return missing;
}

/* Listens on each of `found`, the addresses of one -l. Returns the index of the first that
 * failed with errno, or -1 when all that matter listen. */
static int add_all(struct listeners *listeners, struct address *found, int count,
                   const struct options *options)
{
    size_t first = listeners->count;
    int missing = -1;

    for (int i = 0; i < count; i++) {
        struct address address = found[i];
        if (listeners->count > first && address_port(&address.name.any) == 0)
            address_set_port(&address, address_port(&listeners->all[first].address.name.any));
        if (listener_open(&listeners->all[listeners->count], &address, options) == 0) {
            listeners->count++;
            continue;
        }
        if (count == 1 || !may_be_missing(errno, &address))
            return i;
        missing = i;
    }
    return listeners->count > first ? -1 : missing;
}

static void close_from(struct listeners *listeners, size_t first)
{
    while (listeners->count > first)
        listener_close(&listeners->all[--listeners->count]);
}

/* Opens what one -l or -S, `option`, names. */
static int open_given(struct listeners *listeners, const struct options *options,
                      const struct listen_option *named, const char *option)
{
    const char *given = named->text, *problem;
    struct address found[LISTENERS_MAX];
    char text[ADDRESS_TEXT_MAX];
    size_t first = listeners->count;
    int count = address_resolve(&named->endpoint, true, found,
                                LISTENERS_MAX - first, &problem);

    if (count == -1) {
        log_error("cannot resolve '%s' (%s): %s", given, option, problem);
        return -1;
    }
    for (int tries = 1;; tries++) {
        int failed = add_all(listeners, found, count, options), error = errno;
        if (failed == -1)
            return 0;
        const struct sockaddr *any = &found[failed].name.any;
        bool local = any->sa_family == AF_UNIX;
        close_from(listeners, first);
        /* Only a port that the kernel chose is worth another try. */
        if (tries < PORT_TRIES && error == EADDRINUSE && !local && address_port(any) == 0)
            continue;
        errno = error; /* the log keeps it */
        log_error("cannot listen on %s (%s %s): %s%s", address_text(any, text), option, given,
                  strerror(error), remedy(error, any->sa_family));
        return -1;
    }
}

static int open_all(struct listeners *listeners, const struct options *options,
                    const struct listen_option *list, size_t count, const char *option)
{
    for (size_t i = 0; i < count; i++)
        if (open_given(listeners, options, &list[i], option) == -1) {
            close_from(listeners, 0);
            return -1;
        }
    return 0;
}

int listeners_open(struct listeners *listeners, const struct options *options)
{
    int count = activation_count();

    listeners->count = 0;
    for (int i = 0; i < count; i++)
        listener_adopt(&listeners->all[listeners->count++], ACTIVATION_FIRST + i, options);
    if (count > 0 && options->listen_given)
        log_error("the service manager hands over %d sockets (LISTEN_FDS); -l is ignored", count);
    return count > 0 ? 0
                     : open_all(listeners, options, options->listen, options->listen_count, "-l");
}

int listeners_open_status(struct listeners *listeners, const struct options *options)
{
    return open_all(listeners, options, options->status, options->status_count, "-S");
}

void listeners_close(struct listeners *listeners)
{
    close_from(listeners, 0);
}

void listeners_text(const struct listeners *listeners, char *buffer, size_t size)
{
    static const char more[] = ",...";
    struct text text = text_in(buffer, size);
    char address[ADDRESS_TEXT_MAX];

    for (size_t i = 0; i < listeners->count; i++) {
        const char *comma = i > 0 ? "," : "";
        address_text(&listeners->all[i].address.name.any, address);
        if ((size_t)(text.end - text.at) < strlen(comma) + strlen(address) + strlen(more)) {
            text_add(&text, more);
            return;
        }
        text_add(&text, comma);
        text_add(&text, address);
    }
}
