/* poll.c: all clients in one loop over poll. See minimal.h. */
#include "minimal_events.h"

#include <poll.h>

int main(int argc, char **argv)
{
    static struct pollfd all[FD_SETSIZE];
    nfds_t count = 1;

    all[0] = (struct pollfd){.fd = open_listener(argc, argv), .events = POLLIN};
    for (;;) {
        if (poll(all, count, -1) == -1)
            die("poll");
        for (nfds_t i = count; i-- > 1;) { /* backwards: the last one fills a gap */
            if (all[i].revents == 0)
                continue;
            if (serve_client(all[i].fd)) {
                all[i].events = owes(all[i].fd) ? POLLOUT : POLLIN;
            } else {
                close(all[i].fd);
                all[i] = all[--count];
            }
        }
        if (all[0].revents != 0)
            all[count++] = (struct pollfd){.fd = begin_client(all[0].fd), .events = POLLIN};
    }
}
