/*
 * exit_flushes.c: the child ends by exit, and writes the parent's log once more.
 *
 *     exit_flushes [port]      prints the address that it listens on, and serves
 *
 * What one sees: on a terminal, nothing. With the log in a file or a pipe each line stands there
 *     twice, and whoever counts clients by it counts double.
 * Why: a stream that is no terminal keeps lines in a buffer. fork copies the buffer with all other
 *     memory, and exit in the child writes out that copy. _exit ends the process and
 *     nothing else (POSIX.1-2008, exit and _Exit); it also spares atexit's functions.
 * Who had it: the fork server of "Programming Python" (PP4E), when a child is left to end as a
 *     program does.
 * forkecho: run_child in src/fork/serve_fork.c ends by _exit; and each line of its log is one write,
 *     with nothing left in a buffer to be copied, src/process/log_sink.c.
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
    unsigned long clients = 0;

    sigemptyset(&action.sa_mask);
    sigaction(SIGCHLD, &action, NULL);
    for (;;) {
        int client = accept(listener, NULL, NULL);
        if (client == -1) {
            if (errno != EINTR && errno != ECONNABORTED)
                sleep(1); /* short of something: neither spin nor end */
            continue;
        }
        printf("accept client=%lu\n", ++clients);
        switch (fork()) {
        case 0:
            close(listener);
            echo(client);
            exit(EXIT_SUCCESS); /* THE MISTAKE: it has to be _exit */
        case -1:
            perror("fork"); /* and the client is sent away */
        }
        close(client);
        fflush(stdout);
    }
}
