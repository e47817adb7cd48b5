#!/bin/sh
# qemu-user 7.2 and valgrind 3.19.0 (Debian 1:7.2+dfsg-7+deb12u18+b3, 1:3.19.0-1), glibc's
# posix_spawn. posix_spawn(3): it returns 0 on success and else an error number, and among the
# errors are those of execve; so does POSIX where the system can tell.
# Guess: a program that is not there is ENOENT everywhere.
# Seen: natively so. Under both the call returns 0, and the error is an exit status of 127 later:
# they make clone with CLONE_VM | CLONE_VFORK a fork, and the child reports its failure in memory
# that it then no longer shares.
. "$(dirname "$0")/common"
needs gcc

packages bookworm "$folder/root" qemu-user-static=1:7.2+dfsg-7+deb12u18+b3 valgrind=1:3.19.0-1
cat >"$folder/trial.c" <<'END'
#include <spawn.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>

extern char **environ;

int main(void) {
    char *arguments[] = {"program", NULL};
    pid_t pid;
    int status;
    int error = posix_spawn(&pid, "/no/such/program", NULL, NULL, arguments, environ);
    printf("%s", error != 0 ? strerror(error) : "no error");
    if (error == 0 && waitpid(pid, &status, 0) == pid && WIFEXITED(status))
        printf(", then exit status %d", WEXITSTATUS(status));
    printf("\n");
    return 0;
}
END
gcc -o "$folder/root/trial" "$folder/trial.c"
{
    echo "the kernel: $(inside "$folder/root" /trial)"
    echo "qemu-user: $(inside "$folder/root" qemu-x86_64-static /trial)"
    echo "valgrind: $(inside "$folder/root" valgrind --tool=none -q /trial)"
} >"$folder/seen"
same "$folder/seen" <<'END'
the kernel: No such file or directory
qemu-user: no error, then exit status 127
valgrind: no error, then exit status 127
END
