#!/bin/sh
# socat 1.7.4.4 (Debian 1.7.4.4-2), socat(1): SOCAT_PEERADDR is "a string describing the peers
# socket address. Port information is not included."
# Guess: the text that inet_ntop(3) makes and RFC 5952 asks for, ::1, which a program can compare
# with its own list and with what other servers set (TCPREMOTEIP, REMOTE_HOST, NCAT_REMOTE_ADDR).
# Seen: all eight groups of four digits, in square brackets.
. "$(dirname "$0")/common"

packages bookworm "$folder/root" socat=1.7.4.4-2
cat >"$folder/root/trial" <<'END'
socat 'TCP6-LISTEN:7000,bind=[::1]' EXEC:/usr/bin/env &
socat -u 'TCP6:[::1]:7000,retry=100,interval=0.1' - | grep ADDR
END
inside "$folder/root" sh /trial >"$folder/seen"
same "$folder/seen" <<'END'
SOCAT_SOCKADDR=[0000:0000:0000:0000:0000:0000:0000:0001]
SOCAT_PEERADDR=[0000:0000:0000:0000:0000:0000:0000:0001]
END
