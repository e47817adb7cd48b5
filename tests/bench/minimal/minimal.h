/*
 * minimal.h: what the minimal servers share: a listener, and the echo.
 *
 * One small server a concurrency model, as a competent programmer would write it in an hour:
 * no options, no log, no limits, no orderly stop, and correct for clients that behave. They
 * are what the servers of the family are measured against (tests/bench/variants): what a
 * variant costs beyond its model is what it costs more than its minimal server. So nothing of the
 * library is used here. The one of forkecho's model is examples/hazards/textbook.c.
 *
 *     minimal/NAME [port [pool size]]     prints the address it listens on, then serves it
 */
#ifndef MINIMAL_H
#define MINIMAL_H

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#define BUFFER_SIZE 65536

static inline _Noreturn void die(const char *what)
{
    perror(what);
    exit(EXIT_FAILURE);
}

static inline int open_listener(int argc, char **argv)
{
    unsigned long port = argc > 1 ? strtoul(argv[1], NULL, 10) : 0;
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
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
    signal(SIGPIPE, SIG_IGN);
    printf("127.0.0.1:%u\n", (unsigned)ntohs(address.sin_port));
    fflush(stdout);
    return listener;
}

static inline long pool_size(int argc, char **argv)
{
    return argc > 2 ? strtol(argv[2], NULL, 10) : 16;
}

static inline int accept_client(int listener)
{
    int client = accept(listener, NULL, NULL);

    if (client == -1)
        die("accept");
    return client;
}

/* For servers that block. Those that wait for many have minimal_events.h. */
static inline void echo(int client)
{
    char buffer[BUFFER_SIZE];
    ssize_t size;

    while ((size = read(client, buffer, sizeof buffer)) > 0)
        for (ssize_t written = 0; written < size;) {
            ssize_t more = write(client, buffer + written, (size_t)(size - written));
            if (more == -1)
                return;
            written += more;
        }
}

#endif
