/*
 * no_eintr.c: SIGCHLD interrupts accept, and that is taken for the end.
 *
 *     no_eintr [port]      prints the address that it listens on, and serves
 *
 * What one sees: the server serves its first client, and is gone when that one leaves. Or it
 *     lasts for a while: when the child ends at a moment when the parent is not in accept.
 * Why: a handler that was installed without SA_RESTART makes the call that it interrupts fail
 *     with EINTR (POSIX.1-2008, 2.4 and sigaction). It is no error; it asks to call again.
 * Who had it: whoever wrote a server in Python before 3.5, which retries by itself since
 *     (PEP 475); "UNIX Network Programming" (ch. 5) shows it and how it is handled.
 * forkecho: its calls are not interrupted, for signals are blocked except in its one wait,
 *     src/process/signals.h; and accept's EINTR is in the table of src/server/gate.c, as one to retry.
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
    struct sigaction action = {.sa_handler = reap}; /* no SA_RESTART, which needs EINTR below */

    sigemptyset(&action.sa_mask);
    sigaction(SIGCHLD, &action, NULL);
    for (;;) {
        int client = accept(listener, NULL, NULL);
        if (client == -1 && errno != ECONNABORTED && errno != EMFILE && errno != ENFILE) {
            perror("accept"); /* THE MISTAKE: EINTR comes here as well */
            exit(EXIT_FAILURE);
        }
        if (client == -1) {
            if (errno != ECONNABORTED)
                sleep(1); /* short of descriptors: neither spin nor end */
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
