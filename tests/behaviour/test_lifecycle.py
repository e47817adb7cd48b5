"""Signals, drains and restarts: a stop loses no client that was accepted, and does not wait for ever."""
import os
import selectors
import shutil
import signal
import subprocess
import time

import pytest

import sockets
from harness import (BUILD, DEADLINE, NO_LEAK_SEARCH, NamespacedServer, WrappedServer, children,
                     concurrent, eventually, forks_only, needs_root, process, with_limit,
                     with_processes)


@pytest.mark.parametrize('number', [signal.SIGTERM, signal.SIGINT], ids=['TERM', 'INT'])
def test_a_drain_lets_clients_finish(server, number):
    """Catches a stop that cuts connections (KillMode=control-group), or goes on accepting."""
    srv = server('-g', '1h')
    client = srv.connect()
    client.echo(b'x')
    srv.send_signal(number)
    drain = srv.wait_line('^drain ')
    assert (drain['why'], drain['live']) == (f'SIG{number.name[3:]}', '1')
    assert not srv.listens()
    assert client.echo(b'still served') == b'still served'
    client.half_close()
    assert client.receive_all() == b''
    assert srv.wait() == 0
    assert srv.end_of(client)['how'] == 'eof'


@with_processes
@pytest.mark.parametrize('number', [signal.SIGTERM, signal.SIGINT, signal.SIGHUP],
                         ids=['TERM', 'INT', 'HUP'])
def test_a_signal_to_all_processes_cuts_off_nobody(server, number):
    """Catches children that a stop ends which is sent to all processes of the server: by timeout(1), a
    shell's kill of a job, a manager with KillMode=control-group (helm-charts#11680, coreutils#4176)."""
    srv = server('-g', '1h')
    clients = [srv.connect() for _ in range(5)]
    for client in clients:
        client.echo(b'x')
    for child in children(srv.pid):
        os.kill(child.pid, number)
    srv.send_signal(number)
    srv.wait_line('^drain ' if number != signal.SIGHUP else '^takeover |cannot upgrade')
    for client in clients:
        assert client.echo(b'still served') == b'still served'
        client.half_close()
        assert client.receive_all() == b''
        assert srv.end_of(client)['how'] == 'eof'


@concurrent
def test_a_drain_loses_no_byte_in_flight(server):
    """Catches a stop that drops what a child has read and not yet written."""
    srv = server('-g', '1h')
    clients = [srv.connect(receive_buffer=4096) for _ in range(3)]
    sent = [client.fill() for client in clients]
    srv.send_signal(signal.SIGTERM)
    srv.wait_line('^drain ')
    for client, data in zip(clients, sent):
        client.half_close()
        assert client.receive_all() == data
    assert srv.wait() == 0
    srv.wait_lines('^end .*how=eof', 3)


class Stream:
    """A client that sends and receives as fast as both go; without end until it has a `goal`."""

    block = bytes(range(251)) * 64

    def __init__(self, client):
        client.setblocking(False)
        self.client, self.goal = client, None
        self.sent = self.received = 0

    def send(self):
        """Returns whether there is more to send."""
        if self.goal is not None and self.sent >= self.goal:
            self.client.half_close()
            return False
        self.sent += self.client.send(self.block[self.sent % len(self.block):])
        return True

    def receive(self):
        """Returns whether there may be more to receive."""
        data = self.client.recv(len(self.block))
        at = self.received % len(self.block)
        assert (self.block * 2)[at:at + len(data)] == data
        self.received += len(data)
        return data != b''


