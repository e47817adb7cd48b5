/*
 * textbook.c: the forking echo server as it is taught. What forkecho is measured against.
 *
 *     textbook [port]        prints the port it listens on, then serves 127.0.0.1
 *
 * It is correct where most tutorials are not: the handler of SIGCHLD loops over waitpid, so
 * that merged signals leave no zombie, saves errno, and accept is tried again after EINTR.
 * The hazard is in what it costs: waitpid(-1) walks all live children each time, to find
 * that no more have exited; with thousands of them held open it spends its time there.
 * It has none of the limits of forkecho, either: no cap, no timeout, no drain, and it ends
 * where accept or fork fails.
 *
 * Compiled with default flags, as a student would. BUFFER_SIZE is 4096 unless given.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#ifndef BUFFER_SIZE
#define BUFFER_SIZE 4096
#endif

static _Noreturn void die(const char *what)
{
    perror(what);
    exit(EXIT_FAILURE);
}

static void reap_children(int number)
{
    int saved = errno;

    (void)number;
    while (waitpid(-1, NULL, WNOHANG) > 0)
        ;
    errno = saved;
}

static void echo(int client)
{
    char buffer[BUFFER_SIZE];
    ssize_t size;

    while ((size = read(client, buffer, sizeof buffer)) > 0)
        for (ssize_t written = 0; written < size;) {
            ssize_t more = write(client, buffer + written, (size_t)(size - written));
            if (more == -1)
                die("write");
            written += more;
        }
}

static int open_listener(uint16_t port)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(port)};
    socklen_t length = sizeof address;
    int listener = socket(AF_INET, SOCK_STREAM, 0), on = 1;

    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    if (listener == -1)
        die("socket");
    setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    if (bind(listener, (struct sockaddr *)&address, sizeof address) == -1)
        die("bind");
    if (listen(listener, 4096) == -1)
        die("listen");
    if (getsockname(listener, (struct sockaddr *)&address, &length) == -1)
        die("getsockname");
    printf("127.0.0.1:%u\n", (unsigned)ntohs(address.sin_port));
    fflush(stdout);
    return listener;
}

int main(int argc, char **argv)
{
    int listener = open_listener(argc > 1 ? (uint16_t)strtoul(argv[1], NULL, 10) : 0);
    struct sigaction action = {.sa_handler = reap_children, .sa_flags = SA_RESTART};

    sigemptyset(&action.sa_mask);
    sigaction(SIGCHLD, &action, NULL);
    for (;;) {
        int client = accept(listener, NULL, NULL);
        if (client == -1 && errno == EINTR)
            continue;
        if (client == -1)
            die("accept");
        switch (fork()) {
        case -1:
            die("fork");
        case 0:
            close(listener);
            echo(client);
            exit(EXIT_SUCCESS);
        default:
            close(client);
        }
    }
}
