"""Detectors: one for each hazard, named as its file. README says how to add one.

One cause, one row: a detector looks for what its own mistake does and no other. What a server has
to be for that, `needs` says, by the facts of its examination; where a trial finds that something
else is in the way, it is not applicable; where it has not shown what it wanted to, undecided."""
import contextlib
import math
import operator
import os
import random
import re
import resource
import select
import signal
import socket
import time
from collections import namedtuple
from pathlib import Path

from grader import exam, waiting
from grader.clients import SMALL, Crowd, connect, visit
from grader.processes import TIME_WAIT, children, handles, sockets, state, states_of, threads
from grader.waiting import LOOK_AGAIN, NotApplicable, Unable, Undecided, eventually

Hazard = namedtuple('Hazard', 'name measure fine needs options wrap detect')
HAZARDS = {}


# ---- what a server has to be -------------------------------------------------------------

class NotToBeJudged(NotApplicable):
    """Not for what it is, but for what it does not even do."""


def rests(facts):
    if facts.spins:
        raise NotToBeJudged('it spins when a client has left')


def lives(facts):
    rests(facts)
    if facts.ends:
        raise NotToBeJudged('it ends while clients come and go')


def answers(facts):
    lives(facts)
    if facts.silent:
        raise NotToBeJudged(f'no echo server: {facts.problem}')


def makes_children(facts):
    if facts.makes != 'a process':
        raise NotApplicable(f'what it makes for a client is {facts.makes}')


def makes_threads(facts):
    if facts.makes != 'a thread':
        raise NotApplicable(f'what it makes for a client is {facts.makes}')


def echoes(facts):
    if facts.problem:
        raise NotApplicable(f'no echo server: {facts.problem}')
    if not facts.repeats:
        raise NotApplicable('it answers only the first message')


def echoes_alone(facts):
    echoes(facts)
    if exam.TEMPLATE != '{}':
        raise NotApplicable('it answers more than the message')


def hazard(measure, fine=0, needs=(answers,), options=(), wrap=None):
    """Registers a detector. It counts what `measure` names; right servers show at most `fine`. They
    are started with `options`, and every server below the command that `wrap` returns."""
    def register(detect):
        HAZARDS[detect.__name__] = Hazard(detect.__name__, measure, fine, needs, options, wrap,
                                          detect)
        return detect
    return register


def strace(*options, to='calls'):
    """The server under strace, of which it stays the parent: -D."""
    return lambda server: ['strace', '-D', '-qq', '-o', str(server.folder / to), *options]


# ---- is it an echo server ----------------------------------------------------------------

@hazard('kinds of messages', needs=())
def wrong_reply(server):
    """A line; a zero byte; 100 KB; a line in three pieces; one with which the client finishes. This
    row says as well that a server ends, or spins, when a client has come and gone."""
    facts = server.facts
    if facts.ends and handles(server.pid, signal.SIGCHLD):
        raise NotApplicable('it ends when a client leaves: no_eintr')
    if facts.ends or facts.spins:
        facts = exam.examine(server)
        if not (facts.ends or facts.spins):
            raise Undecided('it ended or spun in another trial, and not in this')
        return int(facts.spins)
    return len(exam.differences(server))


@hazard('clients without an answer')
def needs_newline(server):
    """A client sends three letters and waits. Then it sends a newline as well."""
    return int(exam.wants_newline(server))


@hazard('second messages')
def one_message(server):
    """A client sends a line, and when that was answered another."""
    return int(exam.refuses_second(server))


@hazard('clients that wait for another')
def one_at_a_time(server):
    """A client comes, and is silent. Another sends a line."""
    return int(exam.stops_others(server))


# ---- children ----------------------------------------------------------------------------

def client_children(server, before):
    """{child: its state} of those that were not there before."""
    return {pid: state(f'/proc/{pid}') for pid in set(children(server.pid)) - before}


def alive(server, before):
    return [pid for pid, each in client_children(server, before).items() if each not in 'ZX']


def one_by_one(server, count):
    """Clients come and go, each when the child of the last one has ended, where one is made, and say
    something when the server is idle. How many were lost."""
    lost, before = 0, set(children(server.pid))
    for _ in range(count):
        with Crowd(server) as client:
            eventually(server.sleeps)
            lost += client.ask().finish().unserved(ended=server.facts.closes)
        if server.facts.makes == 'a process' and \
                not eventually(lambda: not alive(server, before), server):
            raise Undecided('its children do not end when their clients do')
        eventually(server.sleeps)
    return lost


