"""What a pool promises: who has served a client serves the next, and there are never too many."""
import contextlib
import os
import re
import resource
import signal
import socket
import subprocess
import time
from pathlib import Path

import pytest

from harness import (AS_OURSELVES, Client, children, dead, descriptors, eventually,
                     in_time, process, program, source_number, threads, use_up_descriptors)

threads_kept = pytest.mark.only('threadpoolecho')
children_kept = pytest.mark.only('preforkecho')
# Idle children of a pool.
SPARE_LEAST, SPARE_MOST = (source_number('examples/variants/parts/pool.h', f'POOL_SPARE_{name}')
                           for name in ('LEAST', 'MOST'))
REPLIES = signal.SIGRTMIN, signal.SIGRTMIN + 1  # to an arrival: examples/variants/parts/pool_report.h


def idle_again(srv):
    """Waits until nobody is served."""
    eventually(lambda: srv.status()['live'] == '0', 'all clients have ended')


def extra_threads(srv):
    """How many threads it has that serve nobody: the main one, and a sanitizer's own, which is
    there once any other was started."""
    for client in served(srv, 1):
        client.close()
    idle_again(srv)
    return len(threads(srv.pid)) - 1


def served(srv, count):
    """Clients that are served at the same time."""
    clients = [srv.connect() for _ in range(count)]
    for client in clients:
        client.sendall(b'x')
    assert all(client.receive(1) == b'x' for client in clients)
    return clients


# ---- threads -----------------------------------------------------------------------------

@pytest.mark.only('threadecho', 'threadpoolecho')
def test_a_stop_of_more_threads_than_the_ledger_holds(server):
    """Catches threads that give up writing their exit record to a full ledger: nobody sweeps for
    them, so the server never ends. 64 KiB hold some 600 records, and all clients end at once."""
    srv = server('-q', '-c', '1500', '-t', '0', verbose=None)
    clients = served(srv, 1200)
    srv.send_signal(signal.SIGTERM)
    eventually(lambda: not srv.listens(), 'the listener is closed')
    assert srv.hurry(signal.SIGTERM) == 0
    for client in clients:
        client.close()


@threads_kept
def test_a_thread_serves_the_next_client(server):
    """Catches a pool that starts a thread for each client all the same."""
    srv = server()
    extra = extra_threads(srv)
    for _ in range(50):
        client, = served(srv, 1)
        assert len(threads(srv.pid)) - extra == 1
        client.close()
        idle_again(srv)
    srv.wait_lines('^end .*how=eof', 51)


@threads_kept
def test_there_are_as_many_threads_as_there_were_clients_at_once(server):
    """Catches threads that are started beside idle ones, and a pool that outgrows -c."""
    srv = server('-c', '20')
    extra = extra_threads(srv)
    for count in (5, 20, 7, 20, 1):
        for client in served(srv, count):
            client.close()
        idle_again(srv)
    crowd = [srv.connect() for _ in range(40)]  # 20 of them wait in the backlog
    for client in crowd[:20]:
        assert client.echo(b'x') == b'x'
    assert len(threads(srv.pid)) - extra == 20
    for client in crowd[:20]:
        client.close()
    for client in crowd[20:]:
        assert client.echo(b'x') == b'x'
    assert len(threads(srv.pid)) - extra == 20


@threads_kept
@pytest.mark.parametrize('number', [signal.SIGTERM, signal.SIGQUIT], ids=['TERM', 'QUIT'])
def test_a_stop_ends_idle_threads(server, number):
    """Catches a stop that hangs on a thread which waits for a client that never comes."""
    srv = server('-g', '300ms')
    for client in served(srv, 10)[3:]:
        client.close()
    eventually(lambda: srv.status()['live'] == '3', 'the others are idle')
    assert srv.stop(number) == 0
    srv.wait_lines('^end ', 10)


@threads_kept
def test_clients_come_and_go_at_once(server):
    """Catches a wakeup lost between a thread's exit record and its wait: its next client would
    wait for ever."""
    srv = server(verbose=None)
    for _ in range(300):
        clients = [Client(srv.address) for _ in range(3)]
        for client in clients:
            assert client.echo(b'x') == b'x'
            client.close()


# ---- children ----------------------------------------------------------------------------

def confined(pid):
    """Whether a child has come to where it accepts; so has one that is gone meanwhile."""
    with contextlib.suppress(FileNotFoundError, ProcessLookupError):
        limits = Path(f'/proc/{pid}/limits').read_text()
        return re.search(r'^Max processes +0 +0 ', limits, re.M)
    return True


