/*
 * short_write.c: what write took is taken for all that it was given.
 *
 *     short_write [port]      prints the address that it listens on, and serves
 *
 * What one sees: short messages come back whole, and so do long ones to a client that reads while
 *     it sends. One that reads late gets less than it sent, with a gap where the buffers were full.
 * Why: write on a descriptor that does not block (and on one that a signal interrupts) takes
 *     what there is room for, and returns how much that was. The rest is the caller's.
 *     The child does not block so that it can end a client that is idle for a minute.
 * Who had it: inetd's own echo, for as long as there has been one: it writes once what it read.
 * forkecho: a session knows how much is still to be written, and wants to write until it is
 *     zero, session_step in src/echo/session.c.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

/* Whether the client can be read or written within a minute. */
static int ready(int client, short what)
{
    struct pollfd one = {.fd = client, .events = what};

    return poll(&one, 1, 60 * 1000) == 1;
}

static void echo(int client)
{
    char buffer[65536];
    ssize_t size;

    fcntl(client, F_SETFL, O_NONBLOCK);
    while (ready(client, POLLIN) && (size = read(client, buffer, sizeof buffer)) > 0)
        while (write(client, buffer, (size_t)size) == -1) /* THE MISTAKE: it may take less */
            if (errno != EAGAIN || !ready(client, POLLOUT))
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