def idle_zombies(server):
    """The zombies that stay when five clients have come and gone, and the server is idle."""
    one_by_one(server, 5)
    server.zombies()
    return {pid for pid in children(server.pid) if state(f'/proc/{pid}') == 'Z'}


def stay_for_ever(server, zombies):
    """Whether none of them goes when more clients come."""
    for _ in range(50):
        visit(server)
        if not zombies <= set(children(server.pid)):
            return False
    return True


@hazard('zombies', needs=(answers, makes_children))
def no_reaping(server):
    """Five clients come one by one; and fifty more, of whom each may be who makes it reap."""
    zombies = idle_zombies(server)
    return len(zombies) if zombies and stay_for_ever(server, zombies) else 0


@hazard('zombies', needs=(answers, makes_children))
def reap_at_accept(server):
    """Five clients come one by one, and nobody after them."""
    zombies = idle_zombies(server)
    if zombies and stay_for_ever(server, zombies):
        raise NotApplicable('it reaps no child at all: no_reaping')
    return len(zombies)


@hazard('zombies', needs=(answers, makes_children))
def one_wait(server):
    """Eight clients leave while the parent is halted: their SIGCHLDs become one."""
    before = set(children(server.pid))
    one_by_one(server, 2)
    if server.zombies():
        raise NotApplicable('one child alone is not reaped, either')
    with Crowd(server, 8) as crowd:
        eventually(lambda: len(client_children(server, before)) >= 8, server)
        those = client_children(server, before)
        if len(those) < 2:
            raise NotApplicable('it never has two children')
        with server.halted():
            crowd.ask().finish()
            eventually(lambda: all(state(f'/proc/{pid}') in 'ZX' for pid in those))
            if sum(state(f'/proc/{pid}') in 'ZX' for pid in those) < 2:
                raise Undecided('its children do not end when their clients do')
        return server.zombies()


@hazard('clients lost', needs=(rests, makes_children))
def no_eintr(server):
    """Ten clients come one by one, each when the child of the last one has ended."""
    if not handles(server.pid, signal.SIGCHLD):
        return 0
    lost = one_by_one(server, 10)
    return lost or int(server.has_ended())


WINDOW_MS = 50  # for which strace makes a call last when all is done but its return


def forget_calls(server):
    """Takes what strace has told until now: it tells of the past."""
    with contextlib.suppress(BlockingIOError):
        while os.read(server.calls, 1 << 16):
            pass


def await_window(server, call):
    """Waits until strace tells of a call, by a pattern of its words, and returns when that began;
    None where there is none, and the server sleeps."""
    told, end = b'', time.monotonic() + waiting.PATIENCE
    while True:
        ready = select.select([server.calls], [], [], 2.5 * WINDOW_MS / 1000)[0]
        new = os.read(server.calls, 4096) if ready else b''  # as at the end of strace
        told += new
        found = re.search(rb'([\d.]+) ' + call, told)
        if found:
            return float(found[1])
        if not new and (server.sleeps() or time.monotonic() > end):
            return None


def end_in_window(server, opened, crowd, have_ended):
    """The crowd leaves while the server is halted in a window, if one was opened, until their
    children have ended. Returns whether it was halted in time."""
    if opened is not None:
        server.signal(signal.SIGSTOP)
    in_time = opened is None or time.time() - opened < WINDOW_MS / 1000
    crowd.ask().finish()
    eventually(have_ended, server)
    server.signal(signal.SIGCONT)
    return in_time


TOO_BUSY = 'this machine is too busy to halt a process in time'


@hazard('zombies', needs=(answers, makes_children),
        wrap=strace('-ttt', '-e', 'trace=wait4', '-e', f'inject=wait4:delay_exit={WINDOW_MS}000'))
def clear_after(server):
    """A child ends; another does when the parent's last wait4 has looked, and has not returned: it
    is halted there. A round in which that was too late says nothing. (Another, not others, whose
    signals would merge.)"""
    for _ in range(20):
        with Crowd(server) as other, Crowd(server) as first:
            eventually(lambda: len(children(server.pid)) > 1, server)
            eventually(server.sleeps, server, asleep=math.inf)  # what the last round left is done
            forget_calls(server)
            first.ask().finish().unserved()
            opened = await_window(server, rb'wait4\(.*= (?:0|-1 ECHILD)')
            if opened is None and server.zombies():
                raise NotApplicable('one child alone is not reaped, either')
            in_time = end_in_window(server, opened, other,
                                    lambda: not server.child_states().strip('ZX'))
            left = server.zombies()
        if in_time or left:
            return left
    raise Undecided(TOO_BUSY)


