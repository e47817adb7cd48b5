"""What the behaviour tests share: servers, clients, and waiting for events.

A test starts a server with the `server` fixture (pytest_forkecho.py), connects with
server.connect(), and waits for lines of its log with server.wait_line(). Nothing here
sleeps for a time where an event can be awaited; where the only evidence is in /proc,
eventually() polls it. Everything has one deadline, after which the test fails and shows
what the server wrote.
"""
import contextlib
import fcntl
import functools
import inspect
import itertools
import os
import re
import resource
import shutil
import signal
import socket
import struct
import subprocess
import tempfile
import threading
import time
from collections import namedtuple
from pathlib import Path

import pytest

import sockets

TOP = Path(__file__).resolve().parents[2]
BUILD = TOP / os.environ.get('BUILD', 'build')
# forkecho first, then the variants, which are found as the Makefile finds them.
VARIANTS = sorted(f"{path.stem.removeprefix('serve_')}echo"
                  for path in TOP.glob('examples/variants/serve_*.c'))
ALL_SERVERS = ['forkecho', *VARIANTS]
SERVERS = os.environ.get('SERVERS', ' '.join(ALL_SERVERS)).split()
# Seconds until a test gives up. Far more than anything takes, so that only defects reach it.
DEADLINE = float(os.environ.get('DEADLINE', 60))

# Without it (CONFIG_PROC_CHILDREN), children are found among all processes.
LISTS_CHILDREN = Path(f'/proc/self/task/{os.getpid()}/children').exists()

# What compiles for the machine that the servers are for.
CC = os.environ.get('CC', 'cc').split()

# What each server and suite is run under, such as valgrind (tests/valgrind/memcheck).
UNDER = os.environ.get('UNDER', '').split()


def read_unable():
    """What cannot pass where these tests run, in the file that UNABLE names: {test: why}. A line
    without a margin is a reason; tests of behaviour, or of a unit suite, stand below it."""
    found, reason = {}, None
    for line in Path(os.environ.get('UNABLE', os.devnull)).read_text().splitlines():
        if line.startswith(' '):
            found[line.strip()] = reason
        elif line and not line.startswith('#'):
            reason = line
    return found


UNABLE = read_unable()

# Another user's limits can be changed from outside only with CAP_SYS_RESOURCE.
AS_OURSELVES = ['-u', str(os.geteuid())]

forks_only = pytest.mark.only('forkecho')  # for what only a process per client can have
with_processes = pytest.mark.only('forkecho', 'preforkecho')  # for what any child process can have
# For what whoever starts processes or threads for its clients can have.
with_starts = pytest.mark.only('forkecho', 'preforkecho', 'threadecho', 'threadpoolecho')
# What main.c and the library do before serve(), and with -i instead of it, is one code, which one
# rule of the Makefile links into every server: one of processes and one of threads stand for all.
before_serving = pytest.mark.only('forkecho', 'threadecho')
only_for = pytest.mark.only  # for what is true of these servers only
concurrent = pytest.mark.but('iterecho', 'it serves one client at a time')
# The parent of preforkecho does not accept: it neither sees who waits in the backlog nor lacks a
# descriptor for it. tests/behaviour/test_pools.py has what is true there.
parent_accepts = pytest.mark.but('preforkecho', 'its children accept by themselves')
long = pytest.mark.long  # takes many seconds: pytest_forkecho.py has it begun early
# For what is preloaded: a static program loads nothing, and a sanitizer wants to be the first.
preloads = pytest.mark.skipif(BUILD.name in ('static', 'asan', 'tsan'), reason='nothing is preloaded')
needs_root = pytest.mark.skipif(os.geteuid() != 0, reason='needs root')


def has_ipv6():
    try:
        with socket.socket(socket.AF_INET6) as probe:
            probe.bind(('::1', 0))
        return True
    except OSError:
        return False


needs_ipv6 = pytest.mark.skipif(not has_ipv6(), reason='needs IPv6 on loopback')


# ---- waiting -----------------------------------------------------------------------------

def eventually(condition, what):
    """Polls until `condition()` is true and returns what it gave; for what tells no event."""
    end = time.monotonic() + DEADLINE
    while True:
        value = condition()
        if value:
            return value
        assert time.monotonic() < end, f'in {DEADLINE:g} s it never came true: {what}'
        time.sleep(0.005)


