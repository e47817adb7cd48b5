#!/bin/sh
# glibc 2.41 (Debian trixie, 2.41-12+deb13u5). POSIX.1-2024: _Fork() is fork() without the handlers
# of pthread_atfork(3), and async-signal-safe.
# Guess: it is the bare system call, clone alone, as it was in glibc 2.36: one takes it for that
# where a fork has to be cheap, or where calls are counted.
# Seen: glibc 2.41 blocks all signals before it and restores the mask behind it: two calls more in
# the parent (and one more in the child, which is not traced here).
. "$(dirname "$0")/common"
needs gcc

packages bookworm "$folder/old" libc6=2.36-9+deb12u14 strace
packages trixie "$folder/new" libc6=2.41-12+deb13u5 strace
cat >"$folder/trial.c" <<'END'
#define _GNU_SOURCE
#include <sys/wait.h>
#include <unistd.h>

int main(void) {
    getppid(); // what is shown begins behind it
    pid_t pid = _Fork();
    if (pid == 0)
        _exit(0);
    waitpid(pid, NULL, 0);
    return 0;
}
END
cat >"$folder/calls" <<'END'
strace -qq -e signal=none -o /tmp/trace /trial
sed -n '1,/^getppid/d; /^wait4/,$d; s/(.*//p' /tmp/trace
END
for libc in old new; do
    gcc -o "$folder/$libc/trial" "$folder/trial.c"
    cp "$folder/calls" "$folder/$libc/calls"
done
{
    echo 'glibc 2.36:'
    inside "$folder/old" sh /calls
    echo 'glibc 2.41:'
    inside "$folder/new" sh /calls
} >"$folder/seen"
same "$folder/seen" <<'END'
glibc 2.36:
clone
glibc 2.41:
rt_sigprocmask
clone
rt_sigprocmask
END
