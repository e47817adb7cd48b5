/*
 * echo.c: a right echo server in C: a process for each client.
 *
 *     echo [port]        prints the address that it listens on, and serves
 *
 * It is the textbook's server (../textbook.c) with what that one lacks: where accept or fork fails,
 * it goes on. For what a server needs beside, limits and an end among it, see forkecho.
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

static void reap_children(int number)
{
    int saved = errno; /* main looks at it when the handler has returned */

    (void)number;
    while (waitpid(-1, NULL, WNOHANG) > 0) /* signals merge: more than one may have ended */
        ;
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
    fflush(stdout); /* what is left in it, each child would print once more */
    return listener;
}

int main(int argc, char **argv)
{
    int listener = open_listener(argc > 1 ? argv[1] : "0"), client;
    struct sigaction action = {.sa_handler = reap_children, .sa_flags = SA_RESTART};

    sigemptyset(&action.sa_mask);
    sigaction(SIGCHLD, &action, NULL);
    for (;;) {
        client = accept(listener, NULL, NULL);
        if (client == -1) {
            if (errno != EINTR && errno != ECONNABORTED) {
                perror("accept");
                sleep(1); /* short of something: neither spin nor end */
            }
            continue;
        }
        switch (fork()) {
        case -1:
            perror("fork"); /* one client's loss */
            break;
        case 0:
            close(listener);
            echo(client);
            _exit(EXIT_SUCCESS);
        }
        close(client);
    }
}
