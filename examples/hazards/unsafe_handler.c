/*
 * unsafe_handler.c: the handler of SIGCHLD writes a line of the log, with the time.
 *
 *     unsafe_handler [port]      prints the address that it listens on, and serves
 *
 * What one sees: under load it stops, with 0 % of the processor; `gdb -p` shows localtime in the
 *     handler, above localtime in main. On another libc memory is corrupted instead.
 * Why: localtime holds a lock while it works. Where the signal comes in the midst of it, the
 *     handler waits for the lock, and the one who holds it waits for the handler. The same
 *     goes for malloc and stdio: only the functions that POSIX.1-2008 lists in 2.4.3 may be
 *     called by a handler that can interrupt any other.
 * Who had it: sshd, whose SIGALRM handler called syslog, until 2006 (CVE-2006-5051), and from
 *     8.5 to 9.7 once more (CVE-2024-6387), this time as a way in for strangers.
 * forkecho: its handlers set one bit, src/process/signals.c; the loop reaps and writes the log.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static void say(const char *what, pid_t pid)
{
    char when[32];
    time_t now = time(NULL);

    strftime(when, sizeof when, "%H:%M:%S", localtime(&now));
    fprintf(stderr, "%s %s pid=%ld\n", when, what, (long)pid);
}

static void reap(int number)
{
    int saved = errno;
    pid_t pid;

    (void)number;
    while ((pid = waitpid(-1, NULL, WNOHANG)) > 0)
        say("end", pid); /* THE MISTAKE: main may be in the midst of the same */
    errno = saved;
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
        pid_t pid = fork();
        switch (pid) {
        case 0:
            close(listener);
            echo(client);
            _exit(EXIT_SUCCESS);
        case -1:
            perror("fork"); /* and the client is sent away */
            break;
        default:
            say("accept", pid);
        }
        close(client);
    }
}
