/*
 * listeners.h: all listening sockets of a server, by its options or from the service manager.
 *
 * A name that resolves to several addresses is listened on at all of them; `*` is two sockets, IPv4
 * and IPv6. Where an address says port 0 the kernel chooses, once for all addresses of that name.
 */
#ifndef LISTENERS_H
#define LISTENERS_H

#include "server/listener.h"
#include "server/options.h"

#include <stddef.h>

#define LISTENERS_MAX 128

struct listeners {
    struct listener all[LISTENERS_MAX];
    size_t count;
    size_t next; /* whose turn it is to be asked for a client, modulo the count */
};

/* Opens all that `options` name, or adopts what the service manager hands over (activation.h).
 * Returns 0, or -1 (logged) with nothing left behind. */
int listeners_open(struct listeners *listeners, const struct options *options);

/* The same of those at which monitors ask (-S), which are never handed over. */
int listeners_open_status(struct listeners *listeners, const struct options *options);
void listeners_close(struct listeners *listeners);

/* The addresses, "a,b,c", cut with ",..." where `size` ends. */
void listeners_text(const struct listeners *listeners, char *text, size_t size);

#endif