@hazard('clients lost', needs=(answers, makes_children),
        wrap=strace('-ttt', '-P', '/etc/localtime',
                    '-e', f'inject=%%stat:delay_exit={WINDOW_MS}000'))
def unsafe_handler(server):
    """Clients come together, so that children end while the parent starts others. What it asks of
    /etc/localtime, as localtime does, takes 50 ms, as on a bad disk. Where chance has spared it, one
    child ends while the parent is halted there, as another client has come."""
    if not handles(server.pid, signal.SIGCHLD):
        raise NotApplicable('it does not handle SIGCHLD')
    if lost := visit(server, 20):
        return lost
    for _ in range(20):
        before = set(children(server.pid))
        with Crowd(server) as early:
            if early.ask().unserved():
                return 1
            eventually(server.sleeps, server, asleep=math.inf)
            its = alive(server, before)
            forget_calls(server)
            with Crowd(server) as late:
                opened = await_window(server, rb'.*\(DELAYED\)')
                in_time = end_in_window(server, opened, early,
                                        lambda: all(state(f'/proc/{pid}') in 'ZX' for pid in its))
                lost = late.ask().finish().unserved() + visit(server)
        if in_time or lost:
            return lost
    raise Undecided(TOO_BUSY)


@hazard('clients lost', needs=(answers, makes_children))
def parent_keeps_connection(server):
    """Five clients have finished, and wait for the server to do the same."""
    before = set(children(server.pid))
    with Crowd(server, 5) as crowd:
        waiting_still = crowd.ask().finish().unserved(ended=True)
        if waiting_still and alive(server, before):
            raise Undecided('its children do not end when their clients do')
        return waiting_still


@hazard('processes hold the listener', needs=(answers, makes_children))
def child_keeps_listener(server):
    """The server is told to stop while three clients are there."""
    def holders(pids):
        return [pid for pid in pids if listeners & sockets(pid)]

    listeners, before = sockets(server.pid), set(children(server.pid))
    with Crowd(server, 3):
        eventually(lambda: len(client_children(server, before)) >= 3, server)
        those = client_children(server, before)
        server.stop()
        if not eventually(lambda: not holders([server.pid]), server):
            raise Undecided('it does not stop when it is told to')
        eventually(lambda: not holders(those))
        return len(holders(those))


@hazard('lines twice', needs=(answers, makes_children))
def exit_flushes(server):
    """Six clients come and go one by one, and the log is a file. A server may well log the same
    line twice; then it does so on a terminal, too, where a stream keeps nothing that exit could
    write."""
    def lines_of(of_server):
        one_by_one(of_server, 6)
        return of_server.log().splitlines()

    lines = lines_of(server)
    if len(lines) == len(set(lines)):
        return 0
    with server.again(on_terminal=True) as control:
        lines_of(control)
        eventually(lambda: len(control.log().splitlines()) >= len(lines), control,
                   lambda: len(control.log()))
        return max(len(lines) - len(control.log().splitlines()), 0)


def early_clients(server, count):
    """Clients who come where no process can be created: a Crowd that has been heard."""
    server.use_up_processes()
    early = Crowd(server, count).ask().finish()
    eventually(lambda: server.has_ended() or server.dozes() or len(early.ended) == count, server,
               lambda: (len(early.ended), len(server.log())), early.hear, asleep=0.2)
    eventually(server.sleeps)  # one that ends closes its sockets first
    if early.served() == count:
        raise Undecided('it has made processes where none could be made')
    return early


@hazard('clients lost', needs=(answers, makes_children), options=('-c', '1'))
def slot_leak(server):
    """Eight clients come while no process can be created; four when that is over."""
    with early_clients(server, 8):
        if server.has_ended():
            raise NotApplicable('it ends where fork fails: fork_error_kills')
        server.give_back_processes()
    with Crowd(server, 4) as late:  # a right server may wait out a failure for a second
        return late.ask().finish().unserved(asleep=1.5)


@hazard('servers ended', needs=(answers, makes_children))
def fork_error_kills(server):
    """A client comes while no process can be created."""
    with early_clients(server, 1):
        return int(server.has_ended())


# ---- threads -----------------------------------------------------------------------------

