"""Descriptors, processes and memory run out; logs block and break. The server stays."""
import contextlib
import os
import resource
import signal
import subprocess

import pytest

from harness import (AS_OURSELVES, BUILD, DEADLINE, concurrent, eventually,
                     forks_only, long, needs_root, new_user, parent_accepts, process, program, run,
                     use_up_descriptors, with_limit, with_processes, with_starts)


@concurrent
@parent_accepts
@with_limit(1, 10)
def test_without_descriptors_it_waits_and_does_not_spin(server, limit):
    """Catches a loop that accept's EMFILE keeps busy (TS, S6, TV, VF, NC), logs in floods
    (bun#32705), or ends; and a listener that is never polled again (socat)."""
    srv = server('-T', f'{limit}s', *AS_OURSELVES)
    timer = srv.connect()
    timer.echo(b'x')
    srv.status()  # it has opened all that it needs
    give_back = use_up_descriptors(srv.pid)
    waiting = srv.connect()
    waiting.sendall(b'hello')
    error = srv.wait_line('Too many open files|No file descriptors')
    assert error.line.startswith(f'{srv.name}: ')
    before = process(srv.pid).cpu
    assert timer.closed_by_server() == b''  # when its time is over
    assert process(srv.pid).cpu - before < 0.2 * limit
    assert len(srv.find(f'^{srv.name}: ')) <= 2 + limit
    give_back()
    assert waiting.receive(5) == b'hello'
    status = srv.status()
    assert status['accepted'] == '2'


@long
@parent_accepts
def test_it_recovers_again_and_again_from_no_descriptors(server):
    """Catches a pause that latches (systemd#15633), and a connection lost or counted twice."""
    srv = server(*AS_OURSELVES)
    for number in range(1, 4):  # each waits for the end of a pause
        srv.status()  # it has opened all that it needs
        give_back = use_up_descriptors(srv.pid)
        mark = srv.mark()
        client = srv.connect()
        client.sendall(b'hello')
        srv.wait_line('Too many open files|No file descriptors', after=mark)
        give_back()
        assert client.receive(5) == b'hello'
        assert srv.status()['accepted'] == str(number)
        name = client.address
        client.close()
        srv.end_of(name)
        srv.wait_line('^resume ', after=mark)  # the next is another episode


@needs_root
@with_starts
def test_a_client_waits_while_fork_fails(server):
    """Catches a client dropped, a slot leaked (ipsvd, BusyBox), or silence when fork, or
    pthread_create, says EAGAIN (systemd#3211). An ordinary user may have three processes or
    threads: the server's first and two."""
    most = 4 if BUILD.name == 'tsan' else 3  # ThreadSanitizer has a thread of its own
    srv = server(as_user=new_user(), limits={resource.RLIMIT_NPROC: most})
    first, second = srv.connect(), srv.connect()
    assert first.echo(b'1') + second.echo(b'2') == b'12'
    third = srv.connect()
    third.sendall(b'3')
    error = srv.wait_line(f'^{srv.name}: .*RLIMIT_NPROC {most}')
    before = process(srv.pid).cpu
    for _ in range(200):
        assert first.echo(b'go on') == b'go on'
    assert srv.status()['live'] == '2'
    assert process(srv.pid).cpu - before < 0.5
    assert srv.find(f'^{srv.name}: ') == [error]
    second.close()
    assert third.receive(1) == b'3'
    assert srv.status()['live'] == '2'


@needs_root
@forks_only
def test_fork_failures_drift_no_count(server):
    """Catches a count raised before fork and not lowered when it fails, which closes a source
    that has a limit for ever."""
    srv = server('-C', '2', as_user=new_user(), limits={resource.RLIMIT_NPROC: 2})
    for number in range(5):
        first = srv.connect()
        assert first.echo(b'1') == b'1'
        second = srv.connect()
        second.sendall(b'2')
        eventually(lambda both=str(2 * number + 2): srv.status()['accepted'] == both,
                   'the second is accepted, and waits')
        first.close()
        assert second.receive(1) == b'2'
        name = second.address
        second.close()
        srv.end_of(name)
    status = srv.status()
    assert (status['live'], status['accepted'], status['ended'], status['refused']) == \
           ('0', '10', '10', '0')


@needs_root
@with_processes
def test_a_server_at_its_limit_is_in_one_episode(server):
    """Catches a line for each fork that fails and each that works again: at a limit that is
    thousands a second, just when resources are short."""
    def is_in_one_episode():  # of a machine that stands still for a second there are two
        srv = server(verbose=None, as_user=new_user(), limits={resource.RLIMIT_NPROC: 4})
        run('echoload', 'connect', '-c', '8', '-d', '700ms', srv.address)
        srv.wait_line('^resume ')
        return len(srv.find(f'^{srv.name}: fork failed')) == len(srv.find('^resume ')) == 1

    assert any(is_in_one_episode() for _ in range(3))


