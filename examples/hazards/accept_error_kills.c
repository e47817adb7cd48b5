/*
 * accept_error_kills.c: one error of accept ends the server.
 *
 *     accept_error_kills [port]      prints the address that it listens on, and serves
 *
 * What one sees: it runs for months. Then a client gives up in the moment between its connection
 *     and accept, or a network goes down, and the server is gone: for all.
 * Why: most errors of accept are errors of one connection, and not of the listener: ECONNABORTED,
 *     and on Linux all that the new connection's network has to report (accept(2)). Others
 *     pass, as EMFILE does. Only a listener that is none at all (EBADF, ENOTSOCK) is final.
 * Who had it: the servers of "The Linux Programming Interface", and hickory-dns, which stopped
 *     answering over TCP (hickory-dns#3726).
 * forkecho: src/server/gate.c, a table of errors and what to do about each; src/server/accept.c
 *     does it.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

static void echo(int client)
{
    char buffer[4096];
    ssize_t size, done, more;

    while ((size = read(client, buffer, sizeof buffer)) > 0)
        for (done = 0; done < size; done += more)
            if ((more = write(client, buffer + done, (size_t)(size - done))) == -1)
                return;
}

static void reap(int number)
{
    int saved = errno;

    (void)number;
    while (waitpid(-1, NULL, WNOHANG) > 0)
        continue;
    errno = saved;
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

int main(int argc, char **argv)
{
    int listener = open_listener(argc > 1 ? argv[1] : "0");
    struct sigaction action = {.sa_handler = reap, .sa_flags = SA_RESTART};

    sigemptyset(&action.sa_mask);
    sigaction(SIGCHLD, &action, NULL);
    for (;;) {
        int client = accept(listener, NULL, NULL);
        if (client == -1) {
            perror("accept");
            exit(EXIT_FAILURE); /* THE MISTAKE: the next one would do */
        }
        switch (fork()) {
        case 0:
            close(listener);
            echo(client);
            _exit(EXIT_SUCCESS);
        case -1:
            perror("fork"); /* and the client is sent away */
        }
        close(client);
    }
}
