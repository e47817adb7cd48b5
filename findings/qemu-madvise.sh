#!/bin/sh
# qemu-user 7.2 (Debian 1:7.2+dfsg-7+deb12u18+b3). madvise(2): MADV_WIPEONFORK: "Present the child
# process with zero-filled memory in this range after a fork(2)"; MADV_DONTFORK: "Do not make the
# pages in this range available to the child". A system that cannot do it answers EINVAL.
# Guess: under the emulator both work, being the host kernel's work, or fail with EINVAL, so that a
# program that must not share its keys or its random state after a fork takes another way.
# Seen: both return 0 and do nothing: the child reads what the parent has written.
. "$(dirname "$0")/common"
cat >"$folder/trial.c" <<'END'
#define _GNU_SOURCE
#include <stdio.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

// What a child finds in a page in which the parent has written 'x'. A page that is not there is
// found by mincore, not by reading it.
static void advise(int advice, const char *name) {
    unsigned char resident;
    int status;
    char *page = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    *page = 'x';
    int result = madvise(page, 4096, advice);
    pid_t pid = fork();
    if (pid == 0)
        _exit(mincore(page, 4096, &resident) != 0 ? 1 : *page == 0 ? 2 : 3);
    waitpid(pid, &status, 0);
    const char *finds[] = {"?", "no such page", "zeros", "what the parent has written"};
    printf("%s returns %d, and the child finds %s\n", name, result, finds[WEXITSTATUS(status) & 3]);
}

int main(void) {
    setvbuf(stdout, NULL, _IONBF, 0);
    advise(MADV_WIPEONFORK, "MADV_WIPEONFORK");
    advise(MADV_DONTFORK, "MADV_DONTFORK");
    return 0;
}
END
run_by_both >"$folder/seen"
same "$folder/seen" <<'END'
the kernel:
MADV_WIPEONFORK returns 0, and the child finds zeros
MADV_DONTFORK returns 0, and the child finds no such page
the emulator:
MADV_WIPEONFORK returns 0, and the child finds what the parent has written
MADV_DONTFORK returns 0, and the child finds what the parent has written
END
