"""What a pool promises: who has served a client serves the next, and there are never too many."""
import os
import signal

import pytest

from harness import Client, eventually, threads

threads_kept = pytest.mark.only('threadpoolecho')


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
    """Catches a wakeup lost between a thread's sign-off and its wait: its next client would
    wait for ever."""
    srv = server(verbose=None)
    for _ in range(300):
        clients = [Client(srv.address) for _ in range(3)]
        for client in clients:
            assert client.echo(b'x') == b'x'
            client.close()
