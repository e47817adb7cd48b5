#!/bin/sh
# systemd 252 (Debian 252.39-1~deb12u2), systemd-socket-activate(1): "Test socket activation of
# daemons"; --accept: "Launch an instance of the service program for each connection". For such an
# instance systemd.exec(5) and systemd.socket(5) promise REMOTE_ADDR and REMOTE_PORT.
# Guess: an instance that is tried in this way gets them as well.
# Seen: neither is set: a program that logs its client or looks it up cannot be tried with it.
. "$(dirname "$0")/common"

packages bookworm "$folder/root" systemd=252.39-1~deb12u2 socat
cat >"$folder/root/trial" <<'END'
systemd-socket-activate --accept --inetd -l 127.0.0.1:7000 /usr/bin/env 2>/dev/null &
socat -u TCP:127.0.0.1:7000,retry=100,interval=0.1 - | sed 's/=.*//' | sort
END
inside "$folder/root" sh /trial >"$folder/seen"
same "$folder/seen" <<'END'
HOME
PATH
END
