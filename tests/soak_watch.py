"""What a soak does to a server and sees of it: its log, its dead children, its memory; and the
signals that its children get.
"""
import contextlib
import os
import random
import re
import signal
from collections import Counter
from pathlib import Path

from harness import Server, descriptors, process

ENDINGS = {'eof', 'reset', 'idle', 'lifetime', 'signal-9', 'signal-11'}
# Whatever else the log says is unexpected.
ACCEPT = re.compile(rb'accept pid=\d+ from=\S+ live=\d+\n')
END = re.compile(rb'end pid=\d+ from=\S+ in=(\d+|-) out=(\d+|-) secs=[\d.]+ how=(\S+) live=\d+\n')
REFUSE = re.compile(rb'refuse from=\S+ why=(denied|max-per-source)\n')
MORE = re.compile(rb'refuse more=(\d+) secs=[\d.]+\n')
OTHER = re.compile(rb'(start|status|upgrade|takeover|drain|stop) '
                   # A child of a pool that was hit before it had a client.
                   rb'|preforkecho: child \d+ was ended by signal (9|11) while it was idle; '
                   rb'another takes its place\n|errors more=')
KILL_EVERY = 0.1  # seconds from one child that is hit to the next, on average
STOPPED_FOR = 0.25  # seconds at most
KILLS = {'SIGKILL': 4, 'SIGSEGV': 3, 'SIGSTOP': 3}  # how often each, in 10
# A look at children that comes later than that was itself held up, and so may the parent have been.
LOOK_GAP = 0.2


def children_of(pid):
    """The children of one process; processes() of the harness looks at all of the machine."""
    return Path(f'/proc/{pid}/task/{pid}/children').read_text().split()


def is_dead(child):
    return child is not None and child.state == 'Z'


class LogTally:
    """The log, counted rather than kept: two lines for each connection are many."""

    def __init__(self):
        self.accepts = 0
        self.ends = Counter()  # by how
        self.refusals = Counter()  # by why; those that were left out are 'not told'
        self.bytes_in = self.bytes_out = 0
        self.unexpected = []

    def take(self, line):
        """Counts a line. Returns whether that was all; the others are worth keeping."""
        if ACCEPT.fullmatch(line):
            self.accepts += 1
            return True
        if end := END.fullmatch(line):
            self.take_end(line, *end.groups())
            return True
        if refuse := REFUSE.fullmatch(line):
            self.refusals[refuse[1].decode()] += 1
            return True
        if more := MORE.fullmatch(line):
            self.refusals['not told'] += int(more[1])
        elif not OTHER.match(line):
            self.unexpected.append(line.decode(errors='replace').rstrip())
        return False

    def take_end(self, line, bytes_in, bytes_out, how):
        how = how.decode()
        if how not in ENDINGS:
            self.unexpected.append(line.decode(errors='replace').rstrip())
        self.ends[how] += 1
        if bytes_in != b'-':
            self.bytes_in += int(bytes_in)
            self.bytes_out += int(bytes_out)

    @property
    def ended(self):
        return sum(self.ends.values())

    @property
    def refused(self):
        return sum(self.refusals.values())

    @property
    def cut(self):
        """Sessions that the server or a signal ended, so that their clients may have failed."""
        return self.ended - self.ends['eof'] - self.ends['reset']


class SoakServer(Server):
    """A server whose log is counted as it comes."""

    def __init__(self, *arguments, **settings):
        self.tally = LogTally()
        super().__init__(*arguments, **settings)

    def collect(self):
        with self.process.stderr as stderr:
            for line in stderr:
                if self.tally.take(line):
                    continue
                with self.news:
                    self.lines.append(line.decode(errors='replace').rstrip('\n'))
                    self.news.notify_all()
        with self.news:
            self.ended = True
            self.news.notify_all()

    def count_lines(self, verb):
        return sum(line.startswith(f'{verb} ') for line in self.lines)


class Killer:
    """Hits children of one server at random, by SIGKILL, SIGSEGV, or SIGSTOP and later SIGCONT.

    A child is held by a descriptor of its own while it is found out whose it is, so that no
    process is hit that has got its number since."""

    def __init__(self, server, seed):
        self.pid, self.title = server.pid, f'{server.name}: '.encode()
        self.rng = random.Random(f'{seed} kills')
        self.due = 0
        self.stopped = []  # (until when, descriptor)
        self.sent = Counter()

    def is_client_of_ours(self, pid):
        """Not so the test of an upgrade, nor what has just been forked."""
        child = process(pid)
        if child is None or child.parent != self.pid or child.state == 'Z':
            return False
        title = Path(f'/proc/{pid}/cmdline').read_bytes()
        return title.startswith(self.title) and b' live of ' not in title

    def work(self, now):
        self.go_on(now)
        while now >= self.due:
            self.due = max(self.due, now - 1) + self.rng.expovariate(1 / KILL_EVERY)
            every = children_of(self.pid)
            if every:
                self.hit(int(self.rng.choice(every)), now)

    def hit(self, pid, now):
        kill, = self.rng.choices(list(KILLS), KILLS.values())
        try:
            handle = os.pidfd_open(pid)
        except ProcessLookupError:
            return
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):
            if self.is_client_of_ours(pid):
                signal.pidfd_send_signal(handle, getattr(signal, kill))
                self.sent[kill] += 1
                if kill == 'SIGSTOP':
                    self.stopped.append((now + self.rng.uniform(0, STOPPED_FOR), handle))
                    return
        os.close(handle)

    def go_on(self, now=float('inf')):
        """Wakes those that have been stopped for long enough; without an argument, all."""
        for each in [each for each in self.stopped if each[0] <= now]:
            self.stopped.remove(each)
            with contextlib.suppress(ProcessLookupError):
                signal.pidfd_send_signal(each[1], signal.SIGCONT)
            os.close(each[1])


class Zombies:
    """The dead children of one process, and for how long each of them has been seen."""

    def __init__(self, pid):
        self.pid = pid
        self.age = {}
        self.looked = 0
        self.most = 0
        self.oldest = 0

    def look(self, now):
        gap, self.looked = min(now - self.looked, LOOK_GAP), now
        dead = [pid for pid in children_of(self.pid) if is_dead(process(pid))]
        self.age = {pid: self.age[pid] + gap if pid in self.age else 0 for pid in dead}
        self.most = max(self.most, len(dead))
        self.oldest = max(self.oldest, *self.age.values(), 0)


class Parent:
    """Memory (KiB that are its alone) and descriptors of a process, looked at in moments of rest."""

    def __init__(self, pid):
        self.pid = pid
        self.memory = []
        self.descriptors = []

    def look(self):
        rollup = Path(f'/proc/{self.pid}/smaps_rollup').read_text()
        self.memory.append(int(re.search(r'Private_Dirty: *(\d+)', rollup)[1]))
        self.descriptors.append(len(descriptors(self.pid)))
