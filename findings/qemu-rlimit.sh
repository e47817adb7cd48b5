#!/bin/sh
# qemu-user 7.2 (Debian 1:7.2+dfsg-7+deb12u18+b3). setrlimit(2): returns 0 on success; RLIMIT_AS is
# "the maximum size of the process's virtual memory", and mmap fails with ENOMEM beyond it.
# Guess: the limit holds, or, as the emulator needs memory of its own, setrlimit fails.
# Seen: setrlimit returns 0, getrlimit then tells that there is no limit, and mmap gives what is
# beyond it. RLIMIT_NOFILE in the same program holds.
. "$(dirname "$0")/common"
cat >"$folder/trial.c" <<'END'
#include <stdio.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <unistd.h>

int main(void) {
    struct rlimit memory = {64 << 20, 64 << 20}, files = {20, 20}, now;
    printf("RLIMIT_AS: setrlimit returns %d, ", setrlimit(RLIMIT_AS, &memory));
    getrlimit(RLIMIT_AS, &now);
    printf("the limit is %s, ", now.rlim_cur == memory.rlim_cur ? "set" : "not set");
    void *more = mmap(NULL, 128 << 20, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    printf("more than that is %s\n", more == MAP_FAILED ? "refused" : "given");
    printf("RLIMIT_NOFILE: setrlimit returns %d, ", setrlimit(RLIMIT_NOFILE, &files));
    printf("more than that is %s\n", dup2(0, 30) < 0 ? "refused" : "given");
    return 0;
}
END
run_by_both >"$folder/seen"
same "$folder/seen" <<'END'
the kernel:
RLIMIT_AS: setrlimit returns 0, the limit is set, more than that is refused
RLIMIT_NOFILE: setrlimit returns 0, more than that is refused
the emulator:
RLIMIT_AS: setrlimit returns 0, the limit is not set, more than that is given
RLIMIT_NOFILE: setrlimit returns 0, more than that is refused
END
