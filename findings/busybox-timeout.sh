#!/bin/sh
# BusyBox 1.35.0 (Debian 1:1.35.0-4+deb12u1+b1), `busybox timeout --help`: "Run PROG. Send SIG to it
# if it is not gone in SECS seconds."
# Guess: as with the coreutils' timeout(1): it waits for the program, and exits with 124 when the
# time was up, so that a script can tell a program that took too long from one that was killed.
# Seen: timeout itself becomes the program, and a process apart from it keeps the time. The status
# is that of any program ended by SIGTERM, 143; there is no 124. What timeout's caller takes for
# timeout's pid is the program's.
. "$(dirname "$0")/common"

packages bookworm "$folder/root" busybox-static=1:1.35.0-4+deb12u1+b1
cat >"$folder/root/trial" <<'END'
timeout 1 sleep 5
echo "coreutils: status $?"
busybox timeout 1 sleep 5
echo "BusyBox: status $?"
timeout 5 sh -c 'echo $$' >/tmp/pid &
wait $!
[ "$(cat /tmp/pid)" = $! ] || echo 'coreutils: the program has a pid of its own'
busybox timeout 5 sh -c 'echo $$' >/tmp/pid &
wait $!
[ "$(cat /tmp/pid)" != $! ] || echo "BusyBox: the program has timeout's pid"
END
inside "$folder/root" sh /trial >"$folder/seen" 2>/dev/null
same "$folder/seen" <<'END'
coreutils: status 124
BusyBox: status 143
coreutils: the program has a pid of its own
BusyBox: the program has timeout's pid
END
