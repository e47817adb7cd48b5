/*
 * one_wait.c: one wait for each SIGCHLD.
 *
 *     one_wait [port]      prints the address that it listens on, and serves
 *
 * What one sees: with one client at a time, nothing. When several leave at once some of their
 *     children stay as zombies, one day more than another; after days the table is full.
 * Why: a signal that is pending is one bit. Of the children that end while the first SIGCHLD is
 *     not yet handled all but one are told of by no signal of their own (POSIX.1-2008, 2.4.1).
 * Who had it: echod (gawen947/echod), and msmtp's daemon, which stopped accepting after days
 *     (msmtp#227); systemd met it with 1000 clients at once (systemd#2961). Five connections
 *     closed together left four, three, two, two and one zombie in five runs: repeat the trial.
 * forkecho: one SIGCHLD reaps all whose exit records are there, reap_exiting in src/fork/reaper.c.
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
    waitpid(-1, NULL, WNOHANG); /* THE MISTAKE: once, not until there is nothing left to reap */
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
