/* iter.c: one client at a time. See minimal.h. */
#include "minimal.h"

int main(int argc, char **argv)
{
    int listener = open_listener(argc, argv);

    for (;;) {
        int client = accept_client(listener);
        echo(client);
        close(client);
    }
}
