#!/bin/sh
# musl 1.2.3 (Debian 1.2.3-1). daemon(3) of Linux, BUGS: "The GNU C library implementation of this
# function was taken from BSD, and does not employ the double-fork technique (i.e., fork(2),
# setsid(2), fork(2)) that is necessary to ensure that the resulting daemon process is not a session
# leader." BSD's own forks once as well.
# Guess: musl, which has the function for the sake of programs written for those, does what both do:
# the daemon leads its session and its process group.
# Seen: musl forks twice: the daemon leads neither, and its group is that of a process that is gone.
. "$(dirname "$0")/common"
needs gcc

packages bookworm "$folder/root" musl-dev=1.2.3-1
cat >"$folder/trial.c" <<'END'
#define _GNU_SOURCE
#include <stdio.h>
#include <unistd.h>

int main(void) {
    if (daemon(1, 1) != 0)
        return 1;
    printf("leads its session: %s\n", getsid(0) == getpid() ? "yes" : "no");
    printf("leads its process group: %s\n", getpgrp() == getpid() ? "yes" : "no");
    return 0;
}
END
gcc -o "$folder/root/glibc" "$folder/trial.c"
with_musl "$folder/root" "$folder/root/musl" "$folder/trial.c"
# cat ends when the last daemon has ended.
for libc in glibc musl; do
    echo "$libc:"
    inside "$folder/root" sh -c "/$libc | cat"
done >"$folder/seen"
same "$folder/seen" <<'END'
glibc:
leads its session: yes
leads its process group: yes
musl:
leads its session: no
leads its process group: no
END
