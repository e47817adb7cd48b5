"""A trial: a server that is started, looked at and ended, whatever it is written in."""
import contextlib
import functools
import math
import os
import resource
import shutil
import signal
import subprocess
import tempfile
import time
from collections import namedtuple
from pathlib import Path

from grader import waiting
from grader.exam import examine
from grader.isolation import (FILE_SIZE, MEMORY, PROCESSES, end_namespace, enter_namespaces,
                              enter_network, keep, kill, set_bounds)
from grader.processes import (children, cpu_seconds, descendants, descriptors, dozes, listeners,
                              memory, parent, sockets, state, threads)
from grader.waiting import (NotApplicable, OutOfBounds, Unable, Undecided, eventually,
                            look_again)

BY_CHANCE = False  # whether no server is halted, so that its luck is seen; -u
LONGEST = 20  # times the patience that a trial may take: whoever has news without end shows nothing
WATCH = 0.25  # seconds from one look at a trial's bounds to the next
LAST_WORDS = 1 << 20  # bytes of a log that are read: one printed without end has too many
LAST_LINES = 8, 200  # of a log that are kept for whoever reads the results, and their letters
last_lines = []  # what the last server of this process has printed
# Where TZ says which time zone it is, localtime need not ask.
ENVIRONMENT = {name: value for name, value in os.environ.items() if name != 'TZ'}


class Server:
    """A server with all that it starts, which ends with it: with a network of its own, and where it
    was started, beside its files. `words` is its command, in which {port} stands for a port and
    {options} for those of a hazard."""

    def __init__(self, words, options=(), wrap=None, facts=None, on_terminal=False, port=None):
        """`port`: that of one before, in whose network it is then."""
        self.again = functools.partial(Server, words, options, wrap, facts)
        self.facts = facts
        self.folder = Path(tempfile.mkdtemp())
        self.log_path = self.folder / 'log'
        self.told, self.terminal = b'', None
        self.told_to_stop = False
        self.port = port or enter_network()
        self.command = [*(wrap(self) if wrap else ()), *self.fill(words, options)]
        self.calls = os.open(self.calls_path(), os.O_RDONLY | os.O_NONBLOCK)
        with self.open_log(on_terminal) as log:
            self.keeper = keep(lambda: self.start(log), log.fileno())

    def fill(self, words, options):
        for word in words:
            yield from options if word == '{options}' else [word.replace('{port}', str(self.port))]

    def start(self, log):
        try:
            subprocess.Popen(self.command, stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                             start_new_session=True, env=ENVIRONMENT, preexec_fn=set_bounds)
        except OSError as problem:
            os.write(log.fileno(), str(problem).encode())

    def open_log(self, on_terminal):
        """What it writes to: a file, or a terminal, of which we have the other end."""
        if not on_terminal:
            return open(self.log_path, 'wb')
        self.terminal, end = os.openpty()
        os.set_blocking(self.terminal, False)
        return open(end, 'wb')

    def calls_path(self):
        """Where strace tells of system calls, for a detector that listens to it."""
        path = self.folder / 'calls'
        os.mkfifo(path)
        return path

    def __enter__(self):
        """Waits until it listens, and then has done what it does before the first client."""
        try:
            eventually(lambda: self.find() or self.is_gone(), news=self.started_cpu)
            if not self.find():
                why = Unable if self.is_gone() else Undecided
                raise why(f'{" ".join(map(str, self.command))}: listens on no port, and printed '
                          f'{self.log()[-200:].strip() or "nothing"}')
            eventually(lambda: self.find() and self.sleeps() or self.is_gone())
        except BaseException:
            self.end()
            raise
        return self

    def find(self):
        """Whether one of its processes listens: the first of those that do is the server, be it a
        daemon or below a script, or the parent of several that do, of which each would serve only
        some clients. No client connects for that, which would be one too many."""
        ports = listeners()
        for pid in descendants(self.keeper) if ports else ():
            found = sorted(ports[each] for each in sockets(pid) if each in ports)
            if found:
                self.port = self.port if self.port in found else found[0]
                above = parent(pid)
                workers = [each for each in children(above) if sockets(each) & ports.keys()]
                self.pid = above if len(workers) > 1 and above != self.keeper else pid
                return True
        return False

    def is_gone(self):
        return state(f'/proc/{self.keeper}') in 'ZX'

    def started_cpu(self):
        return sum(map(cpu_seconds, descendants(self.keeper)))

    def __exit__(self, *_):
        self.end()

    def end(self):
        """Ends it and all that it started."""
        self.kill()
        count, size = LAST_LINES
        last_lines[:] = [line[:size] for line in self.log().splitlines()[-count:]]
        os.close(self.calls)
        if self.terminal is not None:
            os.close(self.terminal)
        shutil.rmtree(self.folder, ignore_errors=True)

    def kill(self):
        """Ends its processes; the keeper ends when they have. Those that fork faster than that end
        with the trial's process 1."""
        self.told_to_stop, last = True, time.monotonic() + 1
        while self.keeper and time.monotonic() < last:
            kill(descendants(self.keeper))
            if os.waitpid(self.keeper, os.WNOHANG) != (0, 0):
                self.keeper = None
            look_again()

    # -- looking --

    def log(self):
        if self.terminal is None:
            with open(self.log_path, 'rb') as file:
                file.seek(max(os.stat(file.fileno()).st_size - LAST_WORDS, 0))
                return file.read(LAST_WORDS).decode(errors='replace')
        with contextlib.suppress(OSError):  # nothing new; or it has closed its end
            while new := os.read(self.terminal, 4096):
                self.told += new
        return self.told.decode(errors='replace').replace('\r\n', '\n')

    def has_ended(self):
        return state(f'/proc/{self.pid}') in 'ZX'

    def listens(self):
        """Whether it does so still. In Java and Python clients' threads outlive the main one."""
        return bool(listeners().keys() & set().union(*map(sockets, self.processes())))

    def log_is_full(self):
        """Whether it has printed without end, for which it was ended."""
        return self.terminal is None and os.path.getsize(self.log_path) >= FILE_SIZE

    def processes(self):
        return [self.pid, *children(self.pid)]

    def child_states(self):
        return ''.join(state(f'/proc/{pid}') for pid in children(self.pid))

    def sleeps(self):
        """Whether each thread of all that it has started, and of it, waits for something, or is
        halted. (Children of children, too: whoever forks twice has those serve.)"""
        return all(state(thread) in 'SZXT' for thread in self.all_threads())

    def dozes(self):
        """Whether one of them is in a sleep(3), which ends by itself."""
        return any(dozes(thread) for thread in self.all_threads())

    def all_threads(self):
        return [thread for pid in descendants(self.keeper) for thread in threads(pid)]

    def cpu(self):
        return sum(map(cpu_seconds, self.processes()))

    def zombies(self):
        """How many zombies stay once nothing happens any more. A child that is not asleep is about
        to end. (Whoever looks for them every half a second, as Python's ForkingMixIn, reaps.)"""
        eventually(lambda: not self.child_states().strip('SX'), self, self.child_states, asleep=1.1)
        return self.child_states().count('Z')

    # -- doing --

    def signal(self, number):
        with contextlib.suppress(ProcessLookupError):
            os.kill(self.pid, number)

    def stop(self):
        self.told_to_stop = True
        self.signal(signal.SIGTERM)

    @contextlib.contextmanager
    def halted(self):
        """Its process, without its children, does nothing meanwhile; signals to it merge. It has
        done what it does after fork by then: a client whose socket it has not closed yet would see
        no end. Where chance is to decide, it goes on."""
        if BY_CHANCE:
            yield
            return
        eventually(self.sleeps)
        self.signal(signal.SIGSTOP)
        eventually(lambda: state(f'/proc/{self.pid}') in 'TZX')
        yield
        self.signal(signal.SIGCONT)

    def limit(self, what, value_of):
        """Sets a soft limit of each of its processes to what `value_of(pid, hard limit)` says."""
        def set_soft(pid):
            hard = resource.prlimit(pid, what)[1]
            value = value_of(pid, hard)
            if hard != resource.RLIM_INFINITY:
                value = min(value, hard)  # of a child that has given it up
            resource.prlimit(pid, what, (value, hard))

        for pid in self.processes():
            with contextlib.suppress(ProcessLookupError):
                try:
                    set_soft(pid)
                except PermissionError:  # it has lowered the hard one meanwhile, as children do once
                    set_soft(pid)

    def use_up_descriptors(self):
        """Lets it open nothing more."""
        def lowest_free(pid, _hard):
            used = descriptors(pid)
            return next(number for number in range(len(used) + 1) if number not in used)

        self.limit(resource.RLIMIT_NOFILE, lowest_free)

    def use_up_processes(self):
        """Lets it start nothing more: its user has at least one process, itself."""
        self.limit(resource.RLIMIT_NPROC, lambda _pid, _hard: 0)

    def give_back_processes(self):
        self.limit(resource.RLIMIT_NPROC, lambda _pid, hard: hard)


