#!/bin/sh
# tcc 0.9.27 (Debian 0.9.27+git20200814.62c30a4a-1). C11, 6.7.5: an object that is declared with
# _Alignas has that alignment; one that the implementation does not support for it is refused.
# Guess: tcc takes _Alignas of C11, so it aligns, or says that it cannot.
# Seen: it aligns what is static, and takes the word for a local without keeping it. A buffer that
# has to lie on a page or on a cache line is where it happens to be.
. "$(dirname "$0")/common"

packages bookworm "$folder/root" tcc=0.9.27+git20200814.62c30a4a-1 libc6-dev
cat >"$folder/root/trial.c" <<'END'
#include <stdint.h>
#include <stdio.h>

static int astray; // of the addresses looked at

static void look(const volatile void *at) {
    astray += (uintptr_t)at % 64 != 0;
}

// Each depth has its locals elsewhere: not all can be aligned by chance.
static void deeper(int depth) {
    volatile char shift[24];
    _Alignas(64) volatile char local[64];
    shift[0] = local[0] = 0;
    look(local);
    if (depth > 1)
        deeper(depth - 1);
}

int main(void) {
    static char shift[3];
    static _Alignas(64) volatile char fixed[64];
    static char shift_more[5];
    static _Alignas(64) volatile char fixed_too[64];
    shift[0] = shift_more[0] = 0;
    look(fixed);
    look(fixed_too);
    printf("static: %s\n", astray == 0 ? "aligned" : "not aligned");
    astray = 0;
    deeper(8);
    printf("local: %s\n", astray == 0 ? "aligned" : "not aligned");
    return 0;
}
END
inside "$folder/root" sh -c 'tcc -Wall -o /tmp/trial /trial.c && /tmp/trial' >"$folder/seen" 2>&1
same "$folder/seen" <<'END'
static: aligned
local: not aligned
END