def in_time(attempt, *seconds):
    """Whether `attempt(each)` is true for one of these times. What has to happen in a time may for
    once come late on a busy machine, and is tried again; with a defect it comes late each time."""
    return any(attempt(each) for each in seconds)


def ends_by_term(how):
    """Whether children that are told to end do so in the second that they have until they are
    killed, by what `how()` says of one each time; with a defect none does. Under valgrind all may
    be late."""
    right = ('signal-15', 'signal-9') if UNDER else ('signal-15',)
    return any(how() in right for _ in range(5))


def with_limit(*seconds):
    """For a test whose `limit` a client has to keep, as a server would end it otherwise: begun anew
    with the next where it fails. On a busy machine a client may be late; with a defect all fail."""
    def decorate(test):
        @functools.wraps(test)
        def begin_anew(**fixtures):
            for limit in seconds[:-1]:
                with contextlib.suppress(Exception):
                    return test(limit=limit, **fixtures)
            return test(limit=seconds[-1], **fixtures)

        fixtures = inspect.signature(test).parameters.values()
        begin_anew.__signature__ = inspect.Signature([each for each in fixtures if each.name != 'limit'])
        return begin_anew
    return decorate


# ---- processes, as /proc shows them ------------------------------------------------------

Process = namedtuple('Process', 'pid state parent session cpu')


def process(pid, folder='/proc'):
    """One process, or None when there is none: its CPU time is in seconds."""
    try:
        with open(f'{folder}/{pid}/stat', 'rb', buffering=0) as file:
            text = file.read()
    except (FileNotFoundError, ProcessLookupError):
        return None
    field = text[text.rindex(b')') + 2:].split()
    cpu = (int(field[11]) + int(field[12])) / os.sysconf('SC_CLK_TCK')
    return Process(int(pid), field[0].decode(), int(field[1]), int(field[3]), cpu)


def dead(pid):
    """Whether a process has ended; perhaps nobody has waited for it yet."""
    found = process(pid)
    return found is None or found.state in 'ZX'


def processes(folder='/proc'):
    """All there are. That takes as long as there are processes on the machine: who can ask for a
    server's own asks children()."""
    every = (process(name, folder) for name in os.listdir(folder) if name.isdigit())
    return [each for each in every if each is not None]


def threads(pid):
    """The threads of a process, each as if it were one itself; none when it is gone."""
    try:
        return processes(f'/proc/{pid}/task')
    except (FileNotFoundError, ProcessLookupError):
        return []


def children_in(task):
    """The numbers of the children of one thread: proc(5), children."""
    with contextlib.suppress(FileNotFoundError, ProcessLookupError), \
            open(f'{task}/children', 'rb', buffering=0) as file:
        return [int(pid) for pid in b''.join(iter(lambda: file.read(1 << 16), b'')).split()]
    return []


def pids_of_children(pid):
    """The numbers of a process's children, zombies too. A list that is read while a child goes may
    lack another one: so it is read twice."""
    if not LISTS_CHILDREN:
        return [each.pid for each in processes() if each.parent == pid]
    found, tasks = set(), f'/proc/{pid}/task'
    with contextlib.suppress(FileNotFoundError, ProcessLookupError):
        for task in os.listdir(tasks) * 2:
            found.update(children_in(f'{tasks}/{task}'))
    return sorted(found)


def children(pid):
    every = map(process, pids_of_children(pid))
    return [each for each in every if each is not None and each.parent == pid]


def descendants(pid):
    """A process, its children, theirs, and so on."""
    found = [each for each in [process(pid)] if each is not None]
    for each in found:
        found += children(each.pid)
    return found


def session_of(pid):
    try:
        return os.getsid(pid)
    except ProcessLookupError:
        return None


def of_session(*sessions):
    """The processes of a session, or of several, in whatever group. To ask the kernel for the session of each takes
    a hundredth of what a look into its /proc would."""
    every = (process(name) for name in os.listdir('/proc')
             if name.isdigit() and session_of(int(name)) in sessions)
    return [each for each in every if each is not None]


def descriptors(pid):
    """What each open descriptor of a process is: {number: 'socket:[123]'}."""
    found = {}
    for number in os.listdir(f'/proc/{pid}/fd'):
        with contextlib.suppress(FileNotFoundError):
            found[int(number)] = os.readlink(f'/proc/{pid}/fd/{number}')
    return found


