"""Children that end, by themselves or by a signal, are reaped soon and counted right."""
import fcntl
import os
import shutil
import signal
import subprocess
import threading
import time

import pytest

from harness import (PLAIN_SEGV, Client, children, eventually, forks_only, in_time, open_ledger,
                     process, program, source_number, with_limit, with_processes)

# After so many bytes that are no record the parent reads no further, and sweeps.
LEDGER_JUNK_MAX = source_number('src/server/ledger.h', 'LEDGER_JUNK_MAX')


def no_child(srv):
    """But for those of a pool, which live on."""
    return not [each for each in children(srv.pid)
                if srv.name != 'preforkecho' or each.state == 'Z']


def served(srv, count):
    """Clients, each of which has its child."""
    clients = [srv.connect() for _ in range(count)]
    for client in clients:
        client.sendall(b'x')
    assert all(client.receive(1) == b'x' for client in clients)
    return clients


@pytest.mark.parametrize('trial', range(3))
def test_1000_clients_close_at_the_same_instant(server, trial):
    """Catches one wait per SIGCHLD: signals merge, and zombies stay (echod, systemd#2961)."""
    srv = server()
    count = min(1000, srv.wait_line('^start ').number('max'))  # select has not room for as many
    clients = served(srv, count)
    assert srv.status()['live'] == str(count)
    for client in clients:
        client.close()
    ends = srv.wait_lines('^end ', count)
    assert {end['how'] for end in ends} == {'eof'}
    status = srv.status()
    assert (status['live'], status['zombies'], status['ended']) == ('0', '0', str(count))
    assert no_child(srv)


@forks_only
def test_children_are_reaped_without_a_next_client(server):
    """Catches reaping that waits for the next request (werkzeug#810, cpython#55318)."""
    srv = server()
    client = srv.connect()
    client.echo(b'x')
    pid = srv.accepted(client).number('pid')
    client.close()
    eventually(lambda: process(pid) is None, 'the child is gone')


@with_processes
@pytest.mark.parametrize('number', [signal.SIGKILL, signal.SIGSEGV], ids=['KILL', 'SEGV'])
def test_a_killed_child_is_swept(server, number):
    """Catches a slot leaked, or a zombie that stays, when a child dies without an exit record."""
    def is_swept(seconds):
        srv = server(env=PLAIN_SEGV)
        client, other = served(srv, 2)
        os.kill(srv.accepted(client).number('pid'), number)
        start = time.monotonic()
        end = srv.end_of(client)
        took = time.monotonic() - start
        assert (end['how'], end['in'], end['out']) == (f'signal-{number}', '-', '-')
        assert end['live'] == srv.status()['live'] == '1'
        client.closed_by_server()
        assert other.echo(b'unharmed') == b'unharmed'
        return took < seconds

    assert in_time(is_swept, 2, 2, 2)


@with_processes
def test_killed_children_are_swept_while_traffic_goes_on(server):
    """Catches a death that hides behind the others: the SIGCHLD of one that wrote no record
    merges with those of many that did."""
    srv = server()
    victims = served(srv, 3)
    stop = threading.Event()

    def visit():
        while not stop.is_set():
            with Client(srv.address) as client:
                client.echo(b'hello')

    crowd = [threading.Thread(target=visit) for _ in range(3)]
    for each in crowd:
        each.start()
    took = []
    try:
        for victim in victims:
            os.kill(srv.accepted(victim).number('pid'), signal.SIGKILL)
            start = time.monotonic()
            assert srv.end_of(victim)['how'] == 'signal-9'
            took.append(time.monotonic() - start)
    finally:
        stop.set()
        for each in crowd:
            each.join()
    assert sorted(took)[1] < 3, took  # most of them: a machine may be busy for once
    eventually(lambda: no_child(srv), 'no child is left')
    eventually(lambda: srv.status()['live'] == '0', 'no client is live')
    status = srv.status()
    assert status['zombies'] == '0'
    assert status['accepted'] == status['ended']


@with_processes
def test_all_children_killed_at_once(server):
    """Catches a count that drifts by the children that died without a word."""
    srv = server('-c', '100')
    served(srv, 100)
    for child in children(srv.pid):
        os.kill(child.pid, signal.SIGKILL)
    srv.wait_lines('^end .*how=signal-9', 100)
    assert srv.status()['live'] == '0' and no_child(srv)
    served(srv, 100)


@with_processes
def test_a_stopped_child_costs_only_its_own_client(server):
    """Catches a parent that waits for one child, or takes its stop for its end."""
    srv = server()
    client, other = srv.connect(), srv.connect()
    client.echo(b'x')
    pid = srv.accepted(client).number('pid')
    os.kill(pid, signal.SIGSTOP)
    eventually(lambda: process(pid).state == 'T', 'the child is stopped')
    client.sendall(b'later')
    assert other.echo(b'now') == b'now'
    assert srv.connect().echo(b'new') == b'new'
    assert srv.status()['live'] == '3'
    os.kill(pid, signal.SIGCONT)
    assert client.receive(5) == b'later'


