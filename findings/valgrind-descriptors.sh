#!/bin/sh
# valgrind 3.19.0 (Debian 1:3.19.0-1). getrlimit(2): RLIMIT_NOFILE is "a value one greater than the
# maximum file descriptor number that can be opened by this process".
# Guess: valgrind keeps its own descriptors out of the program's way, above the limit, and the
# program finds the limit that its caller has set.
# Seen: it finds twelve less, where the hard limit leaves no room above: of 64 the program can have
# 52. A test that counts descriptors up to a limit counts others under valgrind.
. "$(dirname "$0")/common"
needs gcc

packages bookworm "$folder/root" valgrind=1:3.19.0-1
cat >"$folder/trial.c" <<'END'
#include <stdio.h>
#include <sys/resource.h>
#include <unistd.h>

int main(void) {
    struct rlimit limit;
    int highest = 2;
    getrlimit(RLIMIT_NOFILE, &limit);
    for (int descriptor; (descriptor = dup(0)) >= 0;)
        highest = descriptor;
    printf("limit %d, highest descriptor %d\n", (int)limit.rlim_cur, highest);
    return 0;
}
END
gcc -o "$folder/root/trial" "$folder/trial.c"
{
    echo "alone: $(inside "$folder/root" sh -c 'ulimit -n 64; /trial')"
    echo "valgrind: $(inside "$folder/root" sh -c 'ulimit -n 64; valgrind --tool=none -q /trial')"
} >"$folder/seen"
same "$folder/seen" <<'END'
alone: limit 64, highest descriptor 63
valgrind: limit 52, highest descriptor 51
END
