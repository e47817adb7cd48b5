"""One cell of the fault matrix: a server's life in which one call fails, and what was seen of it.

Each function of a phase starts a server whose calls go through shim.c, arms the fault, lets
clients come, takes the fault away, and returns an Outcome: what happened in one word (cells.py),
how often the call was made and has failed, and what was wrong in any case: a byte, a slot or a
child too many, a process that spins, a log in floods.
"""
import contextlib
import mmap
import os
import re
import selectors
import shutil
import signal
import struct
import subprocess
import time
from errno import EAGAIN, EINTR
from pathlib import Path

import cells
from harness import (BUILD, SANITIZERS, Client, Server, descriptors, eventually, pids_of_children,
                     process, program)

SHIM = BUILD / 'faults' / 'shim.so'
PROGRAM = BUILD / 'faults' / 'echo_program'  # static: the shim is not loaded into it
SOURCE = (Path(__file__).parent / 'shim.c').read_text()
POINTS = re.search(r'enum point \{(.*?),\s+POINTS', SOURCE, re.S)[1].replace(',', ' ').split()
FIELDS = 'point error from period spared most shift number target at all'.split()

VISITORS = 12  # so that the tenth accept, and all that each client brings, is reached
WINDOW = 0.3  # seconds that a fault lasts where it keeps clients waiting
PATIENCE = 8  # seconds in which they have to be served then
FAILURES_MAX = 300  # in a window: what has a pause fails some ten times, what spins 100,000 times
LINES_MAX = 12  # errors logged in a second: src/process/log.c sums up those above ten


class Faults:
    """The page that test and shim share."""

    def __init__(self, folder):
        self.path, self.shim = folder / 'faults', folder / 'shim.so'
        self.path.write_bytes(bytes(4096))
        self.path.chmod(0o666)
        shutil.copy(SHIM, self.shim)  # where a server that has become nobody can read it
        with open(self.path, 'r+b') as file:
            self.page = mmap.mmap(file.fileno(), 4096)
        self.set(point=-1)

    def environment(self):
        return {'LD_PRELOAD': str(self.shim), 'FORKECHO_FAULTS': str(self.path)}

    def get(self, index):
        return struct.unpack_from('=i', self.page, 4 * index)[0]

    def set(self, **values):
        for name, value in values.items():
            struct.pack_into('=i', self.page, 4 * FIELDS.index(name), value)

    def arm(self, point, error, start, period, spared=0):
        self.page[4 * len(FIELDS):4 * (len(FIELDS) + 2 * len(POINTS))] = bytes(8 * len(POINTS))
        self.set(**{'error': error, 'from': start, 'period': period, 'spared': spared})
        self.set(point=POINTS.index(point))

    def disarm(self):
        self.set(point=-1)

    def calls(self, point):
        return self.get(len(FIELDS) + POINTS.index(point))

    def failed(self, point):
        return self.get(len(FIELDS) + len(POINTS) + POINTS.index(point))


class Outcome:
    def __init__(self):
        self.word = None
        self.calls = self.failed = 0
        self.errors = []  # the lines that it has logged as such
        self.problems = []

    def demand(self, holds, problem):
        if not holds:
            self.problems.append(problem)


# ---- what is looked at -------------------------------------------------------------------

def is_zombie(pid):
    found = process(pid)
    return found is None or found.state == 'Z'


def threads(pid):
    with contextlib.suppress(FileNotFoundError):
        return os.listdir(f'/proc/{pid}/task')
    return []


def cpu(pid):
    """CPU time of a process and its children that live, in seconds: clock_getcpuclockid(3)."""
    used = 0
    for each in (pid, *pids_of_children(pid)):
        with contextlib.suppress(OSError):
            used += time.clock_gettime(~each << 3 | 2)
    return used


