#!/bin/sh
# Ncat 7.93 (Debian 7.93+dfsg1-1), ncat(1): -l takes a port to listen on, and -v makes it talk.
# Guess: with port 0 the kernel chooses one, and "Listening on" names it, as nc -v of OpenBSD and
# tcpserver -1 do: that is what a port is said for.
# Seen: it listens on a port that the kernel chose, and says "Listening on 127.0.0.1:0".
. "$(dirname "$0")/common"

packages bookworm "$folder/root" ncat=7.93+dfsg1-1 iproute2
mkfifo "$folder/root/log"
cat >"$folder/root/trial" <<'END'
ncat -v -l 127.0.0.1 0 2>/log &
grep -m 1 Listening /log
port=$(ss -Hltn | sed 's/.*127.0.0.1:\([0-9]*\) .*/\1/')
[ "$port" -eq 0 ] || echo 'It has a port.'
END
inside "$folder/root" sh /trial >"$folder/seen"
same "$folder/seen" <<'END'
Ncat: Listening on 127.0.0.1:0
It has a port.
END
