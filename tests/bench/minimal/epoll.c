/* epoll.c: all clients in one loop over epoll (Linux). See minimal.h. */
#include "minimal_events.h"

#include <sys/epoll.h>

static void watch(int epoll, int action, int descriptor, uint32_t events)
{
    struct epoll_event event = {.events = events, .data.fd = descriptor};

    if (epoll_ctl(epoll, action, descriptor, &event) == -1)
        die("epoll_ctl");
}

int main(int argc, char **argv)
{
    int listener = open_listener(argc, argv), epoll = epoll_create1(0);
    struct epoll_event ready[64];

    watch(epoll, EPOLL_CTL_ADD, listener, EPOLLIN);
    for (;;) {
        int count = epoll_wait(epoll, ready, 64, -1);
        for (int i = 0; i < count; i++) {
            int descriptor = ready[i].data.fd;
            bool owed;
            if (descriptor == listener) {
                watch(epoll, EPOLL_CTL_ADD, begin_client(listener), EPOLLIN);
                continue;
            }
            owed = owes(descriptor);
            if (!serve_client(descriptor))
                close(descriptor);
            else if (owes(descriptor) != owed)
                watch(epoll, EPOLL_CTL_MOD, descriptor, owed ? EPOLLIN : EPOLLOUT);
        }
    }
}