@concurrent
def test_a_drain_loses_no_byte_of_200_streams(server):
    """Catches a stop that is well for a few clients: here 200 stream at full speed in both
    directions when it comes, and each goes on and finishes, within the grace."""
    srv = server('-g', '1h', verbose=None)
    streams = [Stream(srv.connect()) for _ in range(200)]
    with selectors.DefaultSelector() as ready:
        for stream in streams:
            ready.register(stream.client, selectors.EVENT_READ | selectors.EVENT_WRITE, stream)
        while ready.get_map():
            for key, events in ready.select(DEADLINE):
                if events & selectors.EVENT_WRITE and not key.data.send():
                    ready.modify(key.fileobj, selectors.EVENT_READ, key.data)
                if events & selectors.EVENT_READ and not key.data.receive():
                    ready.unregister(key.fileobj)
            if streams[0].goal is None and all(stream.received > 0 for stream in streams):
                assert sum(stream.sent - stream.received for stream in streams) > 0
                srv.send_signal(signal.SIGTERM)
                for stream in streams:
                    stream.goal = stream.sent + 10 * len(Stream.block)
    assert [stream.received for stream in streams] == [stream.sent for stream in streams]
    assert srv.wait() == 0
    stop = srv.wait_line('^stop ')
    assert stop['in'] == stop['out'] == str(sum(stream.sent for stream in streams))


def test_an_idle_server_stops_at_once(server):
    """Catches a drain that waits out its grace although nobody is left."""
    srv = server('-g', '1h')
    assert srv.stop(signal.SIGTERM) == 0
    assert srv.wait_line('^stop ')


def test_the_grace_ends(server):
    """Catches a stop that waits for ever for a client that never finishes (cpython#75334)."""
    srv = server('-g', '300ms')
    client = srv.connect()
    client.echo(b'x')
    start = time.monotonic()
    srv.send_signal(signal.SIGTERM)
    client.closed_by_server()
    assert time.monotonic() - start >= 0.3
    assert srv.wait() == 0
    assert len(srv.wait_lines('^end ', 1)) == 1


@with_processes
def test_after_the_grace_children_get_a_signal(server):
    """Catches children that outlive a server that said it had stopped."""
    srv = server('-g', '300ms')
    clients = [srv.connect() for _ in range(3)]
    for client in clients:
        client.echo(b'x')
    assert srv.stop(signal.SIGTERM) == 0
    assert len(srv.wait_lines('^end .*how=signal-15', 3)) == 3


@with_processes
def test_a_child_that_ignores_the_signal_is_killed(server):
    """Catches a stop that one stopped or stuck child can hold up."""
    srv = server('-g', '100ms')
    client = srv.connect()
    client.echo(b'x')
    os.kill(srv.accepted(client).number('pid'), signal.SIGSTOP)
    assert srv.stop(signal.SIGTERM) == 0
    assert srv.wait_line('^end ')['how'] == 'signal-9'


@pytest.mark.parametrize('second', [signal.SIGTERM, signal.SIGINT, signal.SIGQUIT],
                         ids=['TERM', 'INT', 'QUIT'])
def test_a_second_signal_does_not_wait(server, second):
    """Catches a drain that cannot be hurried. It may be, a second later."""
    srv = server('-g', '1h')
    client = srv.connect()
    client.echo(b'x')
    srv.send_signal(signal.SIGTERM)
    srv.wait_line('^drain ')
    assert srv.hurry(second) == 0
    client.closed_by_server()


def served_to_the_end(srv, client):
    """The server drains, and this client, that it has, is the last one."""
    srv.wait_line('^drain ')
    assert client.echo(b'still served') == b'still served'
    client.half_close()
    assert client.receive_all() == b''
    assert srv.end_of(client)['how'] == 'eof'


def test_a_stop_that_is_asked_for_twice_at_once_is_one(server):
    """Catches clients that are cut, as the terminal and a wrapper have both passed on a Ctrl-C."""
    srv = server('-g', '1h')
    client = srv.connect()
    client.echo(b'x')
    for number in (signal.SIGSTOP, signal.SIGTERM, signal.SIGINT, signal.SIGCONT):
        srv.send_signal(number)
    served_to_the_end(srv, client)
    assert srv.wait() == 0
    assert len(srv.find('^drain ')) == 1


@forks_only
@pytest.mark.parametrize('wrap', [['timeout', '1h'], ['dumb-init'], ['tini', '-s', '--'],
                                  ['tini', '-sg', '--']],
                         ids=['timeout', 'dumb-init', 'tini', 'tini-g'])
