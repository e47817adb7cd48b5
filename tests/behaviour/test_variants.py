"""What is true of one model only, and what a model cannot promise and refuses."""
import contextlib
import select

import pytest

from harness import descriptors, only_for, run, with_limit


@only_for('iterecho')
def test_clients_are_served_one_after_the_other(server):
    """Catches a baseline that serves two at once, loses the one who waits, or refuses him."""
    srv = server()
    first, second = srv.connect(), srv.connect()
    second.sendall(b'second')
    for _ in range(20):
        assert first.echo(b'first') == b'first'
    assert not select.select([second], [], [], 0)[0]
    status = srv.status()
    assert (status['live'], status['accepted']) == ('1', '1')
    first.close()
    assert second.receive(6) == b'second'
    status = srv.status()
    assert (status['peak'], status['accepted'], status['deferred']) == ('1', '2', '1')


@only_for('iterecho', 'selectecho')
def test_more_clients_than_the_model_can_have_are_refused_at_the_start(server_name):
    """Catches a server that overruns its sets, or takes a number and does not keep it."""
    result = run(server_name, '-c', '100000', '-l', '127.0.0.1:0')
    assert (result.returncode, result.stdout) == (2, '')
    line, = result.stderr.splitlines()
    assert "'100000' is more than" in line and '-c' in line
    assert ('FD_SETSIZE' if server_name == 'selectecho' else 'one after the other') in line


@only_for('iterecho', 'selectecho')
def test_the_default_is_what_the_model_can_have(server, server_name):
    """Catches a server that does not start as it is, or complains of what nobody asked for."""
    srv = server()
    assert srv.wait_line('^start ')['max'] == ('880' if server_name == 'selectecho' else '1')
    assert len(srv.lines) == 1


@only_for('selectecho')
def test_all_that_select_can_name_are_served(server):
    """Catches a descriptor at or beyond FD_SETSIZE, where FD_SET writes into other memory: with
    the most clients and the most listeners."""
    srv = server('-t', '0', listen=['127.0.0.1:0'] * 64)
    with contextlib.ExitStack() as stack:
        clients = [stack.enter_context(srv.connect(srv.addresses[i % 64])) for i in range(880)]
        for client in clients:
            assert client.echo(b'x') == b'x'
        assert max(descriptors(srv.pid)) < 1024
        next_one = srv.connect()
        next_one.sendall(b'next')
        assert clients[-1].echo(b'y') == b'y'
        assert srv.status()['live'] == '880'
        clients[0].close()
        assert next_one.receive(4) == b'next'


@only_for('pollecho', 'epollecho')
def test_more_clients_than_select_can_name_are_served(server):
    """Catches a loop that has taken the bound of select along."""
    srv = server('-c', '1500', '-t', '0')
    with contextlib.ExitStack() as stack:
        clients = [stack.enter_context(srv.connect()) for _ in range(1200)]
        for client in clients:
            assert client.echo(b'x') == b'x'
        assert max(descriptors(srv.pid)) >= 1024
        for client in clients:
            assert client.echo(b'y') == b'y'
        assert srv.status()['live'] == '1200'


@only_for('selectecho', 'pollecho', 'epollecho')
@pytest.mark.parametrize('option', ['-t', '-T', '-w'], ids=['idle', 'lifetime', 'delay'])
@with_limit(2, 20)
def test_many_sessions_are_due_at_their_time(server, option, limit):
    """Catches a session that is forgotten when many have times: one that is not looked at again
    after it was put off, or lost from the heap when another was taken out."""
    srv = server('-t', '0', option, f'{limit}s', '-c', '200')
    clients = [srv.connect() for _ in range(100)]
    for client in clients[::3]:
        if option == '-t':
            assert client.echo(b'x') == b'x'
    for client in clients[1::3]:
        client.close()
    if option == '-w':
        for client in clients[::3]:
            assert client.echo(b'x') == b'x'
        return
    for client in clients[::3] + clients[2::3]:
        assert client.closed_by_server() == b''
    srv.wait_lines('^end .*how=' + ('idle' if option == '-t' else 'lifetime'), 67)
