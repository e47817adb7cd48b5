#!/bin/sh
# libfaketime 0.9.10 (Debian 0.9.10-2.1), README: a program that is started with LD_PRELOAD and
# FAKETIME sees another time, and so do its child processes; what the library keeps in /dev/shm for
# them goes when it "exits properly", and what a killed process leaves there harms the next one with
# the same pid. Nothing is said of exec.
# Guess: a root process that becomes another user and then a program, as daemons and setpriv(1) do,
# has that program see the other time too, or at worst the real one.
# Seen: the program ends with status 1 before its main. As root the library has made a semaphore of
# mode 600 whose name holds its pid. The program has the same pid, finds the name taken, may not
# open it, and the library ends the process.
. "$(dirname "$0")/common"

packages bookworm "$folder/root" libfaketime=0.9.10-2.1 util-linux
cat >"$folder/root/trial" <<'END'
try() {
    year=$(LD_PRELOAD=/usr/lib/x86_64-linux-gnu/faketime/libfaketime.so.1 FAKETIME=-10y "$@" \
        date +%Y 2>/tmp/error)
    status=$?
    case $year in
    '') year=none ;;
    "$(date +%Y)") year='the real one' ;;
    *) year='another one' ;;
    esac
    echo "status $status, year: $year"
    sed 's/:.*: /: /' /tmp/error | head -n 1
}
echo "setpriv that stays root: $(try setpriv --nnp)"
echo "setpriv to another user: $(try setpriv --reuid=65534 --clear-groups)"
END
inside "$folder/root" sh /trial >"$folder/seen"
same "$folder/seen" <<'END'
setpriv that stays root: status 0, year: another one
setpriv to another user: status 1, year: none
libfaketime: Permission denied
END
