"""Detectors: one for each hazard, named as its file. README says how to add one."""
import contextlib
import math
import os
import re
import select
import signal
import socket
import time
from collections import namedtuple

from grader import waiting
from grader.clients import Crowd, connect, visit
from grader.processes import children, sockets
from grader.waiting import LOOK_AGAIN, Undecided, eventually

Hazard = namedtuple('Hazard', 'name measure fine options wrap detect')
HAZARDS = {}


def hazard(measure, fine=0, options=(), wrap=None):
    """Registers a detector. It counts what `measure` names; right servers show at most `fine`. They
    are started with `options`, and every server below the command that `wrap` returns."""
    def register(detect):
        HAZARDS[detect.__name__] = Hazard(detect.__name__, measure, fine, options, wrap, detect)
        return detect
    return register


def strace(*options):
    """The server under strace, of which it stays the parent: -D."""
    return lambda server: ['strace', '-D', '-qq', '-o', str(server.folder / 'calls'), *options]


@hazard('zombies')
def no_reaping(server):
    """Ten clients come one by one. An eleventh stays, so that who reaps at accept has done so."""
    for _ in range(10):
        visit(server)
    with Crowd(server) as last:
        last.ask().unserved()
        return server.zombies()


@hazard('zombies')
def reap_at_accept(server):
    """Ten clients come, and nobody after them. The last leaves when the server is idle."""
    visit(server, 9)
    with Crowd(server) as last:
        last.ask().unserved()
        eventually(server.sleeps)
        last.finish().unserved(ended=True)
    return server.zombies()


@hazard('zombies')
def one_wait(server):
    """Eight clients leave while the parent is halted: their SIGCHLDs become one."""
    with Crowd(server, 8) as crowd:
        crowd.ask().unserved()
        with server.halted():
            crowd.finish()
            if children(server.pid):
                crowd.unserved(ended=True)
            eventually(lambda: not server.child_states().strip('SZX'))
        return server.zombies()


@hazard('clients lost')
def no_eintr(server):
    """Ten clients come one by one, each when the child of the last one has ended."""
    lost = 0
    for _ in range(10):
        lost += visit(server)
        server.zombies()
    return lost


WINDOW_MS = 50  # for which strace makes each wait4 last after it has looked


def forget_calls(server):
    """Takes what strace has told until now: it tells of the past."""
    with contextlib.suppress(BlockingIOError):
        while os.read(server.calls, 1 << 16):
            pass


def await_window(server):
    """Waits until a wait4 has looked and found nothing, by strace's words, and returns when it did;
    None where there is none, and the server sleeps."""
    told, end = b'', time.monotonic() + waiting.PATIENCE
    while True:
        if select.select([server.calls], [], [], 2.5 * WINDOW_MS / 1000)[0]:
            told += os.read(server.calls, 4096)
            found = re.search(rb'([\d.]+) wait4\(.*= (?:0|-1 ECHILD)', told)
            if found:
                return float(found[1])
        elif server.sleeps() or time.monotonic() > end:
            return None


@hazard('zombies', wrap=strace('-ttt', '-e', 'trace=wait4', '-e',
                               f'inject=wait4:delay_exit={WINDOW_MS}000'))
def clear_after(server):
    """A child ends; more do when the parent's last wait4 has looked, and has not returned: it is
    halted there. A round in which that was too late says nothing."""
    for _ in range(20):
        with Crowd(server, 3) as others, Crowd(server) as first:
            others.ask().unserved()
            eventually(server.sleeps, server, asleep=math.inf)  # what the last round left is done
            forget_calls(server)
            first.ask().finish().unserved(ended=True)
            opened = await_window(server)
            if opened is not None:
                server.signal(signal.SIGSTOP)
            in_time = opened is None or time.time() - opened < WINDOW_MS / 1000
            others.finish()
            eventually(lambda: not server.child_states().strip('ZX'), server)
            server.signal(signal.SIGCONT)
            left = server.zombies()
        if in_time or left:
            return left
    raise Undecided('this machine is too busy to halt a process in time')


@hazard('clients lost', wrap=strace('-e', 'trace=%%stat', '-e', 'inject=%%stat:delay_exit=10000'))
def unsafe_handler(server):
    """Clients come together, so that children end while the parent starts others. What it asks of
    files takes 10 ms, as on a bad disk: localtime asks for /etc/localtime."""
    return visit(server, 40)


@hazard('clients lost')
def parent_keeps_connection(server):
    """Five clients have finished, and wait for the server to do the same."""
    return visit(server, 5)


