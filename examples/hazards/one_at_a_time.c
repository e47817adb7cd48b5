/*
 * one_at_a_time.c: one client is served until it goes, and all others wait.
 *
 *     one_at_a_time [port]      prints the address that it listens on, and serves
 *
 * What one sees: while one client is connected, be it silent, nobody else is answered. They
 *     connect, for the kernel does that, and hang. Whoever goes home without logging out stops
 *     the service.
 * Why: read waits until its client sends, and nothing else is done meanwhile. To wait for many
 *     at once one needs a process or a thread for each, or select.
 * Who had it: three of eight servers of students without processes, looked at in 2026; and
 *     Python's TCPServer and HTTPServer, unless they are mixed with ForkingMixIn or
 *     ThreadingMixIn.
 * forkecho: starts a child for each client, start_child in src/fork/serve_fork.c. Its sibling
 *     iterecho, examples/variants/serve_iter.c, shows what it is like not to.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
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
    struct sigaction ignore = {.sa_handler = SIG_IGN};

    sigemptyset(&ignore.sa_mask);
    sigaction(SIGPIPE, &ignore, NULL);
    for (;;) {
        int client = accept(listener, NULL, NULL);
        if (client == -1) {
            if (errno != EINTR && errno != ECONNABORTED)
                sleep(1); /* short of something: neither spin nor end */
            continue;
        }
        echo(client); /* THE MISTAKE: here, where everybody else has to wait for it */
        close(client);
    }
}
