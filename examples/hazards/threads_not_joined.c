/*
 * threads_not_joined.c: the threads that have ended are neither joined nor detached.
 *
 *     threads_not_joined [port]      prints the address that it listens on, and serves
 *
 * What one sees: no zombies, and no processor time. The process grows by eight megabytes a
 *     client (`ps` shows it as VSZ); after some ten thousand there is no memory for a stack, or
 *     no thread id, pthread_create fails, and the server serves nobody any more.
 * Why: a thread that has ended keeps its stack and its exit status until somebody asks for them
 *     by pthread_join, just as a child does. pthread_detach says that nobody will (POSIX.1-2008,
 *     pthread_detach).
 * Who had it: two of five threaded servers of students that were looked at in 2026.
 * forkecho: has no threads. threadecho joins them, join_ended in
 *     examples/variants/serve_thread.c.
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
        /* THE MISTAKE: where that succeeds, pthread_detach(thread) has to follow */
        if (pthread_create(&thread, NULL, serve_client, (void *)(intptr_t)client) != 0)
            close(client);
    }
}
