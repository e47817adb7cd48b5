/*
 * shared_client.c: each thread is given the address of the same variable.
 *
 *     shared_client [port]      prints the address that it listens on, and serves
 *
 * What one sees: clients that come one by one are served. Of those that come together some get no
 *     answer at all, and others two threads, which take each other's bytes and close each
 *     other's connections.
 * Why: `client` is one place in memory. When the new thread comes to read it, main may have
 *     accepted the next client into it. (fork gives each child a copy; threads share.)
 * Who had it: whoever wrote his first threaded server; "UNIX Network Programming" (ch. 26) and
 *     CS:APP (ch. 12) each print it as the example of how not to do it.
 * forkecho: its children have copies. threadecho gives each thread memory of its own, struct
 *     client_thread in examples/variants/serve_thread.c.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <pthread.h>
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

static void *serve_client(void *argument)
{
    int client = *(const int *)argument;

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
    int listener = open_listener(argc > 1 ? argv[1] : "0"), client;
    struct sigaction ignore = {.sa_handler = SIG_IGN};
    pthread_t thread;

    sigemptyset(&ignore.sa_mask);
    sigaction(SIGPIPE, &ignore, NULL);
    for (;;) {
        client = accept(listener, NULL, NULL);
        if (client == -1) {
            if (errno != EINTR && errno != ECONNABORTED)
                sleep(1); /* short of something: neither spin nor end */
            continue;
        }
        /* THE MISTAKE: &client is the same for all; each thread needs a copy of its own */
        if (pthread_create(&thread, NULL, serve_client, &client) == 0)
            pthread_detach(thread);
        else
            close(client);
    }
}
