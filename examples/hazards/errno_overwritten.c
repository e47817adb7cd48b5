/*
 * errno_overwritten.c: the log overwrites errno before it is looked at.
 *
 *     errno_overwritten [port]      prints the address that it listens on, and serves
 *
 * What one sees: it survives each error of accept, and the tests show that. On the day when the
 *     disk is full it ends at the next one: "accept: No space left on device", which accept
 *     never said.
 * Why: errno is of the last call that failed, and a line of log is a call, which may fail as
 *     well: the disk is full, or whoever reads the log has gone. Keep a copy before anything
 *     else is called; functions that succeed may change it, too (POSIX.1-2008, errno).
 * Who had it: sslh, between accept and its test for EMFILE (yrutschle/sslh#538).
 * forkecho: server_accept in src/server/accept.c hands errno on as an argument at once; its log
 *     is written behind that.
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

    sigemptyset(&action.sa_mask);
    sigaction(SIGCHLD, &action, NULL);
    for (;;) {
        int client = accept(listener, NULL, NULL);
        if (client == -1) {
            fprintf(stderr, "accept has failed\n"); /* THE MISTAKE: a copy of errno is needed */
            if (errno == EMFILE || errno == ENFILE)
                sleep(1); /* short of descriptors: neither spin nor end */
            else if (errno != EINTR && errno != ECONNABORTED)
                exit(EXIT_FAILURE); /* this is no listener */
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
