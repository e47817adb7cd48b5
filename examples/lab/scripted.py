"""scripted.py: runs a server under strace with a few clients that follow a script.

A script is a function of Play, and waits for what it wants to see, never for a time. What does not
come is given up when the whole server has slept for ASLEEP, or after PATIENCE without any news.
record() gives the events and the visits of which lanes.py makes a picture.
"""
import contextlib
import os
import re
import select
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import threading
import time
from collections import namedtuple
from pathlib import Path

import strace
from lanes import Visit
from models import (ServerFailed, adopt_orphans, asleep, children, end_all, leave_no_core,
                    sockets, tree)
from workloads import process_of

START_SECONDS = 60  # until a server listens: strace makes a busy machine slower still
ASLEEP = 0.3        # seconds in which nothing of the server was awake, until nothing will be
PATIENCE = 10.0     # seconds without news from a server that does not sleep
ABSENT = 0.03       # seconds at most that one look counts for: else the machine stood still
LOOK_AGAIN = 0.004  # seconds from one look at /proc to the next
LISTENS = '0A'      # a socket's state in /proc/net/tcp
LISTENS_NOW = re.compile(r'\blisten(?:\(| resumed>).*\) += 0')
LISTENER = re.compile(r'<TCP(?:v6)?:\[([^>]*):(\d+)\]>')
ANY = {'0.0.0.0': '127.0.0.1', '[::]': '::1'}  # where to connect to who listens everywhere

stopping = threading.Event()  # set where Ctrl-C ends all recordings
Recording = namedtuple('Recording', 'events visits log')


def go_on():
    if stopping.is_set():
        raise KeyboardInterrupt


@contextlib.contextmanager
def interruptible():
    """What is recorded in this block ends with it, also by a signal: exit status 130."""
    def interrupt(*_):
        stopping.set()
        raise KeyboardInterrupt

    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, interrupt)
    adopt_orphans()
    leave_no_core()
    try:
        yield
    except KeyboardInterrupt:
        sys.exit(130)
    finally:
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, signal.SIG_IGN)
        end_all()


# ---- the server, as proc(5) shows it -----------------------------------------------------

def table(pid, version):
    """The rows of /proc/net/tcp or tcp6, as lists of words."""
    with contextlib.suppress(FileNotFoundError, ProcessLookupError):
        text = Path(f'/proc/{pid}/net/tcp{version}').read_text()
        return [line.split() for line in text.splitlines()[1:]]
    return []


def listens_at(pid):
    """The address on which a process listens, to connect to, or None."""
    mine = sockets(pid)
    for version, local in (('', '127.0.0.1'), ('6', '::1')):
        for row in table(pid, version):
            if row[3] == LISTENS and int(row[9]) in mine:
                return local, int(row[1].rpartition(':')[2], 16)
    return None


class Traced:
    """A server under strace, in a session of its own. Use it in `with`: nothing of it is left."""

    def __init__(self, command, folder, inject=()):
        self.calls, self.log = Path(folder, 'calls'), Path(folder, 'log')
        self.command, self.inject = command, inject
        self.address = None
        self.start(0)

    def start(self, port):
        words = [str(word).replace('{port}', str(port)) for word in self.command]
        with open(self.log, 'ab') as log:
            self.process = subprocess.Popen(
                [*strace.command(self.calls, self.inject), *words], stdin=subprocess.DEVNULL,
                stdout=log, stderr=log, start_new_session=True)

    def __enter__(self):
        try:
            end = time.monotonic() + START_SECONDS
            while not self.find_address():
                go_on()
                if self.process.poll() is not None or time.monotonic() > end:
                    raise ServerFailed(f'it does not listen: {self.last_words()}')
                time.sleep(LOOK_AGAIN)
        except BaseException:
            self.end()
            raise
        return self

    def __exit__(self, *_):
        self.end()

    def told(self):
        """What strace has said until now."""
        return self.calls.read_text(errors='replace') if self.calls.exists() else ''

    def find_address(self):
        """By strace's words, or where it does not know by all sockets that there are, which may be
        very many. A server is never connected to for that."""
        told = self.told()
        if LISTENS_NOW.search(told):
            found = LISTENER.search(told)
            self.address = (ANY.get(found[1], found[1].strip('[]')), int(found[2])) if found else \
                next(filter(None, map(listens_at, self.processes())), None)
        return self.address

    def processes(self):
        """Without strace; the server's first process first."""
        return tree(self.process.pid)[1:]

    @property
    def pid(self):
        return (children(self.process.pid) or [0])[0]

    def sleeps(self, halted=0):
        """Whether each thread of it waits for something, but for a process that was halted, and
        strace has told all. A server that strace has not started yet does not."""
        strace_and_server = tree(self.process.pid)
        return len(strace_and_server) > 1 and asleep(pid for pid in strace_and_server
                                                     if pid != halted)

    def has_ended(self):
        return self.process.poll() is not None

    def last_words(self):
        said = self.log.read_text(errors='replace').strip().splitlines()
        return said[-1] if said else 'it said nothing'

    def signal(self, number, pid=0):
        with contextlib.suppress(ProcessLookupError):
            if pid or self.pid:
                os.kill(pid or self.pid, number)

    def end(self):
        """Kills what still runs: the server's processes first, so that strace sees them end."""
        for pid in self.processes():
            self.signal(signal.SIGKILL, pid)
        try:
            self.process.wait(5)
        except subprocess.TimeoutExpired:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()

    def events(self):
        return strace.read(self.told().splitlines())


