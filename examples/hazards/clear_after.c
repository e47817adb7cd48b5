/*
 * clear_after.c: the handler sets a flag, and it is cleared when the work is done.
 *
 *     clear_after [port]      prints the address that it listens on, and serves
 *
 * What one sees: once in many thousand clients a zombie stays although the server is idle, and
 *     goes when the next child ends. Nobody can show it to anybody.
 * Why: a child may end between the last waitpid, which has not seen it, and the line that clears
 *     the flag. Its signal sets what is set already; then it is cleared: a lost wakeup. All
 *     else is as it should be: the flag is looked at with SIGCHLD blocked, and pselect
 *     unblocks it only while it sleeps. Two lines in the wrong order are enough.
 * Who had it: the inetd of OpenBSD, whose handlers' flags were cleared late.
 * forkecho: clears a signal's record before its work is done, signals_take in src/process/signals.c, so
 *     that one which comes meanwhile makes one more turn, which may find nothing to do.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/select.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

static volatile sig_atomic_t child_has_ended;

static void note(int number)
{
    (void)number;
    child_has_ended = 1;
}

static void reap(void)
{
    while (waitpid(-1, NULL, WNOHANG) > 0)
        continue;
    child_has_ended = 0; /* THE MISTAKE: this line belongs before the loop */
}

static void echo(int client)
{
    char buffer[4096];
    ssize_t size, done, more;

    while ((size = read(client, buffer, sizeof buffer)) > 0)
        for (done = 0; done < size; done += more)
            if ((more = write(client, buffer + done, (size_t)(size - done))) == -1)
                return;
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

/* Sleeps until a client or a signal comes; the signal is let in nowhere but in the sleep. */
static void wait_for_news(int listener, const sigset_t *child)
{
    fd_set ready;
    sigset_t before;

    FD_ZERO(&ready);
    FD_SET(listener, &ready);
    sigprocmask(SIG_BLOCK, child, &before);
    if (!child_has_ended)
        pselect(listener + 1, &ready, NULL, NULL, NULL, &before);
    sigprocmask(SIG_SETMASK, &before, NULL);
}

int main(int argc, char **argv)
{
    int listener = open_listener(argc > 1 ? argv[1] : "0");
    struct sigaction action = {.sa_handler = note, .sa_flags = SA_RESTART};
    sigset_t child;

    sigemptyset(&action.sa_mask);
    sigemptyset(&child);
    sigaddset(&child, SIGCHLD);
    sigaction(SIGCHLD, &action, NULL);
    fcntl(listener, F_SETFL, O_NONBLOCK);
    for (;;) {
        wait_for_news(listener, &child);
        if (child_has_ended)
            reap();
        int client = accept(listener, NULL, NULL);
        if (client == -1) {
            if (errno == EMFILE || errno == ENFILE)
                sleep(1); /* short of descriptors: neither spin nor end */
            continue;
        }
        fcntl(client, F_SETFL, 0); /* some systems hand on O_NONBLOCK */
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