def can_listen(port):
    """Whether a server that is started anew could have the port."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(('127.0.0.1', port))
            probe.listen()
        except OSError:
            return False
    return True


@hazard('processes hold the listener')
def child_keeps_listener(server):
    """The server is told to stop while three clients are there. One that serves a client at a time
    may stop only when they have gone."""
    listeners = sockets(server.pid)  # before the first client is there
    with Crowd(server, 3) as crowd:
        crowd.ask().unserved()
        processes = server.processes()
        server.stop()
        if eventually(lambda: can_listen(server.port), server):
            return 0
        if not listeners & sockets(server.pid):
            return sum(bool(listeners & sockets(pid)) for pid in processes)
    free = eventually(lambda: can_listen(server.port), server)
    return 0 if free else sum(bool(listeners & sockets(pid)) for pid in processes)


@hazard('lines twice')
def exit_flushes(server):
    """Ten clients come and go, and the log is a file. A server may well log the same line twice;
    then it does so on a terminal, too, where a stream keeps nothing that exit could write."""
    def lines_of(of_server):
        return of_server.log().splitlines()

    visit(server, 10)
    server.zombies()
    lines = lines_of(server)
    if len(lines) == len(set(lines)):
        return 0
    with server.again(on_terminal=True) as control:
        visit(control, 10)
        eventually(lambda: len(lines_of(control)) >= len(lines), control,
                   lambda: len(lines_of(control)))
        return max(len(lines) - len(lines_of(control)), 0)


@hazard('bytes missing')
def short_write(server):
    """A client sends 4 MiB, and reads a fourth of that whenever the buffers are full."""
    block, size, portion, sent, received = bytes(1 << 16), 1 << 22, 1 << 20, 0, 0
    ended = False

    def move(reading):
        nonlocal sent, received, ended
        readable, writable, _ = select.select([client] if reading else [],
                                              [client] if sent < size else [], [], LOOK_AGAIN)
        if writable:
            sent += client.send(block[:size - sent])
            if sent == size:
                client.shutdown(socket.SHUT_WR)
        if readable:
            part = client.recv(1 << 18)
            received, ended = received + len(part), not part

    def progress():
        return sent, received

    with connect(server.port, small=True) as client, contextlib.suppress(ConnectionError):
        moves = True
        while moves and not ended:
            eventually(lambda: sent == size, server, progress, lambda: move(False), asleep=0.02)
            goal = received + portion
            moves = eventually(lambda: ended or received >= goal, server, progress,
                               lambda: move(True))
    return size - received


@hazard('clients lost', wrap=strace('-f', '-e', 'trace=?accept,?accept4', '-e',
                                    'inject=?accept,?accept4:error=ECONNABORTED:when=2+3'))
def accept_error_kills(server):
    """Ten clients come one by one, and each third accept fails with ECONNABORTED."""
    return sum(visit(server) for _ in range(10))


@hazard('clients lost', options=('-c', '1'))
def slot_leak(server):
    """Eight clients come while no process can be created; four when that is over."""
    with Crowd(server, 8) as early:
        server.use_up_processes()
        early.ask().finish()
        eventually(lambda: len(early.ended) == 8, server,
                   lambda: (len(early.ended), len(server.log())), early.hear, asleep=0.2)
        server.give_back_processes()
    with Crowd(server, 4) as late:  # a right server may wait out a failure for a second
        return late.ask().finish().unserved(ended=True, asleep=1.5)


@hazard('ms of processor time', fine=50)
def emfile_spin(server):
    """Clients come when there is no descriptor left. Looks for a quarter of a second, and longer
    while it is not clear whether that is a spin: one that spins is never asleep."""
    server.use_up_descriptors()
    with Crowd(server, 3) as crowd:
        crowd.ask()
        begin, burnt_before = time.monotonic(), server.cpu()

        def burnt_ms():
            return 1000 * (server.cpu() - burnt_before)

        def clear():
            return burnt_ms() > 100 or (time.monotonic() - begin > 0.25 and server.sleeps())

        eventually(clear, news=burnt_ms)
        return round(burnt_ms(), -1)


@hazard('clients lost')
def shared_client(server):
    """Forty clients are there when the server looks, so that it accepts them all at once."""
    with server.halted(), Crowd(server, 40) as crowd:
        crowd.ask().finish()
        server.signal(signal.SIGCONT)
        return crowd.unserved(ended=True)