def use_up_descriptors(pid):
    """Lowers the limit of a running process so that it can open nothing more. Returns what gives
    the descriptors back."""
    used = descriptors(pid)
    free = next(number for number in range(len(used) + 1) if number not in used)
    before = resource.prlimit(pid, resource.RLIMIT_NOFILE)
    resource.prlimit(pid, resource.RLIMIT_NOFILE, (free, before[1]))
    return lambda: resource.prlimit(pid, resource.RLIMIT_NOFILE, before)


def marked(mark):
    """The processes that were started with FORKECHO_TEST=mark in their environment, and still
    run: wherever they have gone, a session of their own included."""
    found = []
    for each in processes():
        with contextlib.suppress(OSError):
            variables = Path(f'/proc/{each.pid}/environ').read_bytes().split(b'\0')
            if f'FORKECHO_TEST={mark}'.encode() in variables and each.state not in 'ZX':
                found.append(each)
    return found


def visit(srv, data=b'hello'):
    """A client of a server who has an echo, finishes, and sees the end."""
    client = srv.connect()
    assert client.echo(data) == data
    client.half_close()
    assert client.receive_all() == b''


# ---- the ledger --------------------------------------------------------------------------

def open_ledger(srv):
    """A write end of our own of a server's ledger, which is open soon after the addresses are
    printed: what a child holds that somebody has compromised."""
    def write_end():
        pipes = [number for number, what in descriptors(srv.pid).items()
                 if number > 2 and what.startswith('pipe:')]
        return max(pipes) if len(pipes) == 2 else None

    number = eventually(write_end, 'the ledger is open')
    return os.open(f'/proc/{srv.pid}/fd/{number}', os.O_WRONLY)


def source_number(path, name):
    """A number that a source file defines: `#define NAME 4711`."""
    found = re.search(rf'^#define {name} (?:UINT64_C\()?(\w+)', (TOP / path).read_text(), re.M)
    return int(found[1], 0)


def record_format():
    """The members of a record, which follow each other without a gap, and how struct packs them: as
    ledger.h has it."""
    text = (TOP / 'src' / 'server' / 'ledger.h').read_text()
    body = re.search(r'^struct record \{\n(.*?)^\};', text, re.M | re.S)[1]
    kinds, members = {'uint64_t': 'Q', 'int64_t': 'q', 'uint8_t': '{}s'}, {}
    for kind, names in re.findall(r'^ +(\w+) ([^;]+);', body, re.M):
        for name, size in re.findall(r'(\w+)(?:\[(\d+)\])?', names):
            members[name] = kinds[kind].format(size)
    return members


def byte_order():
    """How struct names the order of the machine that the programs are built for: elf(5), EI_DATA."""
    with open(program(SERVERS[0]), 'rb') as file:
        return {1: '<', 2: '>'}[file.read(6)[5]]


def ledger_record(child, **members):
    """A record as a child writes it; 0 where nothing else is said. Without a kind, its exit record."""
    members |= {'magic': source_number('src/server/ledger.h', 'LEDGER_MAGIC'), 'id': child}
    layout, order = record_format(), byte_order()
    assert list(layout)[-1] == 'checksum' and set(members) < set(layout)
    body = b''.join(struct.pack(order + how, members.get(name, b'' if 's' in how else 0))
                    for name, how in layout.items() if name != 'checksum')
    checksum = 0
    for word, in struct.iter_unpack(order + 'Q', body):
        checksum = (checksum << 13 | checksum >> 51) & (1 << 64) - 1 ^ word
    return body + struct.pack(order + layout['checksum'], checksum)


# ---- clients -----------------------------------------------------------------------------

