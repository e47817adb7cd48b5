#!/bin/sh
# musl 1.2.6 (Debian sid, 1.2.6-2). pwrite(2) of Linux, BUGS: "on Linux, if a file is opened with
# O_APPEND, pwrite() appends data to the end of the file, regardless of the value of offset", though
# POSIX says that it does not.
# Guess: the same from every libc, as the kernel does it and pwrite is one system call.
# Seen: musl 1.2.6 writes where it was told to. It asks pwritev2(2) with RWF_NOAPPEND; so a filter
# or a trace of pwrite64 no longer sees it. Of musl 1.2.3 the guess is right.
# A kernel before 6.9 has no RWF_NOAPPEND.
. "$(dirname "$0")/common"
needs gcc

kernel=$(uname -r)
[ "$(printf '6.9\n%s\n' "$kernel" | sort -V | head -n 1)" = 6.9 ] || missing "this is Linux $kernel"
packages bookworm "$folder/old" musl-dev=1.2.3-1
packages sid "$folder/new" musl-dev=1.2.6-2
cat >"$folder/trial.c" <<'END'
#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

int main(void) {
    char held[16];
    int file = open("/tmp/file", O_RDWR | O_CREAT | O_TRUNC | O_APPEND, 0600);
    if (write(file, "abcdef", 6) != 6 || pwrite(file, "XY", 2, 0) != 2)
        return 1;
    ssize_t length = pread(file, held, sizeof held, 0);
    printf("%.*s\n", (int)length, held);
    return 0;
}
END
gcc -o "$folder/old/glibc" "$folder/trial.c"
with_musl "$folder/old" "$folder/old/musl" "$folder/trial.c"
with_musl "$folder/new" "$folder/new/musl" "$folder/trial.c"
{
    echo "glibc: $(inside "$folder/old" /glibc)"
    echo "musl 1.2.3: $(inside "$folder/old" /musl)"
    echo "musl 1.2.6: $(inside "$folder/new" /musl)"
} >"$folder/seen"
same "$folder/seen" <<'END'
glibc: abcdefXY
musl 1.2.3: abcdefXY
musl 1.2.6: XYcdef
END