def test_a_wrapper_that_stops_the_server_cuts_no_client(server, wrap):
    """Catches clients that are cut where a wrapper or a small init, told to stop, signals all of the
    server's group, or the server and then its group (sapcc/helm-charts#11680)."""
    if shutil.which(wrap[0]) is None:
        pytest.skip(f'{wrap[0]} is not installed')
    srv = server('-g', '1h', wrap=wrap, kind=WrappedServer, env=NO_LEAK_SEARCH)
    client = srv.connect()
    client.echo(b'x')
    srv.send_signal(signal.SIGTERM)
    served_to_the_end(srv, client)
    srv.wait_line('^stop ')
    srv.expected = srv.wait()


def test_quit_stops_at_once(server):
    """Catches a QUIT that dumps core or drains."""
    srv = server('-g', '1h')
    client = srv.connect()
    client.echo(b'x')
    assert srv.stop(signal.SIGQUIT) == 0
    client.closed_by_server()


@concurrent
def test_stop_is_the_last_line(server):
    """Catches a server that says it has stopped before all its children are reaped."""
    srv = server('-c', '50')
    clients = [srv.connect() for _ in range(50)]
    for client in clients:
        client.echo(b'x')
    assert srv.stop(signal.SIGQUIT) == 0
    srv.wait_line('^stop ')
    assert len(srv.find('^end ')) == 50
    assert srv.lines[-1].startswith('stop ')


def test_deferred_clients_of_a_drain_are_not_left_hanging(server):
    """Catches a backlog that a stopping server neither serves nor closes."""
    srv = server('-c', '1', '-g', '1h')
    first = srv.connect()
    first.echo(b'x')
    waiting = srv.connect()
    srv.send_signal(signal.SIGTERM)
    srv.wait_line('^drain ')
    assert waiting.closed_by_server() == b''
    first.close()
    assert srv.wait() == 0


def test_a_status_line_for_each_signal(server):
    """Catches a lost wakeup: a signal that comes while the one before is being served."""
    srv = server()
    for _ in range(100):
        assert srv.status()['live'] == '0'


def test_a_restart_binds_while_old_clients_are_served(server):
    """Catches "address in use" at a restart: children that keep the listener (PP4E, uftpd,
    mongoose#1302), or no SO_REUSEADDR."""
    old = server('-g', '1h')
    client = old.connect()
    client.echo(b'x')
    old.send_signal(signal.SIGTERM)
    old.wait_line('^drain ')
    new = server(listen=[old.address])
    assert new.connect().echo(b'new') == b'new'
    assert client.echo(b'old') == b'old'
    client.close()
    assert old.wait() == 0


@with_processes
def test_children_of_a_killed_parent_finish_their_clients(server):
    """Catches children that end with their parent, or keep its port, or hold its log open."""
    old = server()
    client, other = old.connect(), old.connect()
    client.echo(b'x')
    other.echo(b'x')
    old.expected = -signal.SIGKILL
    old.stop(signal.SIGKILL)
    if old.name == 'preforkecho':  # a signal has its children close the listeners: soon, not at once
        eventually(lambda: not sockets.listens(old.address), 'the children have closed the listener')
    new = server(listen=[old.address])
    assert new.connect().echo(b'new') == b'new'
    data = bytes(range(256)) * 200
    assert client.echo(data) == data
    client.half_close()
    assert client.receive_all() == b''
    other.reset()
    eventually(lambda: not old.left_behind(), 'the children have ended')


@with_processes
def test_a_keyboard_interrupt_cuts_no_client(server):
    """Catches children that die of the Ctrl-C that a terminal sends to the whole group."""
    srv = server('-g', '1h')
    client = srv.connect()
    client.echo(b'x')
    os.killpg(srv.pid, signal.SIGINT)
    assert srv.wait_line('^drain ')['why'] == 'SIGINT'
    assert client.echo(b'still served') == b'still served'
    client.half_close()
    assert client.receive_all() == b''
    assert srv.wait() == 0


