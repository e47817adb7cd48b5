/* prefork.c: a fixed number of processes, each of which accepts. See minimal.h. */
#include "minimal.h"

#include <sys/wait.h>

static _Noreturn void serve(int listener)
{
    for (;;) {
        int client = accept_client(listener);
        echo(client);
        close(client);
    }
}

int main(int argc, char **argv)
{
    int listener = open_listener(argc, argv);

    for (long i = 0; i < pool_size(argc, argv); i++)
        switch (fork()) {
        case -1:
            die("fork");
        case 0:
            serve(listener);
        default:
            break;
        }
    while (wait(NULL) > 0)
        ;
    return EXIT_FAILURE;
}
