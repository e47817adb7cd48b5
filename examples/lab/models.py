"""models.py: the servers that the lab compares: found in build/, started, watched, stopped.

A model is any build/*echo, the same from build/static/, the textbook's server, and `exec`, which is
forkecho with a small program in place of its echo: what is not built is not compared, and a new
server needs no entry anywhere. Each measurement starts a server of
its own and stops it, so none inherits what another left behind.

What is seen of a server is seen from outside, in /proc, and over its whole tree of processes.
"""
import contextlib
import ctypes
import os
import re
import resource
import select
import signal
import subprocess
import tempfile
import time
from collections import namedtuple
from pathlib import Path

from verdicts import DIED

START_SECONDS = 60  # until a server has printed its address
STOP_SECONDS = 5    # until one that was told to stop is killed
LOOK = 0.002        # from one look at it to the next
ABSENT = 0.1        # that one look counts for at most: else we were not there ourselves
GIVE_UP = 30        # until nothing more is expected of one that never sleeps
# What a server logs that could not start a process or thread: the machine's limit, and not its own.
SHORTAGE = re.compile(r'\b(?:fork|pthread_create)(?: failed)?: .*')
PR_SET_CHILD_SUBREAPER = 36  # prctl(2)

Model = namedtuple('Model', 'name path about operands', defaults=((),))


class ServerFailed(Exception):
    """A server that did not start, or died: why, in a few words."""


# ---- finding -----------------------------------------------------------------------------

EXEC = 'forkecho, whose child becomes another program that echoes: examples/program/echo.c.'
STATIC = ' Linked statically, with musl.'


def static(path):
    return path.parent.name == 'static'


def about(path):
    """The sentence in which a server's --help says what it is; the textbook's has none."""
    if path.name == 'textbook':
        return 'The forking server as it is taught: a handler that loops over waitpid(-1).'
    lines = subprocess.run([path, '--help'], stdin=subprocess.DEVNULL, capture_output=True,
                           text=True, timeout=START_SECONDS, check=False).stdout.splitlines()
    said = next((line for line in lines if line.endswith('.')), '').split(': ', 1)[-1]
    return said[:1].upper() + said[1:] + STATIC * static(path)


def find(build):
    """{name: Model}, those of the family by name, the textbook last."""
    paths = sorted(build.glob('*echo')) + sorted(build.glob('static/*echo'))
    found = {}
    for path in [*paths, build / 'hazards' / 'textbook']:
        if os.access(path, os.X_OK) and path.is_file():
            name = path.name + '-static' * static(path)
            found[name] = Model(name, path, about(path))
    for program in build / 'echo_program', build / 'static' / 'echo_program':
        if os.access(program, os.X_OK) and os.access(program.parent / 'forkecho', os.X_OK):
            name = 'exec' + '-static' * static(program)
            found[name] = Model(name, program.parent / 'forkecho', EXEC + STATIC * static(program),
                                ('--', program))
    names = sorted(found, key=lambda name: (name == 'textbook', name))
    return {name: found[name] for name in names}


def known_commands(build):
    """{name: the command that starts it on {port}, which may be 0}, of the family and of the
    hazards."""
    found = {name: [model.path, '-q', '-l', '127.0.0.1:{port}', *model.operands]
             for name, model in find(build).items() if name != 'textbook'}
    for path in sorted((build / 'hazards').glob('*')):
        if os.access(path, os.X_OK) and path.is_file():
            found[path.name] = [path, '{port}']
    return found


# ---- /proc -------------------------------------------------------------------------------

def children(pid):
    """The processes that its threads have forked and not yet waited for, zombies among them."""
    found = []
    with contextlib.suppress(FileNotFoundError, ProcessLookupError):  # of one that has ended
        for thread in os.listdir(f'/proc/{pid}/task'):
            with contextlib.suppress(FileNotFoundError, ProcessLookupError):
                found += map(int, Path(f'/proc/{pid}/task/{thread}/children').read_text().split())
    return found


def tree(pid):
    """The process and all below it."""
    found = [pid]
    for each in found:
        found += children(each)
    return found


def states(pid):
    """The states of a process's threads: S, R, Z, and t where a tracer or a signal halts it."""
    found = ''
    with contextlib.suppress(FileNotFoundError, ProcessLookupError):
        for thread in Path(f'/proc/{pid}/task').iterdir():
            found += thread.joinpath('stat').read_text().rpartition(')')[2][1]
    return found


def asleep(pids):
    """Whether each of their threads waits for something, or has ended."""
    return not set(''.join(map(states, pids))) - set('SZX')


def is_zombie(pid):
    try:
        with open(f'/proc/{pid}/stat', 'rb') as file:
            return file.read().rpartition(b') ')[2][:1] == b'Z'
    except (FileNotFoundError, ProcessLookupError):
        return False