@needs_root
def test_as_process_1_it_stops_on_term(server):
    """Catches a server that as PID 1 cannot be stopped: there the default action is none."""
    srv = server(kind=NamespacedServer)
    client = srv.connect()
    assert client.echo(b'hello') == b'hello'
    client.close()
    srv.wait_line('^end ')
    assert srv.stop(signal.SIGTERM) == 0
    assert srv.wait_line('^stop ')


@needs_root
def test_as_process_1_it_reaps_strangers(server):
    """Catches zombies that PID 1 inherits and does not know (moby#12228), and counts that they
    move."""
    srv = server(kind=NamespacedServer)
    srv.status()  # it has the children that it starts with
    own = {each.pid for each in children(srv.pid)}
    # A shell in the namespace leaves orphans behind, until its input ends: the new process 1 gets
    # them, and must reap them.
    with subprocess.Popen(['nsenter', '--target', str(srv.pid), '--pid', 'sh', '-c',
                           'exec 3<&0; for each in 1 2 3 4 5; do (cat <&3 & ) ; done'],
                          stdin=subprocess.PIPE) as shell:
        assert shell.wait(DEADLINE) == 0
        eventually(lambda: len(children(srv.pid)) == len(own) + 5, 'it has the strangers')
    eventually(lambda: {each.pid for each in children(srv.pid)} == own, 'the strangers are reaped')
    client = srv.connect()
    assert client.echo(b'hello') == b'hello'
    status = srv.status()
    assert (status['live'], status['ended'], status['zombies']) == ('1', '0', '0')


def test_an_idle_server_uses_no_processor(server):
    """Catches a loop that wakes up for nothing, or a timer that never rests."""
    srv = server('-t', '1s')
    waiting = srv.connect()
    assert waiting.echo(b'x') == b'x'
    before = process(srv.pid).cpu
    waiting.receive_all()  # a second later
    assert process(srv.pid).cpu - before < 0.1


def hung_up(server):
    """A server whose terminal is gone, and that has closed its listener; and its client."""
    master, slave = os.openpty()
    srv = server(stderr=slave)
    os.close(slave)
    client = srv.connect()
    assert client.echo(b'x') == b'x'
    os.close(master)
    srv.send_signal(signal.SIGHUP)
    eventually(lambda: not srv.listens(), 'the listener is closed')
    return srv, client


def test_a_server_ends_with_its_terminal(server):
    """Catches a server that somebody ran by hand, and that lives on unseen, as an upgraded one,
    when the window is closed."""
    srv, client = hung_up(server)
    assert client.echo(b'still served') == b'still served'
    client.close()
    assert srv.wait() == 0


@with_processes
def test_the_second_hang_up_asks_before_it_kills(server):
    """Catches an order to end that is passed on only after the next wait: by then it is to kill, a
    second later each time, and not only on a machine that is busy."""
    assert any(second_hang_up(server) < 1.9 for _ in range(5))


def second_hang_up(server):
    """The seconds from the first, the second being asked for until it counts, to the end."""
    srv, client = hung_up(server)
    start = time.monotonic()
    assert srv.hurry(signal.SIGHUP) == 0
    took = time.monotonic() - start
    client.close()
    return took


@needs_root
@pytest.mark.skipif(BUILD.name in ('asan', 'tsan'), reason='a sanitizer reads /proc')
@with_limit(0.5, 5, 30)
def test_a_server_without_proc_serves_and_sleeps(server, limit):
    """Catches a server that ends, complains or spins where /proc cannot be read, as in a chroot or
    a sandbox: what it is for there is a title, and what a failed fork says of limits."""
    srv = server('-t', f'{limit}s',
                 wrap=['unshare', '--mount', 'sh', '-c',
                       'mount -t tmpfs -o mode=0 none /proc && exec "$@"', 'sh'])
    idle = srv.connect()
    assert idle.echo(b'x') == b'x'
    before = process(srv.pid).cpu
    assert idle.closed_by_server() == b''  # when that is over
    assert process(srv.pid).cpu - before < 0.1
    client = srv.connect()
    assert client.echo(b'x') == b'x'
    client.half_close()
    assert client.receive_all() == b''
    assert srv.end_of(client)['how'] == 'eof'
    assert not srv.find(f'^{srv.name}: ')
