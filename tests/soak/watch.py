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

import sockets
from harness import Server, descriptors, eventually, process

ENDINGS = {'eof', 'reset', 'idle', 'lifetime', 'signal-9', 'signal-11',
           '0', '1', 'signal-13', 'signal-15'}  # of programs: done; the client has gone; by -T
# Whatever else the log says is unexpected.
ACCEPT = re.compile(rb'accept pid=\d+ from=\S+ live=\d+')
END = re.compile(rb'end pid=\d+ from=\S+ (?:in=(\d+|-) out=(\d+|-) |exit=(\S+) )secs=[\d.]+ '
                 rb'(?:how=(\S+) )?live=\d+')
REFUSE = re.compile(rb'refuse from=\S+ why=(denied|max-per-source)')
MORE = re.compile(rb'refuse more=(\d+) secs=[\d.]+')
OTHER = re.compile(rb'(start|status|upgrade|takeover|drain|stop) '
                   # A child of a pool that was hit before it had a client.
                   rb'|preforkecho: child \d+ was ended by signal (9|11) while it was idle; '
                   rb'another takes its place|errors more=')
LOG_PORTION = 1 << 20  # bytes that are read at once
KILL_EVERY = 0.1  # seconds from one child that is hit to the next, on average
STOPPED_FOR = 0.25  # seconds at most
# What a child is called that serves a client, or as one of a pool waits for the next, or has become
# a program.
CLIENT_TITLE = re.compile(rb'\w+: (local|idle|[\d.]+:\d+|\[[^]]*\]:\d+)\0|[^\0]+echo_program\0$')
KILLS = {'SIGKILL': 4, 'SIGSEGV': 3, 'SIGSTOP': 3}  # how often each, in 10
# A look at children that comes later than that was itself held up, and so may the parent have been.
LOOK_GAP = 0.2


def has_children_listed():
    return Path(f'/proc/self/task/{os.getpid()}/children').exists()


def children_of(pid):
    """The children of one process; those of the harness are looked for on all of the machine."""
    try:
        return Path(f'/proc/{pid}/task/{pid}/children').read_text().split()
    except (FileNotFoundError, ProcessLookupError):
        return []


def in_backlog(addresses):
    """How many connections wait to be accepted. Of a Unix socket that is not told."""
    found = [sockets.tcp_socket(address) for address in addresses if ':' in address]
    return sum(each.queue for each in found if each and each.state == sockets.TCP_LISTEN)


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
            self.unexpected.append(line.decode(errors='replace'))
        return False

    def take_end(self, line, bytes_in, bytes_out, status, how):
        how = (status or how or b'?').decode()
        if how not in ENDINGS:
            self.unexpected.append(line.decode(errors='replace'))
        self.ends[how] += 1
        if bytes_in not in (None, b'-'):
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
        by_client = ('eof', 'reset', '0', '1', 'signal-13')
        return self.ended - sum(self.ends[how] for how in by_client)


class SoakServer(Server):
    """A server whose log is counted as it comes. It is a file: from a pipe that is read too slowly,
    on a machine that busy, lines would be lost."""

    def __init__(self, name, *options, folder, **settings):
        self.tally = LogTally()
        self.file = open(f'{folder}/log', 'a+b', buffering=0)
        self.taken = 0  # bytes of it
        super().__init__(name, *options, stderr=self.file, **settings)

    def read_log(self):
        """Counts what was written since, up to a portion."""
        portion = os.pread(self.file.fileno(), LOG_PORTION, self.taken)
        *lines, _ = portion.split(b'\n')
        self.taken += portion.rfind(b'\n') + 1
        for line in lines:
            if not self.tally.take(line):
                self.lines.append(line.decode(errors='replace'))

    def empty_log(self):
        """Where all is read and nothing is being written."""
        self.file.truncate(0)
        self.taken = 0

    def wait_line(self, pattern, after=0):
        def found():
            self.read_log()
            return self.find(pattern, after)

        return eventually(found, f'a line matches {pattern!r} in:\n{self.log()}')[0]

    def count_lines(self, verb):
        return sum(line.startswith(f'{verb} ') for line in self.lines)

    def end_by_force(self):
        super().end_by_force()
        self.file.close()


class Killer:
    """Hits children of one server at random, by SIGKILL, SIGSEGV, or SIGSTOP and later SIGCONT.

    A child is held by a descriptor of its own while it is found out whose it is, so that no
    process is hit that has got its number since."""

    def __init__(self, server, seed):
        self.pid = server.pid
        self.rng = random.Random(f'{seed} kills')
        self.due = 0
        self.stopped = []  # (until when, descriptor)
        self.sent = Counter()

    def is_client_of_ours(self, pid):
        """Not so the test of an upgrade, which is called as its parent until it is executed, nor
        what has just been forked."""
        child = process(pid)
        if child is None or child.parent != self.pid or child.state == 'Z':
            return False
        return CLIENT_TITLE.match(Path(f'/proc/{pid}/cmdline').read_bytes()) is not None

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


class OwnTime:
    """The time that a process has had, asleep or running: not what it waited for a processor, as on
    a machine with a load of 1000. How long that was the kernel says when it is over; so until the
    process sleeps again, only what it ran counts."""

    def __init__(self, pid):
        self.pid = pid
        self.slept = -sum(scheduled(pid))

    def at(self, now):
        found = process(self.pid)
        ran, waited = scheduled(self.pid)
        if found and found.state == 'S':
            self.slept = max(self.slept, now - ran - waited)
        return self.slept + ran


def scheduled(pid):
    """Seconds that a process ran, and that it waited for a processor: proc(5), schedstat."""
    try:
        ran, waited, _ = Path(f'/proc/{pid}/schedstat').read_text().split()
    except (FileNotFoundError, ProcessLookupError):  # the kernel has none, or the process has gone
        return 0, 0
    return int(ran) / 1e9, int(waited) / 1e9


class Zombies:
    """The dead children of one process, and for how much of its time each of them has been seen."""

    def __init__(self, pid):
        self.pid = pid
        self.age = {}
        self.looked = 0
        self.clock = 0  # stands still while nobody looks
        self.time = OwnTime(pid)
        self.had = 0
        self.most = 0
        self.oldest = 0

    def look(self, now):
        self.clock += min(now - self.looked, LOOK_GAP)
        self.looked = now
        before, self.had = self.had, self.time.at(self.clock)
        older = self.had - before
        dead = [pid for pid in children_of(self.pid) if is_dead(process(pid))]
        self.age = {pid: self.age[pid] + older if pid in self.age else 0 for pid in dead}
        self.most = max(self.most, len(dead))
        self.oldest = max(self.oldest, *self.age.values(), 0)


class Parent:
    """Memory (KiB of its own) and descriptors of a process, from the first look to the last."""

    def __init__(self, pid):
        self.pid = pid
        self.memory = []
        self.descriptors = []

    def look_at_memory(self):
        """What it has written to, whether children that were forked since share it or not."""
        rollup = Path(f'/proc/{self.pid}/smaps_rollup').read_text()
        self.memory.append(int(re.search(r'^Anonymous: *(\d+)', rollup, re.M)[1]))
        return self.memory

    def look_at_descriptors(self):
        """In a moment of rest; else one may be a client's that is about to be handed over."""
        self.descriptors.append(len(descriptors(self.pid)))
        return self.descriptors
