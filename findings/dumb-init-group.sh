#!/bin/sh
# dumb-init 1.2.5 (Debian 1.2.5-2), its README: "If your process dies, dumb-init will also die, taking
# care to clean up any other processes that might still remain"; it is for use below a supervisor,
# where it is no process 1, as well.
# Guess: when dumb-init has exited, nothing of the process group is left: it was asked to end, waited
# for, and killed at last. The supervisor can start the service again.
# Seen: the rest of the group gets SIGTERM, and nobody waits for it: dumb-init exits at once with
# the status of its child, while another process is at its last work.
. "$(dirname "$0")/common"

packages bookworm "$folder/root" dumb-init=1.2.5-2
cat >"$folder/root/worker" <<'END'
trap 'read -r line </go; echo "a process of its group $line" >/ended; exit' TERM
echo ready >/started
while :; do
    sleep 0.1
done
END
cat >"$folder/root/trial" <<'END'
mkfifo /started /go /ended
dumb-init -- sh -c 'sh /worker & read -r line </started; exit 3'
echo "dumb-init has exited with status $?"
echo 'has had SIGTERM and ends after it' >/go
cat /ended
END
inside "$folder/root" sh /trial >"$folder/seen" 2>/dev/null
same "$folder/seen" <<'END'
dumb-init has exited with status 3
a process of its group has had SIGTERM and ends after it
END
