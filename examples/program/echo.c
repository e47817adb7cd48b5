/*
 * echo: the smallest program that forkecho can serve. What comes in by standard input, the client,
 * goes out by standard output, the same client, until it sends no more.
 *
 *     cc -O2 -o echo examples/program/echo.c && forkecho -l 7008 -- ./echo
 *
 * `make bench-program` and the lab measure with it what a program costs: it does nothing else.
 */
#include <stdlib.h>
#include <unistd.h>

/* A signal handler that a program does not have cannot interrupt it: EINTR is no case here. */
static int write_all(const char *from, size_t size)
{
    while (size > 0) {
        ssize_t written = write(STDOUT_FILENO, from, size);

        if (written == -1)
            return -1;
        from += written;
        size -= (size_t)written;
    }
    return 0;
}

int main(void)
{
    char buffer[4096];
    ssize_t size;

    while ((size = read(STDIN_FILENO, buffer, sizeof buffer)) > 0)
        if (write_all(buffer, (size_t)size) == -1)
            return EXIT_FAILURE;
    return size == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