def rests(pid):
    """Whether a child is in accept, or waits for its client; or has been let go."""
    child = process(pid)
    return child is None or (confined(pid) and child.state != 'R')


def pool(srv):
    """The pids of the children, once the parent has started all that it wants."""
    srv.status()
    pids = {each.pid for each in children(srv.pid) if each.state != 'Z'}
    eventually(lambda: all(rests(pid) for pid in pids), 'all accept')
    return pids


@children_kept
def test_a_child_serves_the_next_client(server):
    """Catches a pool that forks for each client all the same, or forgets who is idle."""
    srv = server()
    before = pool(srv)
    assert len(before) == SPARE_LEAST
    for _ in range(100):
        client, = served(srv, 1)
        client.close()
        idle_again(srv)
    pids = {event.number('pid') for event in srv.find('^accept ')}
    assert pids <= pool(srv) and before <= pool(srv)
    assert len(pool(srv)) <= SPARE_LEAST + 1  # one more while one was busy


@children_kept
def test_a_pool_grows_to_the_cap_and_no_further(server):
    """Catches a pool that stays as it was, one that outgrows -c, and spare ones beyond it."""
    srv = server('-c', '20')
    clients = served(srv, 10)
    eventually(lambda: len(pool(srv)) == 10 + SPARE_LEAST, 'there are idle ones beside the busy')
    clients += served(srv, 10)
    waiting = [srv.connect() for _ in range(5)]
    for client in waiting:
        client.sendall(b'w')
    assert all(client.echo(b'go on') == b'go on' for client in clients)
    assert len(pool(srv)) == 20 and srv.status()['live'] == '20'
    for client in clients[:5]:
        client.close()
    assert all(client.receive(1) == b'w' for client in waiting)
    assert len(pool(srv)) == 20 and srv.status()['peak'] == '20'


@children_kept
@pytest.mark.parametrize('most', [1, 2, 3])
def test_a_small_pool(server, most):
    """Catches spare children that a small -c does not allow."""
    srv = server('-c', str(most))
    assert len(pool(srv)) == most
    clients = served(srv, most)
    waiting = srv.connect()
    waiting.sendall(b'w')
    assert clients[0].echo(b'x') == b'x'
    assert srv.status()['live'] == str(most)
    clients[0].close()
    assert waiting.receive(1) == b'w'


@children_kept
def test_surplus_children_are_let_go(server):
    """Catches a pool that keeps for ever what one burst has needed, or lets all go at once."""
    srv = server()

    def some_are_let_go():
        for client in served(srv, 40):
            client.close()
        idle_again(srv)
        eventually(lambda: len(pool(srv)) < 38, 'some were let go')
        return len(pool(srv)) > SPARE_MOST

    assert any(some_are_let_go() for _ in range(3))  # on a busy machine it may be seen late
    served(srv, 40)
    assert not srv.find('while it was idle')


@children_kept
def test_a_child_that_is_killed_idle_is_replaced(server):
    """Catches a pool that shrinks by each crash until nobody accepts, and one that forks as fast
    as its children die."""
    srv = server()
    before = pool(srv)
    for pid in before:
        os.kill(pid, signal.SIGKILL)
    assert len(srv.wait_lines('ended by signal 9 while it was idle', SPARE_LEAST)) == SPARE_LEAST
    assert srv.connect().echo(b'x') == b'x'  # after a pause
    assert not before & pool(srv)
    status = srv.status()
    assert (status['live'], status['accepted'], status['ended']) == ('1', '1', '0')


@children_kept
def test_a_child_that_is_killed_busy_is_replaced_at_once(server):
    """Catches a slot of -c that is lost with each child that crashes."""
    srv = server('-c', '3')
    for _ in range(20):
        clients = served(srv, 3)
        for client in clients:
            os.kill(srv.accepted(client).number('pid'), signal.SIGKILL)
            assert srv.end_of(client)['how'] == 'signal-9'
            client.close()
    served(srv, 3)
    assert not srv.find('while it was idle')


def can_bind(address):
    """Whether somebody else can listen there now."""
    host, port = address.rsplit(':', 1)
    with socket.socket(socket.AF_INET) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, int(port)))
            probe.listen()
        except OSError:
            return False
    return True


@children_kept
@pytest.mark.parametrize('listen', [['127.0.0.1:0'], ['127.0.0.1:0', '127.0.0.2:0']],
                         ids=['one', 'two'])