Pair = namedtuple('Pair', 'hazard server words wrong')
ENDED = math.inf  # the count of a server that is no more, and did not stop because it was told to


@contextlib.contextmanager
def bounded():
    """Looks every now and then whether what runs meanwhile takes too long, or too much."""
    longest = LONGEST * waiting.PATIENCE
    end = time.monotonic() + longest

    def out_of_bounds():
        if time.monotonic() > end:
            return f'no end within {longest:g} s'
        processes = descendants(os.getpid())
        if len(processes) > PROCESSES:
            return f'has more than {PROCESSES} processes'
        if sum(map(memory, processes)) > MEMORY:
            return f'takes more than {MEMORY >> 20} MiB of memory'
        return ''

    def look(*_):
        if why := out_of_bounds():
            end_namespace()
            raise OutOfBounds(why)
        signal.setitimer(signal.ITIMER_REAL, WATCH)  # not before: a look may take longer than that

    signal.signal(signal.SIGALRM, look)
    signal.setitimer(signal.ITIMER_REAL, WATCH)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)


def run_exam(words):
    """The facts of a server; or an Undecided, when there are none the second time either. One that
    was out of bounds is not tried again."""
    outcome = None
    enter_namespaces()
    for _ in range(2):
        try:
            with bounded(), Server(words) as server:
                return examine(server)
        except OutOfBounds as problem:
            return problem
        except Undecided as problem:
            outcome = problem
        except OSError as problem:
            outcome = Undecided(str(problem))
    return outcome


def run_trial(pair, facts):
    """The count of one trial of a server of which that is known; or why there is none, an Undecided
    or NotApplicable. The process is its own."""
    hazard = pair.hazard
    try:
        if isinstance(facts, Undecided):
            raise facts
        for applies in hazard.needs:
            applies(facts)
        enter_namespaces()
        with bounded(), Server(pair.words, hazard.options, hazard.wrap, facts) as server:
            count = hazard.detect(server)
            lives = server.told_to_stop or not server.has_ended()
    except (Undecided, NotApplicable) as problem:
        return problem
    except OSError as problem:
        return Undecided(str(problem))
    return count if lives or count > hazard.fine else ENDED