@hazard('clients lost', needs=(answers, makes_threads))
def shared_client(server):
    """Clients are there when the server looks, so that it accepts them all at once: forty, or as
    many as its queue takes. Where some are lost, as many come to another, one when the last one
    was answered: it may have a limit."""
    came = together = 0
    for _ in range(8):
        with server.halted(), Crowd(server, 40) as crowd:
            crowd.ask().finish()
            server.signal(signal.SIGCONT)
            came += len(crowd.wanted)
            together += max(len(crowd.wanted) - 1, 0)
            lost = crowd.unserved()
        if lost:
            with server.again() as control, contextlib.ExitStack() as stay:
                if any(stay.enter_context(Crowd(control)).ask().unserved() for _ in range(came)):
                    raise NotApplicable(f'it serves fewer than {came} clients in any case')
            return lost
        if together >= 20:
            return 0
    if not together:
        raise Undecided('its queue has no room for two clients')
    return 0


def mappings(pid):
    return len(Path(f'/proc/{pid}/maps').read_text().splitlines())


@hazard('stacks left', fine=5, needs=(answers, makes_threads))
def threads_not_joined(server):
    """Three clients come one by one, then twelve more. A stack is two mappings: it, and its
    guard."""
    def after(count):
        for _ in range(count):
            visit(server)
            eventually(lambda: len(threads(server.pid)) <= own, server)
        if len(threads(server.pid)) > own:
            raise Undecided('its threads do not end when their clients do')
        return mappings(server.pid)

    own = len(threads(server.pid))
    before = after(3)
    return max(after(12) - before, 0) // 2


# ---- any server --------------------------------------------------------------------------

@hazard('bytes missing or others', needs=(answers, echoes_alone))
def short_write(server):
    """A client sends four million bytes of lines, and reads a fourth of them whenever the
    buffers are full. (A server of lines may well change what is no text.)"""
    message = random.Random(1).randbytes(1 << 21).hex('\n', 60).encode() + b'\n'
    size, portion, sent, received = len(message), 1 << 20, 0, bytearray()
    ended, moved_at = False, time.monotonic()

    def move(reading):
        nonlocal sent, ended, moved_at
        readable, writable, _ = select.select([client] if reading else [],
                                              [client] if sent < size else [], [], LOOK_AGAIN)
        if writable:
            moved_at = time.monotonic()
            sent += client.send(message[sent:sent + (1 << 16)])
            if sent == size:
                client.shutdown(socket.SHUT_WR)
        if readable:
            part = client.recv(1 << 18)
            received.extend(part)
            ended = not part

    def full():
        return sent == size or time.monotonic() - moved_at > 0.02 and server.sleeps()

    with connect(server, SMALL) as client, contextlib.suppress(ConnectionError):
        moves = True
        while moves and not ended and len(received) < size:
            eventually(full, news=lambda: sent, nap=lambda: move(False))
            goal = min(len(received) + portion, size)
            moves = eventually(lambda: ended or len(received) >= goal, server,
                               lambda: (sent, len(received)), lambda: move(True))
    if received != message and server.dozes():
        raise Undecided('it slept, and may answer later')
    return max(size - len(received), sum(map(operator.ne, message, received)))


SPIN_MS = 300  # of processor time without a sleep. (Java takes 100 to print where it fails.)


def accept_fails(to='calls', *trace):
    """The second accept fails with ECONNABORTED, when what was made for the first client has begun:
    shared_client is a row of its own."""
    traced = ','.join(('?accept', '?accept4', *trace))
    return strace('-f', '-e', f'trace={traced}', '-e',
                  'inject=?accept,?accept4:error=ECONNABORTED:delay_enter=100000:when=2', to=to)


@hazard('servers ended, or clients lost', wrap=accept_fails('trace'))
def accept_error_kills(server):
    """Three clients come one by one, and the second accept fails with ECONNABORTED; then there are
    no descriptors left, and it fails with EMFILE."""
    lost = one_by_one(server, 3)
    if lost or server.has_ended():
        return max(lost, 1)
    server.use_up_descriptors()
    burnt_before = server.cpu()
    with Crowd(server):
        eventually(lambda: not server.listens() or server.dozes() or
                   server.cpu() - burnt_before > SPIN_MS / 1000, server, asleep=0.25)
        if server.log_is_full():
            raise NotApplicable('it prints without end: emfile_spin')
        return int(not server.listens())


MAKES = 'clone ?clone3 ?fork ?vfork'.split()
USES = 'read recvfrom recvmsg ?readv write sendto sendmsg ?writev dup getpeername'.split()