def test_a_drain_frees_the_address_while_children_are_busy(server, listen):
    """Catches children that keep the listener until their clients have ended: a restart says that
    the address is in use (uftpd, mongoose#1302), or clients reach a server that is going."""
    srv = server('-g', '1h', listen=listen)
    clients = served(srv, 6)
    srv.send_signal(signal.SIGTERM)
    srv.wait_line('^drain ')
    assert all(can_bind(address) for address in srv.addresses)
    busy = {srv.accepted(client).number('pid') for client in clients}
    eventually(lambda: {each.pid for each in children(srv.pid)} == busy, 'the idle have left')
    assert all(client.echo(b'still served') == b'still served' for client in clients)
    for client in clients:
        client.half_close()
        assert client.receive_all() == b''
    assert srv.wait() == 0


@children_kept
def test_a_stopped_child_holds_up_a_drain_for_a_moment_only(server):
    """Catches a recall that waits for ever for one child, and one that says nothing of it."""
    srv = server('-g', '100ms')
    client, = served(srv, 1)
    os.kill(srv.accepted(client).number('pid'), signal.SIGSTOP)
    srv.send_signal(signal.SIGTERM)
    srv.wait_line('not all children have closed the listeners')
    assert srv.wait() == 0
    assert srv.wait_line('^end ')['how'] == 'signal-9'


@children_kept
@pytest.mark.parametrize('options', [[], ['-C', '9']], ids=['plain', 'asking'])
def test_idle_children_leave_with_a_killed_parent(server, options):
    """Catches children that wait in accept for ever, with a port that nobody can bind."""
    srv = server(*options)
    client, = served(srv, 1)
    everybody = pool(srv)
    srv.expected = -signal.SIGKILL
    srv.stop(signal.SIGKILL)
    busy = {srv.accepted(client).number('pid')}
    eventually(lambda: {pid for pid in everybody if not dead(pid)} == busy, 'the idle have left')
    assert client.echo(b'goes on') == b'goes on'  # so the busy has heard of it too
    assert can_bind(srv.address)
    client.close()
    eventually(lambda: all(dead(pid) for pid in everybody), 'the busy has finished')


@children_kept
def test_children_without_descriptors_wait_and_do_not_spin(server):
    """Catches an accept that fails with EMFILE as fast as it is called, and a line for each."""
    srv = server('-c', '3', *AS_OURSELVES)
    give_back = {pid: use_up_descriptors(pid) for pid in pool(srv)}
    for client in served(srv, 3):  # Linux has taken the number when accept begins to wait
        client.close()
    srv.wait_line("a child's accept failed: Too many open files")
    waiting = srv.connect()
    waiting.sendall(b'w')
    srv.wait_lines('^end ', 3)

    def idle(seconds):
        before = sum(process(pid).cpu for pid in [srv.pid, *give_back])
        time.sleep(seconds)  # what is measured is how little is done meanwhile
        return sum(process(pid).cpu for pid in [srv.pid, *give_back]) - before < 0.2 * seconds

    assert in_time(idle, 1, 2, 4)
    assert len(srv.find('accept failed')) == 1
    for each in give_back.values():
        each()
    assert waiting.receive(1) == b'w'
    srv.wait_line('^resume ')
    assert pool(srv) == set(give_back)


@children_kept
def test_a_source_is_held_to_its_share_by_all_children(server):
    """Catches a cap that each child keeps for itself, a reply that reaches the wrong client, and
    one that a stray signal has given."""
    srv = server('-C', '3', '-X', '127.0.0.3')
    for child in pool(srv):
        for number in REPLIES:
            os.kill(child, number)
    clients = served(srv, 3)
    for _ in range(20):
        assert srv.connect().closed_by_server() == b''
        assert srv.connect(source='127.0.0.3').closed_by_server() == b''
    assert srv.connect(source='127.0.0.2').echo(b'other') == b'other'
    assert {event['why'] for event in srv.wait_lines('^refuse .*from=127.0.0.1:', 20)} == \
        {'max-per-source'}
    name = clients[0].address
    clients[0].close()
    srv.end_of(name)
    assert srv.connect().echo(b'x') == b'x'
    status = srv.status()
    assert (status['accepted'], status['refused'], status['live']) == ('45', '40', '4')


