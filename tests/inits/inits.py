"""Other inits than systemd, each as process 1 of a container (tests/systemd/container.py), with
forkecho as the files of examples/ say: what an administrator types, and what comes of it."""
import contextlib
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / 'systemd'))
from container import MAKE_INSTALL, Container
from harness import DEADLINE

# Before it boots there is a network, for the packages.
PREPARE = """
cp -L /etc/resolv.conf etc/resolv.conf || :
mount --bind /dev dev
echo 'Acquire::Check-Valid-Until "false";' >etc/apt/apt.conf.d/90mirror
chroot . apt-get -qq update
chroot . env DEBIAN_FRONTEND=noninteractive apt-get -qq install -y --no-install-recommends \
    --allow-remove-essential {packages} >/dev/null 2>&1
umount dev
{make_install} >/dev/null
cp -r usr/local/share/doc/forkecho/examples .
chroot . sh -euc '{enable}'
"""


class Init(Container):
    """What is typed is a command of a shell."""
    process_1 = 'init'
    command = ['/sbin/init']
    packages = ''
    enable = ''             # as the top of the file says, before the boot
    booted = ''             # succeeds once it has
    start = stop = reload = status = halts = ''
    running, stopped, crashed = 0, 3, None  # what status exits with; None: it is started again
    patience = 0            # for how many seconds it waits for a stop by itself
    log = '/var/log/messages'

    def __init__(self, suite):
        super().__init__(suite, PREPARE.format(packages=self.packages, enable=self.enable,
                                               make_install=MAKE_INSTALL))
        if self.log == Init.log:
            self.run('busybox', 'syslogd', '-O', self.log)

    def has_booted(self):
        assert self.nspawn.poll() is None, self.console.read_text(errors='replace')
        return self.types(self.booted) == 0

    def types(self, words):
        """The exit status of what is typed."""
        return self.run('sh', '-c', words, check=False, timeout=2 * DEADLINE).returncode

    def lines(self):
        path = self.path(self.log)
        return path.read_text(errors='replace').splitlines() if path.exists() else []

    def servers(self):
        """The numbers of all processes of forkecho, on the host."""
        found = []
        for pid, _ in self.processes():
            with contextlib.suppress(OSError):
                if Path(f'/proc/{pid}/comm').read_text() == 'forkecho\n':
                    found.append(pid)
        return found


class OpenRC(Init):
    packages = 'openrc sysvinit-core systemd-sysv- busybox'
    enable = 'install /examples/openrc/forkecho /etc/init.d/ && rc-update add forkecho default'
    booted = 'rc-status -r | grep default && rc-service forkecho status'
    start, stop, reload, status = (f'rc-service forkecho {word}' for word in
                                   ('start', 'stop', 'reload', 'status'))
    halts = 'init 0'
    crashed = 32
    patience = 5


class Runit(Init):
    process_1 = 'runit'
    packages = 'runit-init systemd-sysv-'
    enable = 'cp -r /examples/runit /etc/sv/forkecho && ln -s /etc/sv/forkecho /etc/service/'
    booted = 'sv status forkecho | grep ^run: && sv check forkecho'
    start, stop, reload = (f'sv {word} forkecho' for word in ('start', '-w 15 stop', 'hup'))
    status = 'sv status forkecho | grep ^run: || exit 3'
    halts = 'init 0'
    patience = 7
    log = '/var/log/forkecho/current'


class S6(Init):
    process_1 = 's6-svscan'
    command = ['/usr/bin/s6-svscan', '/etc/service']
    packages = 's6'
    enable = 'mkdir /etc/service && cp -r /examples/s6 /etc/service/forkecho'
    booted = 's6-svwait -U -t 10000 /etc/service/forkecho'
    start, stop, reload = (f'{words} /etc/service/forkecho' for words in
                           ('s6-svc -uwU -T 10000', 's6-svc -dwD', 's6-svc -h'))
    status = 's6-svstat -o up /etc/service/forkecho | grep true || exit 3'
    halts = 's6-svscanctl -t /etc/service'
    log = '/var/log/forkecho/current'


class SysVInit(Init):
    packages = 'sysvinit-core systemd-sysv- busybox'
    enable = 'install /examples/init/forkecho /etc/init.d/ && update-rc.d forkecho defaults'
    booted = 'runlevel | grep "N 2" && service forkecho status'
    start, stop, reload, status = (f'service forkecho {word}' for word in
                                   ('start', 'stop', 'reload', 'status'))
    halts = 'init 0'
    crashed = 1


INITS = [OpenRC, Runit, S6, SysVInit]
