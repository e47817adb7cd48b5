"""A small Debian under its own systemd, with its own network, to install forkecho in.

It is booted from a tree that tests/systemd/tree builds once. What is written goes to memory, in
a mount namespace of the container's own process, so the tree stays as it is and nothing has to
be unmounted. If the tests are killed, the container is told to halt; it also does at its end.
"""
import contextlib
import ctypes
import json
import os
import re
import shutil
import subprocess
import tempfile
import time
from pathlib import Path

from harness import BUILD, DEADLINE, TOP, Client, children, eventually, program

HERE = Path(__file__).parent
TOOLS = ['systemd-nspawn', 'debootstrap', 'nsenter', 'unshare', 'setpriv']
CAP_SYS_ADMIN = 21

# A tree of Debian below, memory above; then what is to be installed, by a command in its root.
BOOT = """
set -eu
mount -t tmpfs none "$FOLDER/memory"
cd "$FOLDER/memory"
mkdir above work root
mount -t overlay -o "lowerdir=$TREE,upperdir=$PWD/above,workdir=$PWD/work" none root
(cd root && sh -euc "$INSTALL")
: >"$FOLDER/installed"
exec setpriv --pdeathsig TERM systemd-nspawn -D root "$@"
"""
MAKE_INSTALL = 'make --no-print-directory -C "$TOP" install DESTDIR="$PWD"'


def why_not():
    """Why no container can be booted here, or None."""
    if os.geteuid() != 0:
        return 'needs root'
    effective = int(re.search(r'CapEff:\s*(\w+)', Path('/proc/self/status').read_text())[1], 16)
    if not effective >> CAP_SYS_ADMIN & 1:
        return 'needs root that may mount'
    missing = [tool for tool in TOOLS if shutil.which(tool) is None]
    return f'needs {", ".join(missing)}: run make deps-all' if missing else None


# ---- control groups ----------------------------------------------------------------------

class ControlGroup:
    """A control group for the container, where no systemd runs that would give it one."""

    def __init__(self, name):
        self.folders = [folder / name for folder in self.parents()]
        for folder in self.folders:
            folder.mkdir(exist_ok=True)

    @staticmethod
    def parents():
        """Our own group in systemd's hierarchy, and in the unified one: those that systemd uses."""
        mounts = [line.split() for line in Path('/proc/self/mountinfo').read_text().splitlines()]
        for line in Path('/proc/self/cgroup').read_text().splitlines():
            _, names, path = line.split(':', 2)
            for fields in mounts:
                kind, options = fields[fields.index('-') + 1], fields[-1].split(',')
                if (kind == 'cgroup2' and not names) or (kind == 'cgroup' and names in options):
                    if names in ('', 'name=systemd'):
                        yield Path(fields[4] + path)

    def enter(self):
        for folder in self.folders:
            (folder / 'cgroup.procs').write_text(str(os.getpid()))

    def remove(self):
        for folder in self.folders:
            for below, _, _ in os.walk(folder, topdown=False):
                with contextlib.suppress(OSError):
                    os.rmdir(below)


# ---- the container -----------------------------------------------------------------------

