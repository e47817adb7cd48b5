/*
 * plain_client.c: a second load client, to hold the first against: as simple as can be, and
 * sharing nothing with it.
 *
 * A number of processes each connect, write, read until the message is back, close, and begin
 * again, with calls that block; each connection from the next of 250 addresses of 127/8, as
 * one address is out of ports within seconds. Prints the connections a second of all.
 *
 *   plain_client PORT PROCESSES SECONDS [BYTES]
 */
#define _DEFAULT_SOURCE /* glibc shows IP_BIND_ADDRESS_NO_PORT, which is Linux's, only then */
#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define BYTES_MAX 65536
#define SOURCES 250

static double now(void)
{
    struct timespec time;

    clock_gettime(CLOCK_MONOTONIC, &time);
    return (double)time.tv_sec + (double)time.tv_nsec / 1e9;
}

static void quit(const char *what)
{
    perror(what);
    exit(EXIT_FAILURE);
}

/* The address with this number, of those that are this process's own. */
static struct sockaddr_in source(unsigned long number)
{
    unsigned long process = (unsigned long)getpid();
    struct sockaddr_in address = {.sin_family = AF_INET};

    address.sin_addr.s_addr =
        htonl((uint32_t)(127UL << 24 | (2 + process / 250 % 250) << 16 | (2 + process % 250) << 8 |
                         (2 + number % SOURCES)));
    return address;
}

static int connected(const struct sockaddr_in *server, unsigned long number)
{
    struct sockaddr_in from = source(number);
    int client = socket(AF_INET, SOCK_STREAM, 0);

    if (client == -1)
        quit("plain_client: socket");
#ifdef IP_BIND_ADDRESS_NO_PORT
    {
        int on = 1;
        setsockopt(client, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &on, sizeof on);
    }
#endif
    if (bind(client, (const struct sockaddr *)&from, sizeof from) == -1)
        quit("plain_client: bind");
    if (connect(client, (const struct sockaddr *)server, sizeof *server) == -1)
        quit("plain_client: connect");
    return client;
}

static void echo(int client, const char *message, size_t size)
{
    static char back[BYTES_MAX];
    size_t received = 0;

    if (write(client, message, size) != (ssize_t)size)
        quit("plain_client: write");
    while (received < size) {
        ssize_t count = read(client, back + received, size - received);
        if (count <= 0)
            quit("plain_client: read");
        received += (size_t)count;
    }
    if (memcmp(message, back, size) != 0) {
        fputs("plain_client: wrong bytes\n", stderr);
        exit(EXIT_FAILURE);
    }
}

/* One process: returns how many it did. */
static unsigned long work(const struct sockaddr_in *server, double until, size_t size)
{
    static char message[BYTES_MAX];
    unsigned long done = 0;

    memset(message, 'x', size);
    while (now() < until) {
        int client = connected(server, done);
        echo(client, message, size);
        close(client);
        done++;
    }
    return done;
}

/* A process that works until then, and writes how many it did. */
static void start(const struct sockaddr_in *server, double until, size_t size, int result)
{
    unsigned long done;
    pid_t child = fork();

    if (child == -1)
        quit("plain_client: fork");
    if (child != 0)
        return;
    done = work(server, until, size);
    _exit(write(result, &done, sizeof done) == (ssize_t)sizeof done ? 0 : 1);
}

/* An argument as a number of this range. */
static double number(const char *text, double lowest, double highest)
{
    char *end;
    double value = strtod(text, &end);

    if (end == text || *end != '\0' || !(value >= lowest && value <= highest)) {
        fprintf(stderr, "plain_client: '%s' is not a number from %g to %g\n", text, lowest, highest);
        exit(2);
    }
    return value;
}

int main(int argc, char **argv)
{
    struct sockaddr_in server = {.sin_family = AF_INET};
    unsigned long sum = 0, done;
    int failed = 0, status, ends[2];
    double begun = now(), seconds;
    size_t size;

    if (argc < 4 || argc > 5) {
        fputs("usage: plain_client PORT PROCESSES SECONDS [BYTES]\n", stderr);
        return 2;
    }
    server.sin_port = htons((uint16_t)number(argv[1], 1, 65535));
    server.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    seconds = number(argv[3], 0, 3600);
    size = argc > 4 ? (size_t)number(argv[4], 1, BYTES_MAX) : 64;
    if (pipe(ends) == -1)
        quit("plain_client: pipe");
    for (int left = (int)number(argv[2], 1, 1000); left > 0; left--)
        start(&server, begun + seconds, size, ends[1]);
    close(ends[1]);
    while (read(ends[0], &done, sizeof done) == (ssize_t)sizeof done)
        sum += done;
    while (wait(&status) != -1)
        failed += status != 0;
    if (failed > 0)
        return EXIT_FAILURE;
    printf("%.1f\n", (double)sum / (now() - begun));
    return EXIT_SUCCESS;
}
