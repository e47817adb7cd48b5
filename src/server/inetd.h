/*
 * inetd.h: -i: serve the connection on standard input, and exit.
 *
 * For inetd and xinetd with `nowait`, and for systemd with Accept=yes: these have accepted the
 * connection, count and reap. So there is no listener, no fork and no ledger; the session, the
 * lists of who may come in, the limits and the log lines are those of the server.
 *
 * Where the connection is standard error as well, only -s logs: any other line would be sent to the
 * client.
 */
#ifndef INETD_H
#define INETD_H

#include "server/options.h"

/* Serves that connection to its end, as the user of the options. Returns 0, or -1 (logged)
 * when there is none that could be served. */
int inetd_serve(const struct options *options);

#endif