class Container:
    """A booted container. Ends with halt(), whatever happened."""
    process_1 = 'systemd'
    command = ['--boot']  # or what becomes process 1

    def __init__(self, suite, install=MAKE_INSTALL):
        self.suite, self.install = suite, install
        built = subprocess.run([HERE / 'tree', suite], text=True, capture_output=True, timeout=900,
                               stdin=subprocess.DEVNULL, check=False)
        assert built.returncode == 0, f'{suite} could not be built:\n{built.stderr}'
        self.folder = Path(tempfile.mkdtemp(prefix='forkecho-'))
        (self.folder / 'memory').mkdir()
        self.console = self.folder / 'console'
        self.name = self.folder.name.replace('_', 'x')
        self.managed = Path('/run/systemd/system').is_dir()
        self.group = ControlGroup(self.name) if not self.managed else None
        self.leader = None
        self.loads = []
        self.nspawn = self.boot(built.stdout.strip())
        try:
            self.wait_for_installation()
            self.leader = eventually(self.find_leader, 'the container has a process 1')
            eventually(self.has_booted, f'{self.process_1} has booted')
        except AssertionError as problem:
            log = self.console.read_text(errors='replace')
            self.halt()
            raise AssertionError(f'{problem}\n{log[-8000:]}') from None

    def boot(self, tree):
        options = ['--private-network', '--register=no', '--console=read-only',
                   f'--machine={self.name}', '--quiet']
        if not self.managed:
            options.append('--keep-unit')
        environment = {**os.environ, 'TREE': tree, 'FOLDER': str(self.folder), 'TOP': str(TOP),
                       'INSTALL': self.install, 'BUILD': str(BUILD.relative_to(TOP)),
                       'SYSTEMD_NSPAWN_UNIFIED_HIERARCHY': '1'}  # 258 and later know no other
        with self.console.open('wb') as console:
            return subprocess.Popen(
                ['unshare', '--mount', 'sh', '-c', BOOT, 'sh', *options, *self.command], env=environment,
                stdin=subprocess.DEVNULL, stdout=console, stderr=subprocess.STDOUT,
                start_new_session=True, preexec_fn=self.group.enter if self.group else None)

    def wait_for_installation(self):
        """It may fetch from a network, and takes what that takes."""
        while not (self.folder / 'installed').exists():
            assert self.nspawn.poll() is None, 'nothing was installed'
            time.sleep(0.05)

    def find_leader(self):
        assert self.nspawn.poll() is None, self.console.read_text(errors='replace')
        for each in children(self.nspawn.pid):
            with contextlib.suppress(OSError):
                status = Path(f'/proc/{each.pid}/status').read_text()
                if re.search(rf'^Name:\s*{self.process_1}$.*^NSpid:\s.*\t1$', status, re.M | re.S):
                    return each.pid
        return None

    def has_booted(self):
        assert self.nspawn.poll() is None, self.console.read_text(errors='replace')
        state = self.run('systemctl', 'is-system-running', check=False).stdout.strip()
        return state in ('running', 'degraded')

    def halt(self):
        self.nspawn.terminate()  # it passes this on as an order to halt
        try:
            self.nspawn.wait(60)
        except subprocess.TimeoutExpired:
            self.nspawn.kill()
            self.nspawn.wait()
        if self.group:
            eventually(lambda: self.group.remove() or not any(
                folder.exists() for folder in self.group.folders), 'its control groups are gone')
        with contextlib.suppress(OSError):
            os.rmdir(f'/run/systemd/nspawn/propagate/{self.name}')
        shutil.rmtree(self.folder)

    # -- inside --

    def run(self, *command, check=True, timeout=DEADLINE, text=None):
        """Runs a command in the container to its end."""
        done = subprocess.run(
            ['nsenter', '-t', str(self.leader), '-m', '-u', '-i', '-n', '-p', '--root', '--wd',
             '--', 'env', '-i', 'PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin',
             *command], text=True, capture_output=True, timeout=timeout, check=False,
            **({'input': text} if text is not None else {'stdin': subprocess.DEVNULL}))
        assert not check or done.returncode == 0, f'{" ".join(command)}: {done.stdout}{done.stderr}'
        return done

    def systemctl(self, *words, **options):
        return self.run('systemctl', *words, **options).stdout.strip()

    def show(self, unit, key):
        return self.systemctl('show', '--value', '-p', key, unit)

    def version(self):
        return int(self.systemctl('--version').split()[1])

    def main_pid(self, unit):
        """The number that the host knows a unit's main process by."""
        inside = self.show(unit, 'MainPID')
        if inside == '0':
            return None
        members = self.show(unit, 'ControlGroup')
        for each in self.processes():
            if each[1] == inside and members:
                return each[0]
        return None

    def processes(self):
        """[(number on the host, number inside)] of all in the container."""
        namespace = os.readlink(f'/proc/{self.leader}/ns/pid')
        found = []
        for name in os.listdir('/proc'):
            with contextlib.suppress(OSError):
                if name.isdigit() and os.readlink(f'/proc/{name}/ns/pid') == namespace:
                    status = Path(f'/proc/{name}/status').read_text()
                    found.append((int(name), re.search(r'^NSpid:.*\t(\d+)$', status, re.M)[1]))
        return found

    def path(self, inside):
        """Where the host sees a file of the container."""
        return Path(f'/proc/{self.leader}/root') / inside.lstrip('/')

    def journal(self, unit, *options):
        """The messages of a unit, oldest first, as journald keeps them."""
        self.run('journalctl', '--sync')
        text = self.run('journalctl', '-o', 'json', '--no-pager', '-u', unit, *options).stdout
        return [json.loads(line) for line in text.splitlines()]

    def drop_in(self, unit, text, name='test'):
        """Changes a unit, as systemctl edit does."""
        folder = self.path(f'/etc/systemd/system/{unit}.d')
        folder.mkdir(exist_ok=True)
        (folder / f'{name}.conf').write_text(text)
        self.systemctl('daemon-reload')

    # -- its network --

    @contextlib.contextmanager
    def network(self):
        """What opens a socket in here is in the container's network."""
        libc = ctypes.CDLL(None, use_errno=True)

        def enter(space):
            if libc.setns(space.fileno(), 0) != 0:
                raise OSError(ctypes.get_errno(), 'setns')

        with open('/proc/thread-self/ns/net') as ours, \
                open(f'/proc/{self.leader}/ns/net') as theirs:
            enter(theirs)
            try:
                yield
            finally:
                enter(ours)

    def connect(self, address='127.0.0.1:7'):
        with self.network():
            return Client(address)

    def load(self, *words):
        """Starts echoload in the container's network; report() of what it returns ends it."""
        self.loads.append(Load(['nsenter', '-t', str(self.leader), '-n', program('echoload'),
                                *words]))
        return self.loads[-1]

    def end_loads(self):
        """Ends what a failed test has left running."""
        for each in self.loads:
            if each.poll() is None:
                each.kill()
                each.communicate()
        self.loads.clear()


class Load(subprocess.Popen):
    """A running load generator."""

    def __init__(self, command):
        super().__init__(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                         stderr=subprocess.PIPE, text=True)

    def wait_for(self, count, least):
        """Waits until count() has reached `least`; it may take long, but it has to go on."""
        while (before := count()) < least:
            assert self.poll() is None, self.communicate()
            eventually(lambda: count() > before, 'the load goes on')

    def report(self, stop=True):
        """Ends it, and returns its report: {name: value}."""
        if stop:
            self.send_signal(2)
        output, errors = self.communicate(timeout=3 * DEADLINE)
        report = dict(re.findall(r'^(\S+) +(\S+)', output, re.M))
        assert report, errors
        return report