# ---- the clients -------------------------------------------------------------------------

class Client:
    """A client that notes when it did what."""

    def __init__(self, number, address):
        self.number, self.address, self.steps = number, address, []
        self.socket, self.port, self.sent, self.got = None, None, 0, 0
        self.ended, self.reads = False, True  # whether it has seen the end; whether it takes bytes

    def note(self, what, size=0):
        self.steps.append((time.time(), what, size))

    def connect(self, small=False):
        """With small segments, like those of a modem, the kernel's buffers are small, too."""
        self.note('connect')
        self.socket = socket.socket(socket.AF_INET6 if ':' in self.address[0] else socket.AF_INET)
        if small:
            self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_MAXSEG, 536)
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 12)
        self.socket.settimeout(PATIENCE)
        try:
            self.socket.connect(self.address)
        except OSError:
            self.note('refused')
            self.ended = True
        self.socket.setblocking(False)
        self.port = self.socket.getsockname()[1]

    def send(self, data):
        """As much as there is room for, which is all of what is small. Returns how much."""
        size = 0
        with contextlib.suppress(BlockingIOError, ConnectionError):
            size = self.socket.send(data)
            self.sent += size
            self.note('sent', size)
        return size

    def finish(self):
        """Says that it sends no more."""
        with contextlib.suppress(OSError):
            self.socket.shutdown(socket.SHUT_WR)
            self.note('finished')

    def hear(self):
        """Takes what has come."""
        try:
            data = self.socket.recv(1 << 16)
        except BlockingIOError:
            return
        except ConnectionError:
            data = b''
        self.got += len(data)
        self.ended = not data
        self.note('got' if data else 'end', len(data))

    def reset(self):
        """Ends the connection at once, as one that has crashed."""
        self.note('reset')
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack('ii', 1, 0))
        self.socket.close()

    def close(self):
        if self.socket and self.socket.fileno() >= 0:
            self.note('closed')
            self.socket.close()

    def served(self):
        return self.ended or self.got >= self.sent


