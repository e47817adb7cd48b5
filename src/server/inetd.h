/*
 * inetd.h: -i: serve the connection on standard input, and exit.
 *
 * For inetd and xinetd with `nowait`, and for systemd with Accept=yes: these accept, count and
 * reap, so there is no listener, no fork and no ledger. All else is that of the server. Where the
 * connection is standard error as well, only -s logs: other lines would be sent to the client.
 */
#ifndef INETD_H
#define INETD_H

#include "server/options.h"

/* Serves it to its end. Returns 0, or -1 (logged) when there is none that could be served. */
int inetd_serve(const struct options *options);

#endif
