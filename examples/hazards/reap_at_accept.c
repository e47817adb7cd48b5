/*
 * reap_at_accept.c: the dead are reaped when the next client comes.
 *
 *     reap_at_accept [port]      prints the address that it listens on, and serves
 *
 * What one sees: while clients come there are few zombies, and a test under load finds none. When
 *     they stop coming, those that the last ones left stay: minutes or days, until the next.
 * Why: the loop sleeps in accept, and a child that ends does not wake it.
 * Who had it: Python's ForkingMixIn (cpython#55318), and with it werkzeug's server (werkzeug#810),
 *     where users asked what the <defunct> was that stood beside an idle server.
 * forkecho: SIGCHLD ends its wait, server_wait in src/server/wait.c, so it reaps when it is idle, too.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
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

    for (;;) {
        while (waitpid(-1, NULL, WNOHANG) > 0) /* THE MISTAKE: only here, before the next accept */
            continue;
        int client = accept(listener, NULL, NULL);
        if (client == -1) {
            if (errno != EINTR && errno != ECONNABORTED)
                sleep(1); /* short of something: neither spin nor end */
            continue;
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