@needs_root
@with_processes
def test_a_waiting_client_is_served_after_a_pause(server):
    """Catches a server that tries fork again only when one of its own children ends: here it is
    another program of the same user that ends."""
    user = new_user()
    with subprocess.Popen(['cat'], stdin=subprocess.PIPE, user=user, group=user,
                          extra_groups=[]) as stranger:
        srv = server(as_user=user, limits={resource.RLIMIT_NPROC: 3})
        first, second = srv.connect(), srv.connect()
        assert first.echo(b'1') == b'1'
        second.sendall(b'2')
        srv.wait_line('RLIMIT_NPROC')
        stranger.stdin.close()  # ends it
        stranger.wait()
        assert second.receive(1) == b'2'
        assert first.echo(b'1') == b'1'


@needs_root
@forks_only
def test_a_drain_serves_a_client_that_waits_for_fork(server):
    """Catches an accepted client that a stop forgets, and a drain that it holds up for ever."""
    srv = server('-g', '1h', as_user=new_user(), limits={resource.RLIMIT_NPROC: 2})
    first, second = srv.connect(), srv.connect()
    assert first.echo(b'1') == b'1'
    second.sendall(b'2')
    srv.wait_line('RLIMIT_NPROC')
    srv.send_signal(signal.SIGTERM)
    srv.wait_line('^drain ')
    first.close()
    assert second.receive(1) == b'2'
    second.close()
    assert srv.wait() == 0


@needs_root
@forks_only
def test_a_stop_refuses_a_client_that_waits_for_fork(server):
    """Catches a stop that hangs on a client without a child, or loses it without a line."""
    srv = server('-g', '1h', as_user=new_user(), limits={resource.RLIMIT_NPROC: 2})
    first, second = srv.connect(), srv.connect()
    assert first.echo(b'1') == b'1'
    srv.wait_line('RLIMIT_NPROC')
    assert srv.stop(signal.SIGQUIT) == 0
    assert second.closed_by_server() == b''
    assert srv.wait_line('^refuse ')['from'] == second.address


def full_pipe():
    """A pipe that holds not one byte more. Returns both ends."""
    read_end, write_end = os.pipe()
    os.set_blocking(write_end, False)
    for size in 4096, 1:
        try:
            while True:
                os.write(write_end, b'.' * size)
        except BlockingIOError:
            pass
    os.set_blocking(write_end, True)
    return read_end, write_end


def visit(srv, times):
    for _ in range(times):
        client = srv.connect()
        assert client.echo(b'hello') == b'hello'
        client.close()


def test_a_log_that_blocks_stops_nobody(server):
    """Catches a server that a full pipe on standard error stops; and lines lost without a word."""
    read_end, write_end = full_pipe()
    srv = server('-v', stderr=write_end)
    visit(srv, 100)
    os.set_blocking(read_end, False)
    log = b''

    def told():
        nonlocal log
        with contextlib.suppress(BlockingIOError):
            log += os.read(read_end, 65536)
        visit(srv, 1)
        return b'log lost=' in log

    eventually(told, 'the lost lines are counted')
    srv.stop()
    assert os.get_blocking(write_end), 'others who share the pipe must not find it changed'
    os.close(write_end)
    os.close(read_end)


def test_a_log_whose_reader_is_gone_stops_nobody(server):
    """Catches a server that dies of SIGPIPE, or stops, because its log's reader has."""
    read_end, write_end = os.pipe()
    srv = server('-v', stderr=write_end)
    visit(srv, 10)
    os.close(write_end)
    os.close(read_end)
    visit(srv, 100)
    assert srv.stop(signal.SIGTERM) == 0


def test_a_full_disk_under_the_log_stops_nobody(server):
    """Catches a server that a log it cannot write (ENOSPC) stops."""
    with open('/dev/full', 'wb') as full:
        srv = server('-v', stderr=full)
        visit(srv, 100)
        assert srv.stop(signal.SIGTERM) == 0


def test_closed_standard_streams_put_no_log_into_a_connection(server, folder):
    """Catches log lines that a client reads: its socket got the number of standard error."""
    without = 'exec <&- >&- 2>&-; shift; exec "$0" "$@"'  # and without -1, which would need one
    path = folder / 's'
    srv = server('-v', listen=[path], stderr=subprocess.DEVNULL, wrap=['sh', '-c', without])
    eventually(path.exists, 'it listens')
    eventually(lambda: srv.listens(str(path)), 'it serves')
    for number in range(5):
        client = srv.connect(str(path))
        client.sendall(b'hello')
        client.half_close()
        assert client.receive_all() == b'hello'


@pytest.mark.parametrize('where, why', [('>&-', 'standard output is closed'),
                                        ('>/dev/full', 'No space left on device')],
                         ids=['closed', 'full'])
def test_addresses_that_cannot_be_printed_are_an_error(server_name, where, why):
    """Catches a server that listens where nobody will ever learn of it."""
    command = ['sh', '-c', f'exec "$0" -1 -l 127.0.0.1:0 {where}', program(server_name)]
    done = subprocess.run(command, stderr=subprocess.PIPE, text=True, timeout=DEADLINE,
                          check=False)
    assert done.stderr == f'{server_name}: cannot print the addresses (-1): {why}\n'
    assert done.returncode == 1


@pytest.mark.parametrize('number', [signal.SIGUSR2, signal.SIGALRM], ids=['USR2', 'ALRM'])
def test_signals_that_mean_nothing_here_do_what_they_do_elsewhere(server, number):
    """Catches a handler that swallows a signal which it has no meaning for."""
    srv = server()
    srv.expected = -number
    srv.stop(number)
