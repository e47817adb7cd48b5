/* select.c: all clients in one loop over select. See minimal.h. */
#include "minimal_events.h"

int main(int argc, char **argv)
{
    int listener = open_listener(argc, argv), highest = listener;
    fd_set all;

    FD_ZERO(&all);
    FD_SET(listener, &all);
    for (;;) {
        fd_set readable = all, writable;
        FD_ZERO(&writable);
        for (int each = 0; each <= highest; each++)
            if (each != listener && FD_ISSET(each, &all) && owes(each)) {
                FD_CLR(each, &readable);
                FD_SET(each, &writable);
            }
        if (select(highest + 1, &readable, &writable, NULL, NULL) == -1)
            die("select");
        for (int each = 0; each <= highest; each++) {
            if (!FD_ISSET(each, &readable) && !FD_ISSET(each, &writable))
                continue;
            if (each == listener) {
                int client = begin_client(listener);
                FD_SET(client, &all);
                highest = client > highest ? client : highest;
            } else if (!serve_client(each)) {
                close(each);
                FD_CLR(each, &all);
            }
        }
    }
}
