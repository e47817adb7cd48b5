"""A trial: a server that is started, looked at and ended, whatever it is written in."""
import contextlib
import functools
import math
import os
import re
import resource
import shutil
import signal
import subprocess
import tempfile
from collections import namedtuple
from pathlib import Path

from grader.processes import children, cpu_seconds, descriptors, state, threads
from grader.waiting import Stopped, Unable, Undecided, eventually, stopping

BY_CHANCE = False  # whether no server is halted, so that its luck is seen; -u
# Where TZ says which time zone it is, localtime need not ask.
ENVIRONMENT = {name: value for name, value in os.environ.items() if name != 'TZ'}


class Server:
    """A server that runs in a process group of its own, which ends with it."""

    def __init__(self, program, options=(), wrap=None, on_terminal=False):
        self.again = functools.partial(Server, program, options, wrap)
        self.folder = Path(tempfile.mkdtemp(prefix='expose-'))
        self.log_path = self.folder / 'log'
        self.told, self.terminal = b'', None
        self.program = program.name
        family = program.name.endswith('echo')  # ours take options; the hazards take a port
        command = [program, '-1', '-v', '-l', '127.0.0.1:0', *options] if family else [program, '0']
        self.calls = os.open(self.calls_path(), os.O_RDONLY | os.O_NONBLOCK)
        try:
            with self.open_log(on_terminal) as log:
                self.process = subprocess.Popen(
                    [*(wrap(self) if wrap else ()), *command], stdin=subprocess.DEVNULL,
                    stdout=log, stderr=log, start_new_session=True, cwd='/', env=ENVIRONMENT)
        except OSError:  # the user has as many processes as may be
            self.clean_up()
            raise
        self.pid = self.process.pid
        self.told_to_stop = False

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
        try:
            eventually(lambda: self.addresses() or self.has_ended())
            if self.was_interrupted():
                raise Stopped
            if not self.addresses():
                why = Unable if self.has_ended() else Undecided
                raise why(f'{self.program} printed no address 127.0.0.1:PORT, only: '
                          f'{self.log()[-200:].strip() or "nothing"}')
        except BaseException:
            self.end()
            raise
        self.port = int(self.addresses()[0])
        return self

    def __exit__(self, *_):
        self.end()

    def end(self):
        """Ends it and all that it started. Its process is waited for behind that, so that until
        then the number of the group is nobody else's."""
        with contextlib.suppress(ProcessLookupError):  # it has ended before it had a group
            os.killpg(self.pid, signal.SIGKILL)
        self.process.wait()
        self.clean_up()

    def clean_up(self):
        os.close(self.calls)
        if self.terminal is not None:
            os.close(self.terminal)
        shutil.rmtree(self.folder, ignore_errors=True)

    # -- looking --

    def log(self):
        if self.terminal is None:
            return self.log_path.read_text(errors='replace')
        with contextlib.suppress(OSError):  # nothing new; or it has closed its end
            while new := os.read(self.terminal, 4096):
                self.told += new
        return self.told.decode(errors='replace').replace('\r\n', '\n')

    def addresses(self):
        return re.findall(r'^127\.0\.0\.1:(\d+)$', self.log(), re.M)

    def has_ended(self):
        return state(f'/proc/{self.pid}') in 'ZX'

    def was_interrupted(self):
        """Whether Ctrl-C has met it before it had a group of its own."""
        end = os.waitid(os.P_PID, self.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT)
        return end is not None and (end.si_code, end.si_status) == (os.CLD_KILLED, signal.SIGINT)

    def processes(self):
        return [self.pid, *children(self.pid)]

    def child_states(self):
        return ''.join(state(f'/proc/{pid}') for pid in children(self.pid))

    def sleeps(self):
        """Whether each thread of each of its processes waits for something."""
        return all(state(thread) in 'SZX' for pid in self.processes() for thread in threads(pid))

    def cpu(self):
        return sum(map(cpu_seconds, self.processes()))

    def zombies(self):
        """How many zombies stay once nothing happens any more. A child that is not asleep is about
        to end."""
        eventually(lambda: not self.child_states().strip('SX'), self, self.child_states)
        return self.child_states().count('Z')

    # -- doing --

    def signal(self, number):
        os.kill(self.pid, number)

    def stop(self):
        self.told_to_stop = True
        self.signal(signal.SIGTERM)

    @contextlib.contextmanager
    def halted(self):
        """Its process, without its children, does nothing meanwhile; signals to it merge. Where
        chance is to decide, it goes on."""
        if BY_CHANCE:
            yield
            return
        self.signal(signal.SIGSTOP)
        eventually(lambda: state(f'/proc/{self.pid}') in 'TZX')
        yield
        self.signal(signal.SIGCONT)

    def limit(self, what, value_of):
        """Sets a soft limit of each of its processes to what `value_of(pid, hard limit)` says."""
        def set_soft(pid):
            hard = resource.prlimit(pid, what)[1]
            resource.prlimit(pid, what, (value_of(pid, hard), hard))

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


Pair = namedtuple('Pair', 'hazard server program wrong')
ENDED = math.inf  # the count of a server that is no more, and did not stop because it was told to


def run_trial(pair):
    """The count of one trial; or why there is none, an Undecided."""
    if stopping.is_set():
        raise Stopped
    hazard = pair.hazard
    try:
        with Server(pair.program, hazard.options, hazard.wrap) as server:
            count = hazard.detect(server)
            lives = server.told_to_stop or not server.has_ended()
    except Undecided as problem:
        return problem
    except OSError as problem:
        return Undecided(str(problem))
    return count if lives or count > hazard.fine else ENDED