@hazard('uses of -1', wrap=accept_fails('trace', *MAKES, *USES))
def accept_unchecked(server):
    """Three clients come one by one, and the second accept fails. Something is made for -1, or it
    is used as a descriptor."""
    one_by_one(server, 3)
    if server.has_ended():
        raise NotApplicable('it ends where accept fails: accept_error_kills')
    uses, failed = 0, set()
    for line in (server.folder / 'trace').read_text(errors='replace').splitlines():
        if called := re.match(r'(\d+) +(?:<\.\.\. )?(\w+)(?:\(| resumed)', line):
            pid, name = called.groups()
            if name.startswith('accept'):
                (failed.add if ' = -1 ECONN' in line else failed.discard)(pid)
            elif pid in failed and name in ('clone', 'clone3', 'fork', 'vfork'):
                uses += 1
                failed.discard(pid)
            elif re.search(rf'{name}\(-1[,)]', line):
                uses += 1
    return uses


def full_disk(server):
    """The second accept fails; and a write that the disk has no room for is an error, no signal."""
    return ['env', '--ignore-signal=XFSZ', *accept_fails('trace')(server)]


@hazard('servers ended, or clients lost', wrap=full_disk)
def errno_overwritten(server):
    """The log cannot be written. Three clients come one by one, and the second accept fails."""
    server.limit(resource.RLIMIT_FSIZE, lambda _pid, _hard: 0)
    if visit(server):
        raise NotApplicable('it serves nobody where its log cannot be written')
    lost = one_by_one(server, 2)
    if not lost and not server.has_ended():
        return 0
    with server.again() as control:
        if one_by_one(control, 3) or control.has_ended():
            raise NotApplicable('it does not survive that error in any case: accept_error_kills')
    return max(lost, 1)


@hazard('ms of processor time', fine=SPIN_MS)
def emfile_spin(server):
    """Clients come when there is no descriptor left. Looks for a quarter of a second, and longer
    while it is not clear whether that is a spin: one that spins is never asleep."""
    def made():
        return set(look(server.pid)) - before

    before, seen = set(), set()
    look = {'a process': children, 'a thread': threads}.get(server.facts.makes, lambda pid: ())
    before = made()
    server.use_up_descriptors()
    with Crowd(server, 3):
        begin, burnt_before = time.monotonic(), server.cpu()

        def burnt_ms():
            return 1000 * (server.cpu() - burnt_before)

        def clear():
            seen.update(made())  # one for each client is no wonder: an accept may be under way
            return len(seen) > 3 or not server.listens() or burnt_ms() > SPIN_MS or (
                time.monotonic() - begin > 0.25 and server.sleeps())

        eventually(clear, news=burnt_ms)
        if server.log_is_full():
            return SPIN_MS + 1
        if not server.listens():
            raise NotApplicable('it ends, and does not spin: accept_error_kills')
        if len(seen) > 3:
            raise NotApplicable('it makes something for each accept that fails: accept_unchecked')
        burnt = 10 * math.ceil(burnt_ms() / 10)
    eventually(lambda: server.has_ended() or server.dozes(), server, asleep=0.1)
    if server.has_ended():  # a client's thread had kept it
        raise NotApplicable('it ends, and does not spin: accept_error_kills')
    return burnt


def reset(client):
    """Ends a connection at once, with a reset."""
    with contextlib.suppress(OSError):
        client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b'\1\0\0\0\0\0\0\0')
    client.close()


@hazard('servers ended, or clients lost')
def reset_kills(server):
    """Three clients reset their connections: one that was answered, one that has sent much and
    reads nothing, and one that nobody has accepted yet. Each time another comes."""
    with Crowd(server) as answered:
        answered.ask().unserved()
        for client in answered.wanted:
            reset(client)
    lost = visit(server)
    with Crowd(server) as much, Crowd(server) as early:
        with server.halted():
            for client in much.wanted:
                with contextlib.suppress(OSError):
                    client.send(exam.LONG)
                client.close()  # with the end, and a reset for each byte that is still to come
            for client in early.wanted:
                reset(client)
    lost += visit(server) + visit(server)
    eventually(server.sleeps, server)
    return lost or int(server.has_ended())


@hazard('restarts that fail')
def no_reuseaddr(server):
    """The server is killed while a client is connected, and started anew with the same port; or
    has another then, though it has that one where it is free."""
    port = server.port
    with Crowd(server) as crowd:
        crowd.ask().unserved()
        server.kill()
    others = states_of(port) - {TIME_WAIT}
    try:
        with server.again(port=port) as anew:
            if anew.port == port:
                return 0
        with server.again() as control:  # one whose bind failed, unseen, listens on any port
            if control.port != port:
                raise NotApplicable('it takes another port each time')
        return 1
    except Unable:
        if others or TIME_WAIT not in states_of(port):
            raise Undecided('its port is in use by another') from None
        return 1
