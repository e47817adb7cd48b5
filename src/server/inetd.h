/*
 * inetd.h: -i: serve the connection on standard input, and exit.
 *
 * For inetd and xinetd with `nowait`, and for systemd with Accept=yes: whoever starts us has
 * accepted, counts and reaps. So there is no listener, no fork and no ledger; the session, the
 * lists of who may come in, the limits and the log lines are those of the server.
 *
 * Such a starter may have put the client's connection on standard error as well; then nothing
 * is logged but by -s, for each line would be sent to the client.
 */
#ifndef INETD_H
#define INETD_H

#include "server/options.h"

/* Serves that connection to its end, as the user of the options. Returns 0, or -1 (said) when
 * there is none that could be served. */
int inetd_serve(const struct options *options);

#endif