class Visitor(Client):
    """A client that sends its own bytes and the end at once, and reads what comes back."""

    def __init__(self, srv, address, number, half_close=True):
        super().__init__(address)
        self.name = self.address
        self.sent = bytes((number * 31 + place * 7) % 256 for place in range(3000))
        self.got, self.finished = b'', False
        with contextlib.suppress(OSError):  # it is cut already, as it will read
            self.sendall(self.sent)
            if half_close:
                self.half_close()
        self.setblocking(False)

    def take(self):
        try:
            part = self.recv(65536)
        except BlockingIOError:
            return
        except OSError:
            part = b''
        self.got += part
        self.finished = not part

    @property
    def whole(self):
        return self.got == self.sent

    @property
    def right(self):
        return self.sent.startswith(self.got)


def visit(srv, count, **how):
    """Visitors by turns over each address. Who is turned away at the door is none."""
    visitors = []
    for number in range(count):
        with contextlib.suppress(ConnectionError, FileNotFoundError):
            visitors.append(Visitor(srv, srv.addresses[number % len(srv.addresses)], number, **how))
    return visitors


def observe(visitors, end, done=lambda visitor: visitor.finished):
    """Reads until all are done, or until the time `end`. Returns whether they are."""
    with selectors.DefaultSelector() as selector:
        for visitor in visitors:
            if not done(visitor):
                selector.register(visitor, selectors.EVENT_READ)
        while selector.get_map():
            ready = selector.select(max(0, end - time.monotonic()))
            if not ready:
                return False
            for key, _ in ready:
                key.fileobj.take()
                if done(key.fileobj):
                    selector.unregister(key.fileobj)
    return True


def is_served(visitor):
    return visitor.whole or visitor.finished


def errors(srv, after=0):
    return [event.line for event in srv.find(f'^{srv.name}: ', after)]


class State:
    """What a server has open and running; cells.is_right says what it has to be."""

    def __init__(self, srv):
        pids = pids_of_children(srv.pid)
        self.descriptors = descriptors(srv.pid)
        self.children = len(pids)
        self.zombies = sum(is_zombie(pid) for pid in pids)
        self.threads = len(threads(srv.pid))

    def __repr__(self):
        return str(vars(self))


# ---- a trial -----------------------------------------------------------------------------

