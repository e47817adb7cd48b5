#!/bin/sh
# openbsd-inetd 0.20221205 (Debian 0.20221205-2~deb12u1), inetd(8): "The server program arguments
# should be just as arguments normally are, starting with argv[0]"; no number is named.
# Guess: all words of the line reach the program; a line that is too long is an error in the log.
# Seen: the first twenty, argv[0] among them. The rest is left out, and nothing is said. The
# inetd of GNU inetutils hands on all of the same line.
. "$(dirname "$0")/common"

packages bookworm "$folder/root" openbsd-inetd=0.20221205-2~deb12u1 netbase socat
packages bookworm "$folder/gnu" inetutils-inetd=2:2.4-2+deb12u3 netbase socat
echo 127.0.0.1:7000 stream tcp nowait root /usr/bin/echo echo $(seq 25) >"$folder/root/line"
cat >"$folder/root/trial" <<'END'
"$@" >/tmp/log 2>&1 &
socat -u TCP:127.0.0.1:7000,retry=100,interval=0.1 -
END
cp "$folder/root/line" "$folder/root/trial" "$folder/gnu/"
{
    inside "$folder/root" sh /trial inetd -d /line
    inside "$folder/gnu" sh /trial inetutils-inetd -d /line
} >"$folder/seen"
same "$folder/seen" <<'END'
1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19
1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20 21 22 23 24 25
END
