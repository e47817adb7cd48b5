/*
 * emfile_spin.c: when there are no descriptors left, accept is tried again at once.
 *
 *     emfile_spin [port]      prints the address that it listens on, and serves
 *
 * What one sees: the server takes all of a processor, and does nothing. Where it writes a line
 *     for each failure, the disk is full soon after.
 * Why: EMFILE is no client's error, and no client is taken off the queue by it. The same one
 *     waits there still, so accept fails anew as fast as it can be called, until something
 *     is closed: and that may take as long as the client that has it open.
 * Who had it: tcpserver, s6-tcpserver, ipsvd's tcpsvd, vsftpd and ncat, each in silence or with a
 *     log that grows; bun wrote 98,000 errors in 10 s (bun#32705). socat closes its listener.
 * forkecho: closes its gate until a child has ended or a pause is over, gate_pause in
 *     src/server/gate.c, and says so once.
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
        if (client == -1)
            continue; /* THE MISTAKE: also where the next call is bound to fail as well */
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
