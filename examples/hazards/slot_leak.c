/*
 * slot_leak.c: where fork fails, the slot of the client that it was for stays taken.
 *
 *     slot_leak [port]      prints the address that it listens on, and serves
 *
 * What one sees: after a bad hour, in which there were too many processes, the server says that it
 *     is full. It is full for ever, with fewer and fewer clients, in the end with none.
 * Why: clients are counted before fork, so that a child which ends at once cannot be taken off
 *     before it was put on. Nobody takes off the one that never began: its end would.
 * Who had it: ipsvd, whose count of connections is raised before fork, and BusyBox's tcpsvd,
 *     whose entry of a host stays after a vfork that failed.
 * forkecho: counts a child when there is one, server_began in src/server/life.c, with SIGCHLD blocked
 *     meanwhile; a client that fork failed for waits, server_hold in src/server/accept.c.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/select.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#define LIVE_MAX 2

static void echo(int client)
{
    char buffer[4096];
    ssize_t size, done, more;

    while ((size = read(client, buffer, sizeof buffer)) > 0)
        for (done = 0; done < size; done += more)
            if ((more = write(client, buffer + done, (size_t)(size - done))) == -1)
                return;
}

static int open_listener(const char *port)
{
    struct sockaddr_in address = {.sin_family = AF_INET};
    socklen_t length = sizeof address;
    int listener = socket(AF_INET, SOCK_STREAM, 0), on = 1;

    address.sin_port = htons((uint16_t)strtoul(port, NULL, 10));
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    if (listener == -1 ||
        setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on) == -1 ||
        bind(listener, (struct sockaddr *)&address, length) == -1 || listen(listener, 128) == -1 ||
        getsockname(listener, (struct sockaddr *)&address, &length) == -1) {
        perror("cannot listen");
        exit(EXIT_FAILURE);
    }
    printf("127.0.0.1:%u\n", (unsigned)ntohs(address.sin_port));
    fflush(stdout);
    return listener;
}

static void wake(int number)
{
    (void)number; /* that pselect returns is all that is wanted */
}

int main(int argc, char **argv)
{
    int listener = open_listener(argc > 1 ? argv[1] : "0"), live = 0;
    struct sigaction action = {.sa_handler = wake};
    sigset_t child, before;

    sigemptyset(&action.sa_mask);
    sigemptyset(&child);
    sigaddset(&child, SIGCHLD);
    sigprocmask(SIG_BLOCK, &child, &before); /* SIGCHLD comes in pselect, and nowhere else */
    sigaction(SIGCHLD, &action, NULL);
    fcntl(listener, F_SETFL, O_NONBLOCK);
    for (;;) {
        fd_set ready;
        FD_ZERO(&ready);
        FD_SET(listener, &ready);
        pselect(listener + 1, live < LIVE_MAX ? &ready : NULL, NULL, NULL, NULL, &before);
        while (waitpid(-1, NULL, WNOHANG) > 0)
            live--;
        int client = live < LIVE_MAX ? accept(listener, NULL, NULL) : -1;
        if (client == -1) {
            if (errno == EMFILE || errno == ENFILE)
                sleep(1); /* short of descriptors: neither spin nor end */
            continue;
        }
        fcntl(client, F_SETFL, 0); /* some systems hand on O_NONBLOCK */
        live++;
        switch (fork()) {
        case 0:
            close(listener);
            echo(client);
            _exit(EXIT_SUCCESS);
        case -1:
            perror("fork"); /* THE MISTAKE: live-- is missing */
        }
        close(client);
    }
}