class Client(socket.socket):
    """A socket that is connected to an address as the server prints it."""

    def __init__(self, address, source=None, receive_buffer=None):
        path, name = address.startswith('/'), address
        family = socket.AF_UNIX if path else socket.AF_INET
        if not path:
            host, port = address.rsplit(':', 1)
            if host.startswith('['):
                family, host = socket.AF_INET6, host.strip('[]')
            name = (host, int(port))
        super().__init__(family, socket.SOCK_STREAM)
        self.settimeout(DEADLINE)
        if receive_buffer is not None:
            self.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        if source is not None:
            self.bind((source, 0))
        try:
            self.connect(name)
        except OSError:
            self.close()
            raise

    def __del__(self):  # a test may drop a client: that closes it, and is no accident
        self.close()

    @property
    def address(self):
        """How the server's log names this client."""
        if self.family == socket.AF_UNIX:
            return 'local'
        host, port = self.getsockname()[:2]
        return f'[{host}]:{port}' if ':' in host else f'{host}:{port}'

    def receive(self, size):
        """Exactly `size` bytes; fewer only at end of file."""
        parts = []
        while size > 0:
            part = self.recv(min(size, 1 << 20))
            if not part:
                break
            parts.append(part)
            size -= len(part)
        return b''.join(parts)

    def receive_all(self):
        """Everything up to end of file."""
        return self.receive(1 << 62)

    def echo(self, data):
        """Sends `data`, small enough for the buffers, and returns what came back for it."""
        self.sendall(data)
        return self.receive(len(data))

    def half_close(self):
        self.shutdown(socket.SHUT_WR)

    def reset(self):
        """Closes with a RST: SO_LINGER with a time of 0."""
        self.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack('ii', 1, 0))
        self.close()

    def fill(self):
        """Sends over IPv4 without reading until nothing more is taken; returns what was sent.

        The server stops reading once it cannot write, so the buffers on the way fill up. They
        are full when it sleeps although there is something to read, and no room to send."""
        block, sent = bytes(range(256)) * 256, 0

        def full():
            nonlocal sent
            before = sent
            with contextlib.suppress(BlockingIOError):
                while True:
                    sent += self.send(block[sent % len(block):])
            return sent == before and self.server.sleeps() and self.unread_by_server() > 0

        self.setblocking(False)
        with contextlib.suppress(ConnectionError):  # the server has lost its patience meanwhile
            eventually(full, 'the buffers are full')
        self.settimeout(DEADLINE)
        return (block * (sent // len(block) + 1))[:sent]

    def server_end(self):
        """The other end of this connection over IPv4 on loopback (sockets.py); None once it is gone."""
        try:
            server, client = self.getpeername(), self.getsockname()
        except OSError:
            return None
        return sockets.tcp_socket(*(f'{host}:{port}' for host, port in (server, client)))

    def unread_by_server(self):
        """How many bytes wait on loopback for the server to read them; none once it is gone."""
        found = self.server_end()
        return found.queue if found else 0

    def closed_by_server(self):
        """Waits for the server's close, in order or by a reset. Returns what came before."""
        try:
            return self.receive_all()
        except ConnectionResetError:
            return b''


# ---- servers -----------------------------------------------------------------------------

class Event(dict):
    """One line of the log: `end pid=7 how=eof` is {'pid': '7', 'how': 'eof'}, verb 'end'."""

    def __init__(self, line):
        super().__init__(re.findall(r'([\w-]+)=("[^"]*"|\S*)', line))
        self.line = line
        self.verb = line.split(' ', 1)[0]

    def number(self, key):
        return int(self[key])


def program(name):
    path = BUILD / name
    if name in ('echoload', 'echoclient') and not path.exists():
        path = TOP / 'build' / name  # a build of one server alone has the usual clients
    assert path.exists(), f'{path} is not built: run make'
    return str(path)


def run_to_end(command, mark=None, deadline=DEADLINE, **options):
    """subprocess.run for a command that should end by itself. If it does not, all that it has
    started ends with it: to kill a strace(1) or a shell alone would leave what runs under that."""
    mark = mark or os.urandom(8).hex()
    settings = {'stdin': subprocess.DEVNULL, 'stdout': subprocess.PIPE, 'stderr': subprocess.PIPE,
                'text': True, 'check': False, **options}
    settings['env'] = {**settings.get('env', os.environ), 'FORKECHO_TEST': mark}
    try:
        return subprocess.run(command, timeout=deadline, **settings)
    except subprocess.TimeoutExpired:
        while left := marked(mark):
            for each in left:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(each.pid, signal.SIGKILL)
        raise


def run(name, *arguments, **options):
    """Runs a program to its end; its output as text."""
    return run_to_end([program(name), *arguments], **options)


SANITIZER = re.compile(r'(Address|Leak|Thread|UndefinedBehavior)Sanitizer|runtime error:|^==\d+==')
# A report ends the program with a status that no test expects.
SANITIZERS = {
    'ASAN_OPTIONS': 'exitcode=99',
    'TSAN_OPTIONS': 'exitcode=99',
    'UBSAN_OPTIONS': 'exitcode=99:print_stacktrace=1',
}
# For a process that ends where there is no /proc, or that may create no other: at its end the
# search for leaks needs both. And for one that a supervisor ends by SIGTERM and then SIGCONT: the
# search stops the process by a SIGSTOP, which that takes back, and waits for ever.
NO_LEAK_SEARCH = {'ASAN_OPTIONS': 'exitcode=99:detect_leaks=0'}
# For a test that sends SIGSEGV itself.
PLAIN_SEGV = {'ASAN_OPTIONS': 'exitcode=99:handle_segv=0', 'TSAN_OPTIONS': 'handle_segv=0'}

USERS = itertools.count(100000 + os.getpid() % 100000 * 100)


def new_user():
    """The number of an ordinary user without any process, for `as_user`: so RLIMIT_NPROC, which
    counts a user's processes, counts those of one test. It needs no entry anywhere."""
    return next(USERS)


class Server:
    """A running server. Ends with finish(), which checks that nothing stays behind."""

    def __init__(self, name, *options, listen=('127.0.0.1:0',), verbose='-v', stderr=None,
                 wrap=(), as_user=None, limits=None, before=None, env=None, pass_fds=(),
                 copy=False, runs=()):
        self.name = name
        self.expected = 0  # the exit status that finish() asks for
        self.lines = []
        self.clients = []
        self.runs = runs
        self.news = threading.Condition()
        self.ended = False  # the log is at end of file
        self.folder = None
        path, identity = program(name), {}
        if as_user is not None:
            identity = {'user': as_user, 'group': as_user, 'extra_groups': []}
            copy = True
        self.path = path = self.public_copy(path) if copy else path  # a copy may be replaced
        command = [*wrap, *UNDER, path, '-1', *([verbose] if verbose else []), *options]
        for address in listen:
            command += ['-l', str(address)]
        command += [str(word) for word in (['--', *runs] if runs else [])]

        def prepare():
            for what, value in (limits or {}).items():
                resource.setrlimit(what, (value, value))
            if before is not None:
                before()

        self.process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, preexec_fn=prepare,
            stderr=subprocess.PIPE if stderr is None else stderr, start_new_session=True,
            pass_fds=pass_fds,
            env={**os.environ, **SANITIZERS, **(env or {})}, **identity)
        self.session = self.process.pid
        if stderr is None:
            with contextlib.suppress(OSError):
                fcntl.fcntl(self.process.stderr, fcntl.F_SETPIPE_SZ, 1 << 20)  # so no line is lost
            self.collector = threading.Thread(target=self.collect, daemon=True)
            self.collector.start()
        self.addresses = self.read_addresses()

    def public_copy(self, path):
        """A copy of the program where any user may run it, whatever folder the build is in."""
        self.folder = tempfile.mkdtemp(prefix='forkecho-')
        os.chmod(self.folder, 0o755)
        return shutil.copy(path, self.folder)

    def read_addresses(self):
        """The bound addresses: they come once all listen, then standard output ends."""
        late = threading.Timer(DEADLINE, self.process.kill)
        late.start()
        with self.process.stdout as stdout:
            addresses = self.printed(stdout).decode().splitlines()
        late.cancel()
        return addresses

    def printed(self, stdout):
        return stdout.read()

    def collect(self):
        with self.process.stderr as stderr:
            for line in stderr:
                with self.news:
                    self.lines.append(line.decode(errors='replace').rstrip('\n'))
                    self.news.notify_all()
        with self.news:
            self.ended = True
            self.news.notify_all()

    @property
    def address(self):
        assert self.addresses, f'{self.name} did not start:\n{self.log()}'
        return self.addresses[0]

    @property
    def pid(self):
        return self.process.pid

    def log(self):
        """The end of the log, for messages."""
        return '\n'.join(self.lines[-60:])

    # -- events --

    def find(self, pattern, after=0):
        """The events whose line matches, among those behind the first `after` lines."""
        return [Event(line) for line in self.lines[after:] if re.search(pattern, line)]

    def wait_lines(self, pattern, count, after=0):
        """Waits until `count` lines match `pattern` and returns their events."""
        found, end = [], time.monotonic() + DEADLINE
        with self.news:
            while True:
                found += self.find(pattern, after)
                after = len(self.lines)
                if len(found) >= count:
                    return found
                assert not self.ended and time.monotonic() < end, \
                    f'{len(found)} of {count} lines match {pattern!r} in:\n{self.log()}'
                self.news.wait(end - time.monotonic())

    def wait_line(self, pattern, after=0):
        return self.wait_lines(pattern, 1, after)[0]

    def mark(self):
        """How many lines there are now: what to pass as `after`."""
        return len(self.lines)

    def accepted(self, client):
        return self.wait_line(rf'^accept .*from={re.escape(client.address)}( |$)')

    def end_of(self, client):
        """Waits for a client's `end` line. Ask before the client is closed, or pass its address."""
        name = client if isinstance(client, str) else client.address
        return self.wait_line(rf'^end .*from={re.escape(name)}( |$)')

    def status(self):
        mark = self.mark()
        os.kill(self.pid, signal.SIGUSR1)
        return self.wait_line(r'^status ', after=mark)

    def descriptors(self):
        """What it holds while it waits. Before, it may not have opened the ledger yet, and a client
        may have its echo before the parent has closed its copy of the socket."""
        self.status()
        return descriptors(self.pid)

    def sleeps(self):
        """Whether each of its threads and children waits for something."""
        return all(thread.state in 'SZ' for each in descendants(self.process.pid)
                   for thread in threads(each.pid))

    # -- doing --

    def connect(self, address=None, **options):
        client = Client(address or self.address, **options)
        client.server = self
        self.clients.append(client)
        return client

    def listens(self, address=None):
        """Whether it can be connected to. A connection that the kernel has made, and resets because
        the listener is being closed, says neither: the next one tells."""
        try:
            self.connect(address).close()
        except (ConnectionRefusedError, FileNotFoundError):
            return False
        except ConnectionResetError:
            return self.listens(address)
        return True

    def send_signal(self, number):
        os.kill(self.pid, number)

    def wait(self):
        """Waits for the server's own end and returns its exit status (-9: by signal 9)."""
        try:
            status = self.process.wait(DEADLINE)
        except subprocess.TimeoutExpired:
            raise AssertionError(f'{self.name} does not end:\n{self.log()}') from None
        if self.process.stderr is not None:  # its last lines are read a moment after its end
            eventually(lambda: self.ended or self.left_behind(), 'its log is read')
        return status

    def stop(self, number=signal.SIGQUIT):
        self.send_signal(number)
        return self.wait()

    def hurry(self, number):
        """Asks for a stop again and again, until the server has ended: its exit status."""
        eventually(lambda: self.process.poll() is not None or self.send_signal(number), 'its end')
        return self.wait()

    def left_behind(self):
        """The processes that this server started and that still run; a program is a session."""
        programs = [event.number('pid') for event in self.find('^accept ')] if self.runs else []
        return [each for each in of_session(self.session, *programs)
                if each.pid != self.process.pid and each.state not in 'ZX']

    def finish(self):
        """Ends the server as the fixture does, and checks how it went."""
        try:
            for client in self.clients:
                client.close()
            if self.process.poll() is None:
                self.stop()
            assert self.process.returncode == self.expected, \
                f'exit status {self.process.returncode}, not {self.expected}:\n{self.log()}'
            eventually(lambda: not self.left_behind(), 'no process is left behind')
        finally:
            self.end_by_force()
        reports = [line for line in self.lines if SANITIZER.search(line)]
        assert not reports, '\n'.join(self.lines)

    def end_by_force(self):
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        for each in self.left_behind():
            with contextlib.suppress(ProcessLookupError):
                os.kill(each.pid, signal.SIGKILL)
        if self.process.stderr is not None:
            self.collector.join(DEADLINE)
        if self.folder is not None:
            shutil.rmtree(self.folder)


class WrappedServer(Server):
    """A server whose wrapper keeps its standard output open, too: there is no end of file."""

    def printed(self, stdout):
        return stdout.readline()


# unshare(1) for whoever runs the tests; what to unshare follows.
UNSHARE = ['unshare', *([] if os.geteuid() == 0 else ['--user', '--map-root-user'])]


class NamespacedServer(WrappedServer):
    """A server in a pid namespace of its own, where it is process 1 (unshare(1) starts it), once
    that has been prepared by a command of the shell."""

    def __init__(self, name, *options, prepare=':', **settings):
        wrap = [*UNSHARE, '--pid', '--fork', '--kill-child', '--mount-proc', 'sh',
                '-c', f'{prepare} && exec "$@"', 'sh']
        super().__init__(name, *options, wrap=wrap, **settings)

    @property
    def pid(self):
        return children(self.process.pid)[0].pid


def raise_descriptor_limit():
    """A test of a thousand clients needs as many descriptors."""
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
