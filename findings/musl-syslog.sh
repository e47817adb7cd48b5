#!/bin/sh
# musl 1.2.3 (Debian 1.2.3-1), syslog(3). RFC 3164, 4.1.2: the TIMESTAMP "is the local time".
# Guess: a program stamps its messages in the time of TZ, as glibc's does.
# Seen: in UTC, whatever TZ says: on a machine with another time its lines stand hours apart from
# everyone else's. The same in 1.2.6.
. "$(dirname "$0")/common"
needs gcc

packages bookworm "$folder/root" musl-dev=1.2.3-1 socat
cat >"$folder/trial.c" <<'END'
#include <syslog.h>

int main(void) {
    syslog(LOG_USER | LOG_INFO, "hello");
    return 0;
}
END
gcc -o "$folder/root/glibc" "$folder/trial.c"
with_musl "$folder/root" "$folder/root/musl" "$folder/trial.c"
cat >"$folder/root/trial" <<'END'
# The hours alone, 12 apart; asked again where an hour ends in between.
hours() {
    socat -u UNIX-RECVFROM:/dev/log,unlink-early STDOUT >/tmp/line &
    until [ -S /dev/log ]; do
        sleep 0.1
    done
    TZ=UTC+12 "$1"
    wait $!
    rm -f /dev/log
    sed 's/.* \([0-9][0-9]\):[0-9][0-9]:.*/\1/' /tmp/line
}
for libc in glibc musl; do
    until
        before=$(date -u +%H)
        seen=$(hours "/$libc")
        [ "$(date -u +%H)" = "$before" ]
    do :; done
    case $seen in
    "$before") echo "$libc: UTC" ;;
    "$(TZ=UTC+12 date +%H)") echo "$libc: local time" ;;
    *) echo "$libc: hour $seen, at $before in UTC" ;;
    esac
done
END
inside "$folder/root" sh /trial >"$folder/seen"
same "$folder/seen" <<'END'
glibc: local time
musl: UTC
END
