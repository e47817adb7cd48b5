#!/bin/sh
# tcc 0.9.27 (Debian 0.9.27+git20200814.62c30a4a-1), tcc(1): "-o outfile: Put object file,
# executable, or dll into output file outfile."
# Guess: an output that exists and is a device is opened and written to, as gcc does: with
# -o /dev/null a configure script asks whether something compiles, and keeps nothing.
# Seen: tcc removes whatever has the name and makes a regular file. By root such a question takes
# the device away from the whole machine. (Here it is a node of the same kind in a folder.)
. "$(dirname "$0")/common"
needs gcc

packages bookworm "$folder/root" tcc=0.9.27+git20200814.62c30a4a-1
echo 'int nothing;' >"$folder/root/trial.c"
cat >"$folder/root/trial" <<'END'
mknod /dev/sink c 1 3
tcc -c -o /dev/sink /trial.c || echo "status $?"
stat -c 'tcc leaves: %F' /dev/sink
END
{
    mknod "$folder/sink" c 1 3
    gcc -c -o "$folder/sink" "$folder/root/trial.c"
    stat -c 'gcc leaves: %F' "$folder/sink"
    inside "$folder/root" sh /trial
} >"$folder/seen"
same "$folder/seen" <<'END'
gcc leaves: character special file
tcc leaves: regular file
END