class Trial:
    """A server and the fault in its life. `arm` begins with it, `disarm` ends it."""

    def __init__(self, name, folder, point, error, *calls, allowed=(), usual=0, reached=False):
        self.name, self.folder, self.point = name, folder, point
        self.fault = point, error, *calls
        # Clients that may wait for the end of a fault wait shortly; others have time to be served.
        self.window = WINDOW if 'waits' in allowed else PATIENCE
        self.has_to_stop = allowed == ['stops']
        self.reached = reached
        # Before a call that is spared come as many that fail as are not.
        spared = calls[2] if len(calls) > 2 else 0
        self.failures_max = FAILURES_MAX + usual * max(0, spared - 1)
        self.faults = Faults(folder)
        self.outcome = Outcome()
        self.srv = None
        self.begun = time.monotonic()

    def start(self, *options, listen=None, **settings):
        self.path = self.folder / 's'
        self.srv = Server(self.name, *options, listen=listen or ['127.0.0.1:0', self.path],
                          env=self.faults.environment(), **settings)
        return self.srv

    def at_once(self, count):
        """So many clients, or as many as the server takes."""
        return min(count, self.srv.wait_line('^start ').number('max'))

    def arm(self):
        self.armed = time.monotonic()
        self.used = cpu(self.srv.pid) if self.srv else 0
        self.faults.arm(*self.fault)

    def let_happen(self):
        """What a server does when its clients have gone already: it reaps, it reads its ledger."""
        self.await_failure(PATIENCE if self.reached else WINDOW)
        if self.has_to_stop:  # where a child tells its parent, clients are faster than that
            eventually(self.is_ending, 'it stops')

    def await_failure(self, seconds):
        end = time.monotonic() + seconds
        while self.faults.failed(self.point) == 0 and time.monotonic() < end:
            time.sleep(0.002)

    def disarm(self):
        """Ends the fault; nothing may have spun while it was there."""
        outcome, faults = self.outcome, self.faults
        if self.reached:  # on a busy machine it may not have come so far
            self.await_failure(PATIENCE)
        seconds = time.monotonic() - self.armed
        if self.srv:
            used = cpu(self.srv.pid) - self.used
            outcome.demand(used < 0.05 + 0.25 * seconds,
                           f'it spins: {used:.3f} s of CPU time in {seconds:.3f} s')
        faults.disarm()
        self.calls = {point: faults.calls(point) for point in POINTS}
        outcome.calls, outcome.failed = faults.calls(self.point), faults.failed(self.point)
        outcome.demand(outcome.failed < self.failures_max * (1 + seconds / WINDOW),
                       f'it spins: {outcome.failed} failures in {seconds:.3f} s')

    def is_ending(self):
        return self.srv.process.poll() is not None or bool(self.srv.find('^drain '))

    def stopped(self):
        """The server ended itself: with one line, 1, and nothing left behind."""
        self.outcome.word = 'stops'
        self.srv.expected = 1
        with contextlib.suppress(AssertionError):
            self.srv.wait()
        self.srv.collector.join(PATIENCE)
        lines = errors(self.srv)
        self.outcome.demand(len(lines) == 1, f'not one line: {lines}')
        # What fails once the root has been left finds the file out of reach; the next start
        # replaces it. In that order, since only root may change the root.
        self.outcome.demand(self.point in ('SETUID', 'PIPE', 'FORK', 'THREAD') or
                            not self.path.exists(), 'its Unix socket is left')

    def finish(self):
        """Ends the server, whatever state it is in. Returns the outcome."""
        try:
            if self.srv:
                self.outcome.errors = errors(self.srv)
                lines, seconds = len(self.outcome.errors), time.monotonic() - self.begun
                self.outcome.demand(lines <= LINES_MAX * (1 + seconds), f'{lines} error lines')
                crashed = self.srv.find('how=signal-(4|6|7|8|11) ')
                self.outcome.demand(not crashed, 'a child crashed')
                self.srv.finish()
        except AssertionError as problem:
            self.outcome.problems.append(str(problem))
        if self.outcome.problems and self.srv:
            self.outcome.problems.append(self.srv.log())
        return self.outcome

    def judge(self, visitors, late):
        """What the clients saw."""
        outcome = self.outcome
        outcome.demand(all(each.right for each in visitors), 'a byte is wrong')
        outcome.demand(all(each.finished for each in visitors), 'a client is never ended')
        cut = [each for each in visitors if not each.whole]
        if cut and self.point != 'WRITE_LOG':
            eventually(lambda: self.is_ending() or
                       len(self.srv.find('^end .*how=(error|reset|idle)')) >= len(cut),
                       f'the log says that {len(cut)} are cut')
        if self.is_ending():
            self.stopped()
            outcome.demand(all(each.whole or not each.got for each in visitors),
                           'a client that was accepted is cut')
        elif cut:
            outcome.word = 'cuts'
        else:
            outcome.word = 'waits' if late else 'serves'

    def await_state(self, live, before):
        """Waits until a server with `live` clients has what it should. Returns its status, or None
        (a problem is noted)."""
        srv, status = self.srv, None

        def is_right():
            nonlocal status
            status = srv.status()
            return cells.is_right(self.name, live, status, before, State(srv), self.point)

        try:
            eventually(is_right, f'it has what it needs for {live} clients')
        except AssertionError as problem:
            self.outcome.problems.append(f'{problem}: {status and status.line}: {State(srv)}, '
                                         f'before {before}')
            return None
        return status

    def check_counts(self, before, accepted):
        """The fault is over: it serves, and all counts agree."""
        srv, outcome = self.srv, self.outcome
        last = visit(srv, 1)
        observe(last, time.monotonic() + PATIENCE)
        outcome.demand(last and last[0].whole, 'it does not serve when the fault is over')
        status = self.await_state(0, before)
        if status is None:
            return
        counts = {name: status.number(name) for name in ('accepted', 'ended', 'refused')}
        accepted += 1
        outcome.demand(counts == {'accepted': accepted, 'ended': accepted, 'refused': 0},
                       f'it counts {counts}, not {accepted}')
        ends = len(srv.find('^end '))
        outcome.demand(ends == accepted or self.point == 'WRITE_LOG',
                       f'{ends} end lines for {accepted} clients')


