#!/bin/sh
# qemu-user 7.2 (Debian 1:7.2+dfsg-7+deb12u18+b3). sigaction(2): SA_NOCLDSTOP: "do not receive
# notification when child processes stop or when they resume".
# Guess: one SIGCHLD for a child that stops, goes on and exits, under the emulator as natively. The
# flag is asked back with sigaction, so it has been taken.
# Seen: three: the emulator keeps the flag to itself, and asks the kernel for the signal without it.
# A parent that takes each SIGCHLD for a death, or counts them, is wrong there.
. "$(dirname "$0")/common"
cat >"$folder/trial.c" <<'END'
#define _GNU_SOURCE
#include <signal.h>
#include <stdio.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

// Whether SIGCHLD, which is blocked, comes of what waitpid has seen: it may come a little later.
static int signals(const sigset_t *set) {
    const struct timespec second = {1, 0};
    return sigtimedwait(set, NULL, &second) == SIGCHLD;
}

static void nothing(int number) {
    (void)number;
}

int main(void) {
    struct sigaction action = {.sa_handler = nothing, .sa_flags = SA_NOCLDSTOP}, taken;
    sigset_t set;
    int status;
    sigemptyset(&set);
    sigaddset(&set, SIGCHLD);
    sigprocmask(SIG_BLOCK, &set, NULL);
    sigaction(SIGCHLD, &action, NULL);
    sigaction(SIGCHLD, NULL, &taken);
    printf("SA_NOCLDSTOP is %s\n", taken.sa_flags & SA_NOCLDSTOP ? "set" : "not set");
    fflush(stdout);
    pid_t pid = fork();
    if (pid == 0) {
        raise(SIGSTOP);
        pause();
    }
    waitpid(pid, &status, WUNTRACED);
    printf("stopped: %d signal(s)\n", signals(&set));
    kill(pid, SIGCONT);
    waitpid(pid, &status, WCONTINUED);
    printf("resumed: %d signal(s)\n", signals(&set));
    kill(pid, SIGKILL);
    waitpid(pid, &status, 0);
    printf("dead: %d signal(s)\n", signals(&set));
    return 0;
}
END
run_by_both >"$folder/seen"
same "$folder/seen" <<'END'
the kernel:
SA_NOCLDSTOP is set
stopped: 0 signal(s)
resumed: 0 signal(s)
dead: 1 signal(s)
the emulator:
SA_NOCLDSTOP is set
stopped: 1 signal(s)
resumed: 1 signal(s)
dead: 1 signal(s)
END
