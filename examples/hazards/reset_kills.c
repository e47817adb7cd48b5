/*
 * reset_kills.c: a client that resets its connection ends the server.
 *
 *     reset_kills [port]      prints the address that it listens on, and serves
 *
 * What one sees: all clients lose their connections at once, when one of them has crashed, or
 *     its laptop was shut. The last line of the log is "read: Connection reset by peer".
 * Why: an error of read or write on a client's socket is the end of that client, and an orderly
 *     one. In a process for each client exit ends just this one; here it ends all. A write to a
 *     client that has gone does so by a signal, SIGPIPE, unless that is ignored.
 * Who had it: two of eight servers of students without processes, looked at in 2026.
 * forkecho: an error ends the session, session_step in src/echo/session.c, in all servers of the
 *     family; and SIGPIPE is ignored, src/process/signals.c.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <pthread.h>
#include <signal.h>
#include <stdint.h>
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
    if (size == -1) {
        perror("read");
        exit(EXIT_FAILURE); /* THE MISTAKE: the client is lost, and all others with it */
    }
}

static void *serve_client(void *argument)
{
    int client = (int)(intptr_t)argument;

    echo(client);
    close(client);
    return NULL;
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
    pthread_t thread;

    sigemptyset(&ignore.sa_mask);
    sigaction(SIGPIPE, &ignore, NULL);
    for (;;) {
        int client = accept(listener, NULL, NULL);
        if (client == -1) {
            if (errno != EINTR && errno != ECONNABORTED)
                sleep(1); /* short of something: neither spin nor end */
            continue;
        }
        if (pthread_create(&thread, NULL, serve_client, (void *)(intptr_t)client) == 0)
            pthread_detach(thread);
        else
            close(client);
    }
}
