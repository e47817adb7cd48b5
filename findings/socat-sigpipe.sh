#!/bin/sh
# socat 1.7.4.4 (Debian 1.7.4.4-2), socat(1): EXEC "Forks a sub process that establishes
# communication with its parent process and invokes the specified program with execvp()"; of signals
# it names those that are passed on to it, on request, and no other.
# Guess: the program has SIGPIPE at its default, as from a shell or under tcpserver and xinetd, so
# that one which does not look at the result of a write ends when its client has gone.
# Seen: SIGPIPE is ignored, as execve(2) leaves what socat set for itself; with nofork as well, where
# the program is alone with its client. Such a program writes on for ever.
. "$(dirname "$0")/common"

packages bookworm "$folder/root" socat=1.7.4.4-2
cat >"$folder/root/status" <<'END'
#!/bin/sh
exec grep SigIgn /proc/self/status
END
chmod 755 "$folder/root/status"
cat >"$folder/root/trial" <<'END'
echo "the shell's: $(/status)"
for option in '' ,nofork; do
    socat TCP-LISTEN:7000,bind=127.0.0.1,reuseaddr "EXEC:/status$option" &
    echo "socat's EXEC$option: $(socat -u TCP:127.0.0.1:7000,retry=100,interval=0.1 -)"
    wait
done
END
# Bit 12 is SIGPIPE.
inside "$folder/root" env --default-signal sh /trial >"$folder/seen"
same "$folder/seen" <<'END'
the shell's: SigIgn:	0000000000000000
socat's EXEC: SigIgn:	0000000000001000
socat's EXEC,nofork: SigIgn:	0000000000001000
END