def summed(pids, value):
    """The sum of value(pid); a process that has gone meanwhile counts as nothing."""
    total = 0
    for pid in pids:
        with contextlib.suppress(FileNotFoundError, ProcessLookupError, PermissionError):
            total += value(pid)
    return total


def pss_kib(pid):
    """Its memory, with each page that several processes share counted in parts: proc(5)."""
    text = Path(f'/proc/{pid}/smaps_rollup').read_text()
    return int(re.search(r'^Pss: +(\d+)', text, re.M).group(1))


def open_descriptors(pid):
    return len(os.listdir(f'/proc/{pid}/fd'))


def sockets(pid):
    """The numbers of a process's sockets."""
    found = set()
    with contextlib.suppress(FileNotFoundError, ProcessLookupError, PermissionError):
        for name in os.listdir(f'/proc/{pid}/fd'):
            with contextlib.suppress(FileNotFoundError):
                found.add(os.readlink(f'/proc/{pid}/fd/{name}'))
    return {int(match[1]) for match in map(re.compile(r'socket:\[(\d+)\]').match, found) if match}


def threads(pid):
    return len(os.listdir(f'/proc/{pid}/task'))


def main_thread_seconds(pid):
    """Processor time of its main thread, to the nanosecond: schedstat."""
    return int(Path(f'/proc/{pid}/schedstat').read_text().split()[0]) / 1e9


def worked_elsewhere():
    """Seconds that the processors have worked for programs that are neither ours nor ended children
    of ours, or for other guests of the host: what counts is a difference. Interrupts are left out,
    as nobody can say whose they are."""
    user, nice, system, *_, stolen = map(int, Path('/proc/stat').read_text().split()[1:9])
    return (user + nice + system + stolen) / os.sysconf('SC_CLK_TCK') - sum(os.times()[:4])


# ---- running -----------------------------------------------------------------------------

def readable(file, seconds):
    """Whether there is something to read by then. By poll: select has no room beyond 1024."""
    waiting = select.poll()
    waiting.register(file, select.POLLIN)
    return bool(waiting.poll(seconds * 1000))


def wait_end(pid, seconds):
    """Whether a child of ours has ended by then. It is not yet waited for."""
    pidfd = os.pidfd_open(pid)
    try:
        return readable(pidfd, seconds)
    finally:
        os.close(pidfd)


def adopt_orphans():
    """Makes the children of a server that dies ours, so that none is lost, nor its time."""
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


def end_all():
    """Ends whatever still runs of all that we started, and what that had started: a Ctrl-C may
    have come between the start of a process and the line that would have remembered it."""
    while left := children(os.getpid()):
        for pid in left:
            os.kill(pid, signal.SIGKILL)
        for pid in left:
            with contextlib.suppress(ChildProcessError):
                os.waitpid(pid, 0)


def leave_no_core():
    """A server that is made to crash leaves no file. Of our own limits they inherit this, so that
    no line of Python runs between fork and exec, where a Ctrl-C would find it."""
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


