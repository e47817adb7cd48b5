#!/bin/sh
# runit 2.1.2 (Debian 2.1.2-54), chpst(8): "-P: pgrphack. Run prog in a new process group."
# Guess: as the words say: a group of its own, in the session of the caller, as setpgid(2) makes it
# and as a shell does for a job; the terminal of the session stays within reach.
# Seen: a new session as well, as by setsid(2), and with it no terminal. runsvdir(8) of the same
# package has an option of the same letter, and names setsid for it.
. "$(dirname "$0")/common"

packages bookworm "$folder/root" runit=2.1.2-54 procps
cat >"$folder/root/trial" <<'END'
chpst -P sh -c 'ps -o pid=,pgid=,sid= -p $$' | while read -r pid group session; do
    [ "$group" != "$pid" ] || echo 'a process group of its own'
    [ "$session" != "$pid" ] || echo 'a session of its own'
done
END
inside "$folder/root" sh /trial >"$folder/seen"
same "$folder/seen" <<'END'
a process group of its own
a session of its own
END
