/*
 * needs_newline.c: nothing is answered before a newline has come.
 *
 *     needs_newline [port]      prints the address that it listens on, and serves
 *
 * What one sees: with telnet and nc, which send lines, nothing. A client that sends "abc" and
 *     waits for "abc" waits for ever; and so does the server.
 * Why: getline, fgets and their like return when there is a line, or the end. TCP has no lines
 *     (RFC 862: "any data received is sent back"), and a client need not send any.
 * Who had it: three of 32 servers of students that were looked at in 2026.
 * forkecho: writes what it has read, whatever that is, session_step in src/echo/session.c.
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
    FILE *from_client = fdopen(client, "r");
    char *line = NULL;
    size_t room = 0;
    ssize_t size, done, more;

    if (from_client == NULL)
        return;
    while ((size = getline(&line, &room, from_client)) > 0) /* THE MISTAKE: TCP has no lines */
        for (done = 0; done < size; done += more)
            if ((more = write(client, line + done, (size_t)(size - done))) == -1)
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