class Server:
    """A running server. Use it in `with`: it does not outlive the block, nor do its children."""

    def __init__(self, model, clients, port=0):
        """`clients` is how many it should serve at once; one that refuses the number is asked
        for what it serves of itself."""
        self.model, self.log = model, tempfile.TemporaryFile()
        self.process = None
        options = [str(port)] if model.name == 'textbook' else \
            ['-q', '-1', '-l', f'127.0.0.1:{port}']
        limit = [] if model.name == 'textbook' else ['-c', str(max(clients, 1) + 100)]
        try:
            self.address = self.begin([model.path, *options, *limit, *model.operands]) or \
                self.begin([model.path, *options, *model.operands])
            if not self.address:
                raise ServerFailed(f'did not start: {self.last_words()}')
        except BaseException:
            self.stop()
            raise

    def begin(self, command):
        """Starts it. Returns its address, or '' if it ended instead."""
        self.process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=self.log,
            start_new_session=True)
        ready = readable(self.process.stdout, START_SECONDS)
        address = self.process.stdout.readline().decode().strip() if ready else ''
        self.process.stdout.close()
        if not address:
            self.stop()
        return address

    @property
    def pid(self):
        return self.process.pid

    def words(self):
        """What it wrote to standard error. It shares the place in the file, so none is sought."""
        size = os.fstat(self.log.fileno()).st_size
        return os.pread(self.log.fileno(), size, 0).decode(errors='replace')

    def last_words(self):
        """The last line of it."""
        return (self.words().splitlines() or ['it said nothing'])[-1]

    def wait_end(self, seconds):
        """Whether it has ended by then."""
        return wait_end(self.pid, seconds)

    def check(self, seconds=0):
        """Raises ServerFailed if it has died by itself, or does so by then; and if it could not
        start a process or thread: what is measured then is this machine's limit."""
        died = self.wait_end(seconds)
        if short := SHORTAGE.search(self.words()):
            raise ServerFailed(f'too few processes allowed: {short.group()}')
        if died:
            status = os.waitid(os.P_PID, self.pid, os.WEXITED | os.WNOWAIT)
            how = f'signal {status.si_status}' if status.si_code != os.CLD_EXITED else \
                f'status {status.si_status}'
            raise ServerFailed(f'{DIED} ({how}): {self.last_words()}')

    def signal_all(self, number):
        """Its group, and its children that have sessions of their own, as programs have."""
        others = tree(self.pid)[1:]
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.pid, number)
        for pid in others:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, number)

    def stop(self):
        """Ends it and all that it forked. Returns the seconds of processor time of them all,
        from its start on: its own, its children's that it waited for, and its orphans'."""
        if self.process is None or self.process.returncode is not None:
            return 0.0
        with contextlib.suppress(ProcessLookupError):
            os.kill(self.pid, signal.SIGQUIT)
            self.wait_end(STOP_SECONDS)
        self.signal_all(signal.SIGKILL)
        usages = [os.wait4(self.pid, 0)[2]]
        self.process.returncode = 0  # so that Popen does not wait for it again
        with contextlib.suppress(ChildProcessError):
            while True:
                usages.append(os.wait4(-self.pid, 0)[2])
        return sum(usage.ru_utime + usage.ru_stime for usage in usages)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.stop()
        self.log.close()


# ---- putting under load ------------------------------------------------------------------

NO_CONNECTION = 3  # as echoload's exit status: echoload(1)


class LoadFailed(Exception):
    """echoload could not do what it was asked."""


class NotConnected(LoadFailed):
    """Not even its first client came through: the backlog is full, or nobody listens."""


class Load:
    """echoload, running. Use it in `with`: it does not outlive the block."""

    def __init__(self, build, mode, address, **options):
        command = [build / 'echoload', mode]
        for letter, value in options.items():
            command += [f'-{letter}', f'{value:.3f}' if letter in 'dt' else str(value)]
        self.patience = options.get('d', 0) + 20
        self.process = subprocess.Popen([*command, address], stdin=subprocess.DEVNULL, text=True,
                                        stdout=subprocess.PIPE, stderr=subprocess.PIPE)

    def result(self):
        """Waits for its end. Its report as {name: number}; '-' is None."""
        try:
            out, err = self.process.communicate(timeout=self.patience)
        except subprocess.TimeoutExpired:
            raise LoadFailed('the load did not end in time') from None
        if self.process.returncode not in (0, 1) or not out:
            why = err.strip().split('\n')[-1].removeprefix('echoload: ')
            raise (NotConnected if self.process.returncode == NO_CONNECTION else LoadFailed)(why)
        return report(out)

    def wait_end(self, seconds):
        """Whether it has ended by then."""
        return wait_end(self.process.pid, seconds)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if self.process.poll() is None:
            self.process.kill()
        self.process.communicate()


def report(text):
    """echoload's report as {name: number}: its lines are a name, a value and perhaps a unit."""
    found = {}
    for line in text.splitlines():
        name, value = (line.split() + ['', ''])[:2]
        with contextlib.suppress(ValueError):
            found[name] = float(value)
    return found


def load(build, mode, address, **options):
    """Runs echoload to its end: load(build, 'ping', address, c=8, d=0.2)['p50']."""
    with Load(build, mode, address, **options) as running:
        return running.result()


def until(condition, seconds):
    """Polls until the condition holds; returns whether it did in time."""
    end = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > end:
            return False
        time.sleep(LOOK)
    return True


class Patience:
    """With what a server may do or not: it ends when all of its processes have slept for so many
    seconds. Who has work to do will do it, however late that is on a busy machine."""

    def __init__(self, seconds, pids):
        """`pids`: a function that gives the processes that are waited for."""
        self.left, self.pids, self.asked = seconds, pids, time.monotonic()
        self.end = self.asked + GIVE_UP

    def is_out(self):
        """To be asked when a look has found nothing."""
        before, self.asked = self.asked, time.monotonic()
        if asleep(self.pids()):
            self.left -= min(self.asked - before, ABSENT)
        return self.left <= 0 or self.asked > self.end


def until_asleep(condition, seconds, pids):
    """Polls until the condition holds, or they have slept for so long; returns whether it does."""
    patience = Patience(seconds, pids)
    while not condition():
        if patience.is_out():
            return condition()
        time.sleep(LOOK)
    return True