@children_kept
def test_what_an_idle_child_holds_and_may(server):
    """Catches a child that can open more than its client, or holds what is the parent's."""
    srv = server(*AS_OURSELVES, listen=['127.0.0.1:0', '127.0.0.2:0'])
    client, = served(srv, 1)
    parents = set(descriptors(srv.pid).values())
    for pid in pool(srv):
        held = {number: what for number, what in descriptors(pid).items() if number > 2}
        mine = sum(what not in parents for what in held.values())
        assert mine == (pid == srv.accepted(client).number('pid'))
        assert sum(what.startswith('socket:') for what in held.values()) == 2 + mine
        assert sum(what.startswith('pipe:') for what in held.values()) == 2
        assert len(held) == 4 + mine
        limits = {what: resource.prlimit(pid, what) for what in
                  (resource.RLIMIT_CORE, resource.RLIMIT_FSIZE, resource.RLIMIT_NPROC)}
        assert set(limits.values()) == {(0, 0)}
        soft, hard = resource.prlimit(pid, resource.RLIMIT_NOFILE)
        assert soft == hard <= max(held) + 2


@children_kept
def test_a_stopped_parent_loses_no_client(server):
    """Catches a child that gives up on a parent which is slow to read: clients would end without
    a line, or be served uncounted."""
    srv = server('-c', '50')
    pool(srv)
    srv.send_signal(signal.SIGSTOP)
    eventually(lambda: process(srv.pid).state == 'T', 'the parent is stopped')
    for _ in range(500):  # two records each are more than a pipe holds
        client = srv.connect()
        client.sendall(b'x')
        client.settimeout(2)  # longer than a child of forkecho would try
        try:
            assert client.receive(1) == b'x'
        except TimeoutError:
            break
        finally:
            client.close()
    else:
        pytest.fail('the ledger is never full')
    srv.send_signal(signal.SIGCONT)
    served(srv, 1)[0].close()
    eventually(lambda: srv.status().number('ended') == len(srv.clients), 'all have ended')
    assert srv.status()['accepted'] == str(len(srv.clients))


@children_kept
def test_children_that_come_and_go_are_counted_right(server):
    """Catches counts that drift where children are killed in the midst of a load."""
    srv = server('-c', '30', verbose=None)
    killed = set()
    with subprocess.Popen([program('echoload'), 'connect', '-c', '16', '-d', '2s', srv.address],
                          stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as load:
        while load.poll() is None:
            for each in list(pool(srv))[:2]:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(each, signal.SIGKILL)
                    killed.add(each)
    eventually(lambda: all(dead(each) for each in killed), 'none of them accepts any more')
    idle_again(srv)
    status = srv.status()
    assert status.number('accepted') == status.number('ended') > 0
    served(srv, 30)
    assert len(pool(srv)) == 30


@children_kept
def test_what_was_blocked_at_the_start_does_not_keep_children(server):
    """Catches children that do not hear that they are to leave, as who started the server had
    that signal blocked: they would keep the address."""
    def leave_when_asked():
        srv = server('-t', '0', before=lambda: signal.pthread_sigmask(
            signal.SIG_BLOCK, [signal.SIGUSR2, *REPLIES]))
        idle = eventually(lambda: len(children(srv.pid)) >= SPARE_LEAST and children(srv.pid), 'idle')
        srv.send_signal(signal.SIGTERM)
        assert srv.wait() == 0
        eventually(lambda: all(process(each.pid) is None for each in idle), 'they have left')
        return srv.find('not all children') == []

    assert any(leave_when_asked() for _ in range(3))  # a busy machine may need longer for once


@children_kept
@pytest.mark.skipif(not hasattr(resource, 'RLIMIT_SIGPENDING'), reason='signals have no such limit')
def test_a_reply_comes_where_no_signal_can_be_queued(server):
    """Catches a child that waits for ever, and its client, as the queue of signals is full: whom a
    reply is from is then lost."""
    srv = server('-C', '1', before=lambda: resource.setrlimit(resource.RLIMIT_SIGPENDING, (0, 0)))
    with srv.connect() as client:
        assert client.echo(b'x') == b'x'
        with srv.connect() as refused:  # only now: of two, the second may be accepted first
            assert refused.closed_by_server() == b''


@children_kept
def test_a_stray_reply_is_not_the_parents(server):
    """Catches a child that takes somebody's signal for its parent's: the client would be counted
    for ever, and his source locked out."""
    srv = server('-C', '1')
    eventually(lambda: len(children(srv.pid)) >= SPARE_LEAST, 'the pool is there')
    srv.send_signal(signal.SIGSTOP)
    client = srv.connect()
    for each in children(srv.pid):
        for number in REPLIES:
            os.kill(each.pid, number)
    srv.send_signal(signal.SIGCONT)
    assert client.echo(b'x') == b'x'
    client.close()
    idle_again(srv)
    for _ in range(8):
        with srv.connect() as again:
            assert again.echo(b'y') == b'y'
        idle_again(srv)
    status = srv.status()
    assert (status['accepted'], status['ended'], status['refused']) == ('9', '9', '0')