class Play:
    """What a script has: the server, its clients, and waiting for them."""

    def __init__(self, server, count):
        self.server = server
        self.clients = [Client(number + 1, server.address) for number in range(count)]

    def news(self):
        return sum(len(client.steps) for client in self.clients), \
            self.server.calls.stat().st_size

    def until(self, condition, halted=0):
        """Waits until it is true, or nothing will happen any more. Returns whether it is."""
        last, asleep, silent, now = self.news(), 0, 0, time.monotonic()
        while not condition():
            go_on()
            ended = self.server.has_ended()  # asked first, so that what it did last is heard
            self.hear()
            before, now, latest = now, time.monotonic(), self.news()
            look = min(now - before, ABSENT)
            silent, asleep = silent + look, asleep + look
            if latest != last:
                last, asleep, silent = latest, 0, 0
            elif not self.server.sleeps(halted):
                asleep = 0
            if asleep > ASLEEP or silent > PATIENCE or (silent and ended):
                return condition()
        return True

    def hear(self):
        there = {client.socket.fileno(): client for client in self.clients
                 if client.socket and client.socket.fileno() >= 0
                 and not client.ended and client.reads}
        poll = select.poll()
        for number in there:
            poll.register(number, select.POLLIN)
        for number, _ in poll.poll(LOOK_AGAIN * 1000):
            there[number].hear()

    def quiet(self, halted=0):
        """Waits until the server has done what there is to do."""
        self.until(lambda: False, halted)

    @contextlib.contextmanager
    def halted(self):
        """Its first process does nothing meanwhile; signals to it merge."""
        pid, told = self.server.pid, len(self.server.told())
        stopped = re.compile(rf'^{pid} .* stopped by SIGSTOP', re.M)  # strace's stops look alike
        self.server.signal(signal.SIGSTOP, pid)
        self.until(lambda: stopped.search(self.server.told()[told:]), pid)
        yield pid
        self.server.signal(signal.SIGCONT, pid)

    # -- what clients do --

    def connect(self, clients, end='\n'):
        """They connect and send a line."""
        for client in clients:
            client.connect()
        for client in clients:
            client.send(f'client {client.number}{end}'.encode())

    def come(self, clients, end='\n'):
        """The same, and they wait until they are served, or will not be."""
        self.connect(clients, end)
        self.until(lambda: all(client.served() for client in clients))

    def say_more(self, clients):
        """They send another line, and wait as before."""
        for client in clients:
            client.send(b'still there?\n')
        self.until(lambda: all(client.served() for client in clients))

    def leave(self, clients, halted=0):
        """They say that they send no more, and wait for the end."""
        for client in clients:
            client.finish()
        self.until(lambda: all(client.ended for client in clients), halted)

    def close(self, clients):
        for client in clients:
            client.close()

    def leave_together(self, clients):
        """Meanwhile a parent of processes is halted, so that their signals merge."""
        if children(self.server.pid):
            with self.halted() as parent:
                self.leave(clients, parent)
                self.quiet(parent)
        else:
            self.leave(clients)
        self.until(lambda: all(client.ended for client in clients))
        self.close(clients)

    def stop(self):
        """The server is told to stop."""
        self.quiet()
        self.server.signal(signal.SIGTERM)
        self.until(self.server.has_ended)

    def restart(self):
        """The server is killed, with all of its processes, and started anew with the same port."""
        self.server.end()
        self.quiet()
        self.server.start(self.server.address[1])
        self.quiet()


# ---- scripts -----------------------------------------------------------------------------

def three(play):
    """The first comes, then the others; the first leaves, then the others together."""
    first, others = play.clients[:1], play.clients[1:]
    play.come(first)
    play.come(others)
    play.leave(first)
    play.close(first)
    play.quiet()
    play.leave_together(others)


def who_serves(server, client):
    """The process that has read or written last for a client, by strace's words or by /proc."""
    told = re.findall(rf'^(\d+) \S+ (?:read|recv|write|send)\w*\(\d+<\S*->\S*:{client.port}\]>',
                      server.told(), re.M)
    return int(told[-1]) if told else process_of(server, client.socket)


def crash(play):
    """What serves the first client dies by SIGSEGV; then the others send once more."""
    play.come(play.clients)
    first, others = play.clients[:1], play.clients[1:]
    play.server.signal(signal.SIGSEGV, who_serves(play.server, first[0]))
    play.until(lambda: first[0].ended)
    play.say_more(others)
    play.leave(others)
    play.close(play.clients)


def record(command, script=three, clients=3, inject=()):
    """Runs the script against the server. ServerFailed where that does not listen."""
    with tempfile.TemporaryDirectory(prefix='timeline-') as folder:
        with Traced(command, folder, inject) as server:
            play = Play(server, clients)
            try:
                script(play)
                play.stop()
            finally:
                play.close(play.clients)
        visits = [Visit(client.number, client.port, client.steps) for client in play.clients]
        return Recording(server.events(), visits, server.log.read_text(errors='replace'))
