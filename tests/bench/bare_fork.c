/*
 * bare_fork: what fork itself costs beside other processes; no server at all.
 *
 *     bare_fork HELD WARM SECONDS
 *
 * Forks children that exit at once and waits for each by its pid, AHEAD of them at a time,
 * for SECONDS; then forks HELD children that only sleep, and does the same beside them; both
 * times after WARM seconds that are not measured. Prints both rates, in forks a second. What the
 * second loses is the machine's, its kernel's and the mappings' of this build. tests/bench/run prints
 * it beside the servers'.
 */
#include "base/parse.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define AHEAD 8 /* as many as tests/bench/run has clients */
#define HELD_MAX 100000

static double seconds_now(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

static pid_t begin(int sleeps)
{
    pid_t child = fork();

    if (child == -1) {
        perror("bare_fork: fork");
        exit(EXIT_FAILURE);
    }
    if (child != 0)
        return child;
    if (sleeps)
        for (;;)
            pause();
    _exit(0);
}

static double forks_a_second(double length)
{
    pid_t children[AHEAD] = {0};
    double start = seconds_now();
    unsigned long forks = 0;

    while (seconds_now() < start + length) {
        pid_t *oldest = &children[forks++ % AHEAD];
        if (*oldest != 0)
            waitpid(*oldest, NULL, 0);
        *oldest = begin(0);
    }
    for (size_t i = 0; i < AHEAD; i++)
        if (children[i] != 0)
            waitpid(children[i], NULL, 0);
    return (double)forks / (seconds_now() - start);
}

int main(int argc, char **argv)
{
    static pid_t held[HELD_MAX];
    long count;
    double warm, length, alone;

    if (argc != 4 || parse_number(argv[1], 0, HELD_MAX, &count) == -1 ||
        parse_duration(argv[2], &warm) == -1 || parse_duration(argv[3], &length) == -1) {
        fprintf(stderr, "usage: bare_fork HELD WARM SECONDS\n");
        return 2;
    }
    (void)forks_a_second(warm);
    alone = forks_a_second(length);
    for (long i = 0; i < count; i++)
        held[i] = begin(1);
    (void)forks_a_second(warm);
    printf("%.0f %.0f\n", alone, forks_a_second(length));
    for (long i = 0; i < count; i++)
        kill(held[i], SIGKILL);
    for (long i = 0; i < count; i++)
        waitpid(held[i], NULL, 0);
    return 0;
}