@forks_only
def test_children_that_end_while_the_parent_is_stopped(server):
    """Catches reaping that counts signals: of many SIGCHLD only one is kept."""
    srv = server('-c', '200')
    clients = served(srv, 200)
    srv.send_signal(signal.SIGSTOP)
    for client in clients:
        client.close()
    eventually(lambda: {each.state for each in children(srv.pid)} == {'Z'}, 'all are zombies')
    srv.send_signal(signal.SIGCONT)
    srv.wait_lines('^end .*how=eof', 200)
    status = srv.status()
    assert (status['live'], status['zombies']) == ('0', '0') and no_child(srv)


@forks_only
def test_a_child_that_a_sweep_has_in_hand_is_reaped_once(server):
    """Catches a child that is removed twice: once by the sweep that found it, once because the
    ledger, which the sweep reads, has its record. The parent crashed at the mass end of thousands.

    Here the parent is stopped while all that happens, and junk before their records makes it
    sweep before it has read any of them, so it is the same at each run."""
    count = 300
    srv = server('-c', str(count))
    clients = served(srv, count)
    srv.status()  # it has served them all, and is idle
    ledger = open_ledger(srv)
    srv.send_signal(signal.SIGSTOP)
    eventually(lambda: process(srv.pid).state == 'T', 'the parent is stopped')
    fcntl.fcntl(ledger, fcntl.F_SETPIPE_SZ, 4 * LEDGER_JUNK_MAX)  # room for records behind it
    os.write(ledger, b'?' * LEDGER_JUNK_MAX)
    os.close(ledger)
    oldest = srv.accepted(clients[0]).number('pid')
    clients[0].close()
    eventually(lambda: process(oldest).state == 'Z', 'the oldest has written its record first')
    for client in clients:
        client.close()
    eventually(lambda: {each.state for each in children(srv.pid)} == {'Z'}, 'all are zombies')
    srv.send_signal(signal.SIGCONT)
    assert {end['how'] for end in srv.wait_lines('^end ', count)} == {'eof'}
    status = srv.status()
    assert (status['live'], status['zombies']) == ('0', '0') and no_child(srv)
    assert status['ended'] == status['accepted'] == str(count)


def test_every_connection_has_one_end_line(server):
    """Catches log lines that come twice because children flush the parent's stdio (PP4E), and
    totals that differ from what was sent."""
    srv = server()
    names = []
    for number in range(50):
        client = srv.connect()
        client.echo(b'x' * number)
        names.append(client.address)
        client.close()
    ends = srv.wait_lines('^end ', 50)
    assert sorted(end['from'] for end in ends) == sorted(names)
    assert sorted(event['from'] for event in srv.find('^accept ')) == sorted(names)
    status = srv.status()
    assert status['in'] == status['out'] == str(sum(range(50)))
    assert all(float(end['secs']) >= 0 for end in ends)


@forks_only
@pytest.mark.parametrize('kind', ['connect', 'socket'])
def test_a_busy_server_hears_its_dead_children(server, folder, kind):
    """Catches a wait that returns for a ready listener without delivering SIGCHLD, as pselect
    does on Linux: under load the dead fill the table, and clients are refused for them.

    The parent finds so many clients in its queue that the first have ended before the last is
    accepted, however slow it all is."""
    count = 800
    srv = server(listen=[folder / 's'] if kind == 'socket' else ['127.0.0.1:0'])
    srv.send_signal(signal.SIGSTOP)
    eventually(lambda: process(srv.pid).state == 'T', 'the parent is stopped')
    for _ in range(count):
        srv.connect().close()
    srv.send_signal(signal.SIGCONT)
    srv.wait_lines('^end ', count)
    assert srv.status().number('peak') < count


def test_a_busy_server_hears_a_stop(server):
    """Catches a server that acts on SIGQUIT only once it has nothing else to do."""
    srv = server(verbose=None)
    busy = subprocess.Popen([program('echoload'), 'connect', '-c', '16', '-d', '30s', srv.address],
                            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    eventually(lambda: srv.status().number('accepted') > 100, 'the load is on')
    assert srv.stop(signal.SIGQUIT) == 0
    busy.kill()
    busy.wait()


@forks_only
def test_a_program_in_a_folder_with_an_odd_name(server, folder):
    """Catches children that lack a mapping because the program's path looks like its name."""
    odd = folder / '[heap]'
    odd.mkdir()
    shutil.copy(program('forkecho'), odd)
    srv = server(wrap=['sh', '-c', f'shift; exec "{odd}/forkecho" "$@"', 'sh'])
    assert srv.connect().echo(b'x') == b'x'


@forks_only
@pytest.mark.parametrize('how', ['eof', 'idle', 'reset'])
@with_limit(0.2, 2, 20)
def test_children_end_well_without_heap_and_clock(server, how, limit):
    """Catches a child of plain echo that allocates or looks at the clock: the parent has kept
    both from it (platform.h), so it would end by signal 11."""
    srv = server('-t', f'{limit}s')
    client = srv.connect()
    for size in (1, 2048, 2049, 65536, 300000):
        assert client.echo(b'x' * size) == b'x' * size
    name = client.address
    if how == 'eof':
        client.close()
    elif how == 'reset':
        client.sendall(b'x')
        client.reset()
    assert srv.end_of(name)['how'] == how
