#!/bin/sh
# systemd 262 (Debian sid, 262.1-1) and its part of the LSB's init-functions (init-functions.d/
# 40-systemd), which hands an init script's start, stop and status over to systemctl. systemd 260's
# NEWS: support for System V service scripts is gone.
# Guess: with the generator that made units of init scripts, the handing over is gone as well, and
# a script that an administrator calls by hand does its own work, as it does without systemd.
# Seen: it is handed over still, to a unit that nobody makes any more: start fails with 5, status
# says 4, and the script's own lines are not reached. SYSTEMCTL_SKIP_REDIRECT=1 reaches them.
. "$(dirname "$0")/common"

unified=$(awk '$3 == "cgroup2" { print $2; exit }' /proc/mounts)
[ -n "$unified" ] || missing 'no control groups of version 2 are mounted'

root=$folder/root
packages sid "$root" systemd=262.1-1 systemd-sysv sysvinit-utils base-files util-linux
mkdir -p "$root/etc/init.d" "$root/run" "$root/sys"
cat >"$root/etc/init.d/trial" <<'END'
#!/bin/sh
### BEGIN INIT INFO
# Provides:          trial
# Required-Start:
# Required-Stop:
# Default-Start:     2 3 4 5
# Default-Stop:      0 1 6
# Short-Description: Says what it is told
### END INIT INFO
. /lib/lsb/init-functions
echo "the script's own $1"
END
chmod 755 "$root/etc/init.d/trial"
cat >"$root/trial" <<'END'
exec >/seen
systemctl --version | sed -n '1s/ (.*//p'
/etc/init.d/trial start >/dev/null 2>&1
echo "start: $?"
/etc/init.d/trial status >/dev/null 2>&1
echo "status: $?"
SYSTEMCTL_SKIP_REDIRECT=1 /etc/init.d/trial start
END

# As process 1 of namespaces of its own, in a control group of its own; it runs that and exits.
cat >"$folder/boot" <<'END'
cd "$1"
mount --bind . . && cd "$PWD"
mount -t proc proc proc
mount -t sysfs -o ro sysfs sys
mount -t cgroup2 cgroup2 sys/fs/cgroup
mount -t tmpfs tmpfs run
mount -t tmpfs tmpfs dev
for node in null full zero random urandom tty; do
    : >"dev/$node"
    mount --bind "/dev/$node" "dev/$node"
done
exec chroot . /usr/bin/env -i container=finding /usr/lib/systemd/systemd \
    systemd.run='/bin/sh /trial' </dev/null
END
group=$unified/finding.$$
mkdir "$group"
trap 'find "$group" -depth -type d -exec rmdir {} +; rm -rf "$folder"' EXIT
(
    sh -c 'echo $PPID' >"$group/cgroup.procs"
    exec timeout -k 5 60 unshare --mount --net --pid --uts --ipc --cgroup --fork --kill-child \
        sh "$folder/boot" "$root"
) >"$folder/log" 2>&1 || true
[ -s "$root/seen" ] || {
    cat "$folder/log" >&2
    missing 'systemd did not boot'
}
same "$root/seen" <<'END'
systemd 262
start: 5
status: 4
the script's own start
END