def start(trial):
    """The fault is there from the first instruction of a server with eleven listeners."""
    as_root = ['-u', 'nobody', '-r', str(trial.folder / 'root')] if os.geteuid() == 0 else []
    (trial.folder / 'root').mkdir(exist_ok=True)
    trial.arm()
    srv = trial.start(*as_root, listen=[*['127.0.0.1:0'] * 10, trial.folder / 's'])
    if not srv.addresses:
        trial.disarm()
        trial.stopped()
        return
    srv.status()
    before = State(srv)
    visitors = visit(srv, 1)
    late = not observe(visitors, time.monotonic() + trial.window)
    trial.disarm()
    observe(visitors, time.monotonic() + PATIENCE)
    trial.judge(visitors, late)
    if trial.outcome.word != 'stops':
        trial.check_counts(before, len(visitors))


def detach(trial):
    """A server of -d: the exit status of its starter has to be true."""
    pidfile, trial.path = trial.folder / 'pid', trial.folder / 's'
    command = [program(trial.name), '-d', '-P', str(pidfile), '-l', str(trial.path)]
    trial.arm()
    with open(trial.folder / 'log', 'w+b') as log:
        status = subprocess.run(command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                                stderr=log, timeout=PATIENCE, check=False,
                                env={**os.environ, **SANITIZERS,
                                     **trial.faults.environment()}).returncode
    trial.disarm()
    outcome, lines = trial.outcome, (trial.folder / 'log').read_text().splitlines()
    if status != 0:
        outcome.word = 'stops'
        outcome.demand(status == 1, f'exit status {status}')
        lines = [line for line in lines if line.startswith(f'{trial.name}: ')]
        outcome.demand(len(lines) == 1, f'not one line: {lines}')
        outcome.demand(not pidfile.exists() and not trial.path.exists(),
                       'its starter returns before it has ended')
        return
    outcome.word = 'serves'
    pid = int(pidfile.read_text())
    with Client(str(trial.path)) as client:
        outcome.demand(client.echo(b'hello') == b'hello', 'it does not serve')
    os.kill(pid, signal.SIGTERM)
    eventually(lambda: process(pid) is None or process(pid).state == 'Z', 'it ends')


def serve(trial, **settings):
    """The fault comes while clients come, over TCP and a Unix socket, and goes when they have been
    served or have waited for a while."""
    srv = trial.start(**settings)
    srv.status()  # it has begun, and holds all that it needs
    before = State(srv)
    trial.arm()
    visitors = visit(srv, VISITORS)
    late = not observe(visitors, time.monotonic() + trial.window)
    if not late:
        trial.let_happen()
    trial.disarm()
    observe(visitors, time.monotonic() + PATIENCE)
    trial.judge(visitors, late)
    if trial.outcome.word != 'stops':
        trial.check_counts(before, len(visitors))
    if trial.point in ('READ_CLIENT', 'WRITE_CLIENT') and trial.fault[1] not in (EINTR, EAGAIN):
        logged = len(srv.find('^end .*how=(error|reset)'))
        trial.outcome.demand(logged == trial.outcome.failed,
                             f'{trial.outcome.failed} calls failed, {logged} lines say so')


def programs(trial):
    """The same, where each client has a program."""
    serve(trial, runs=[shutil.copy(PROGRAM, trial.folder)])


def crowd(trial):
    """As many clients as it takes at once, up to twelve: nobody goes before all are served. Where
    children wait for them, one of those dies."""
    srv = trial.start()
    srv.status()
    before = State(srv)
    trial.arm()
    killed = pids_of_children(srv.pid)[:1]
    for pid in killed:
        os.kill(pid, signal.SIGKILL)
    visitors = visit(srv, trial.at_once(VISITORS), half_close=False)
    late = not observe(visitors, time.monotonic() + trial.window, done=is_served)
    trial.let_happen()
    trial.disarm()
    observe(visitors, time.monotonic() + PATIENCE, done=is_served)
    # Before anybody asks for a status line, for which it looks.
    eventually(lambda: not any(process(pid) for pid in killed), 'it reaps who has died')
    trial.await_state(len(visitors), before)
    for each in visitors:
        each.half_close()
    observe(visitors, time.monotonic() + PATIENCE)
    trial.judge(visitors, late)
    trial.check_counts(before, len(visitors))


