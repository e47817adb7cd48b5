#!/bin/sh
# musl 1.2.3 (Debian 1.2.3-1). POSIX, exec: where the file is no program that the system knows,
# execlp() and execvp() "shall execute a command interpreter and the environment of the executed
# command shall be as if the process invoked the sh utility"; exec(3) of Linux says it of /bin/sh.
# Guess: a script without its #! line, which shells and glibc run, runs from a program built with
# musl as well.
# Seen: execvp fails with ENOEXEC. The same in 1.2.6.
. "$(dirname "$0")/common"
needs gcc

packages bookworm "$folder/root" musl-dev=1.2.3-1
cat >"$folder/trial.c" <<'END'
#include <stdio.h>
#include <unistd.h>

int main(void) {
    execlp("greet", "greet", (char *)NULL);
    perror("execlp");
    return 1;
}
END
echo 'echo hello' >"$folder/root/usr/bin/greet"
chmod 755 "$folder/root/usr/bin/greet"
gcc -o "$folder/root/glibc" "$folder/trial.c"
with_musl "$folder/root" "$folder/root/musl" "$folder/trial.c"
for libc in glibc musl; do
    echo "$libc:"
    inside "$folder/root" "/$libc" 2>&1 || true
done >"$folder/seen"
same "$folder/seen" <<'END'
glibc:
hello
musl:
execlp: Exec format error
END