def idle(trial):
    """Clients that send nothing more are ended by the server."""
    limit = 1.0  # within which a client sends what it has, however busy the machine is
    srv = trial.start('-t', f'{limit}')
    srv.status()
    before = State(srv)
    trial.arm()
    # Where only one is served at a time the second waits for the first one's end.
    visitors = visit(srv, 2 * trial.at_once(VISITORS // 2), half_close=False)
    late = not observe(visitors, time.monotonic() + limit + trial.window)
    trial.disarm()
    observe(visitors, time.monotonic() + PATIENCE)
    trial.judge(visitors, late)
    trial.check_counts(before, len(visitors))
    ended = len(srv.find('^end .*how=idle'))
    trial.outcome.demand(ended == len(visitors), f'{ended} of {len(visitors)} are ended as idle')


def upgrade(trial):
    """Six upgrades, one after the other, with a client that is served all the time."""
    srv = trial.start(copy=True)
    srv.status()
    before = State(srv)
    held = srv.connect()
    outcome, faults = trial.outcome, trial.faults
    outcome.demand(held.echo(b'before') == b'before', 'not served before')
    trial.arm()
    late = False
    for number in range(6):
        mark, end = srv.mark(), time.monotonic() + 3 * trial.window
        srv.send_signal(signal.SIGHUP)
        def is_done():
            if trial.point == 'WRITE_LOG':  # no line is sure to come
                return faults.calls('EXEC') == 2 * number + 2
            return srv.find('^takeover |cannot upgrade', mark)

        while not trial.is_ending() and not late and not is_done():
            late = time.monotonic() > end
            time.sleep(0.002)
        outcome.demand(held.echo(b'%d' % number) == b'%d' % number, 'the held client is not served')
        if trial.is_ending() or late:
            break
    trial.disarm()
    if trial.is_ending():
        held.close()
        trial.stopped()
        return
    outcome.word = 'waits' if late else 'refuses' if srv.find('cannot upgrade') else 'serves'
    mark = srv.mark()
    srv.send_signal(signal.SIGHUP)
    srv.wait_line('^takeover |cannot upgrade.*restart it instead', after=mark)
    held.close()
    trial.check_counts(before, 1)


def stop(trial):
    """The fault comes with SIGTERM, while three clients are held; the grace is short."""
    srv = trial.start('-g', '50ms')
    held = visit(srv, trial.at_once(3), half_close=False)
    observe(held, time.monotonic() + PATIENCE, done=is_served)
    outcome = trial.outcome
    outcome.demand(all(each.whole for each in held), 'not served before')
    trial.arm()
    srv.send_signal(signal.SIGTERM)
    observe(held, time.monotonic() + WINDOW)
    with contextlib.suppress(subprocess.TimeoutExpired):
        srv.process.wait(WINDOW)
    trial.disarm()
    observe(held, time.monotonic() + PATIENCE)
    outcome.demand(all(each.finished for each in held), 'a client is never ended')
    with contextlib.suppress(AssertionError):
        srv.wait()
    if srv.process.returncode == 0:
        outcome.word = 'ends'


PHASES = {'start': start, 'detach': detach, 'serve': serve, 'crowd': crowd, 'idle': idle,
          'upgrade': upgrade, 'programs': programs, 'stop': stop}


def run(name, phase, folder, point, error, calls, allowed, usual, reached):
    """`allowed`: the outcomes that are; `usual`: how often the call is made without a fault;
    `reached`: whether one of those that fail has to be."""
    trial = Trial(name, folder, point, error, *calls, allowed=allowed, usual=usual, reached=reached)
    try:
        PHASES[phase](trial)
    except AssertionError as problem:
        trial.outcome.problems.append(str(problem))
    return trial.finish()


def usual_calls(name, phase, folder):
    """How often each call is made where none fails, and what is wrong even then."""
    trial = Trial(name, folder, POINTS[0], 0, 1 << 30, 0)
    PHASES[phase](trial)
    assert not trial.finish().problems, trial.outcome.problems
    return trial.calls
