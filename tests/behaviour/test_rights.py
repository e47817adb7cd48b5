"""Descriptors that a client of a Unix socket passes though nobody asked for them (SCM_RIGHTS).

The last close of a TCP socket waits for its SO_LINGER, and whoever frees the message that it lies
in is the last: so a client could have a server wait, and all its other clients with it.
"""
import array
import contextlib
import signal
import socket
import struct

import pytest

from harness import DEADLINE, Client, concurrent, forks_only, parent_accepts
from test_manager import handed, listening
from test_upgrade import upgrade

SO_PASSRIGHTS = 83  # Linux 6.16


def can_refuse():
    with socket.socket(socket.AF_UNIX) as probe, contextlib.suppress(OSError):
        probe.setsockopt(socket.SOL_SOCKET, SO_PASSRIGHTS, 0)
        return True
    return False


needs_refusal = pytest.mark.skipif(not can_refuse(), reason='needs SO_PASSRIGHTS (Linux 6.16)')


def pass_rights(client, *descriptors):
    client.sendmsg([b'x'], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array('i', descriptors))])


def expect_refusal(client):
    with pytest.raises(PermissionError):
        pass_rights(client, 0)
    assert client.echo(b'hello') == b'hello'


@contextlib.contextmanager
def lingering():
    """A socket whose last close waits for longer than any test, as nobody reads what it has sent."""
    with listening(socket.AF_INET, ('127.0.0.1', 0)) as listener:
        sender = socket.create_connection(listener.getsockname())
        peer, _ = listener.accept()
    sender.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack('ii', 1, int(3 * DEADLINE)))
    sender.setblocking(False)
    with contextlib.suppress(BlockingIOError):
        while True:
            sender.send(bytes(1 << 20))
    with peer, sender:
        yield sender


@needs_refusal
@pytest.mark.parametrize('is_handed', [False, True], ids=['own', 'handed over'])
def test_descriptors_are_refused(server, folder, is_handed):
    """Catches a listener that lets them in, be it one that the service manager hands over."""
    path = str(folder / 's')
    if is_handed:
        with listening(socket.AF_UNIX, path) as listener:
            srv = server(**handed([listener]))
    else:
        srv = server(listen=[path])
    expect_refusal(srv.connect(path))


@needs_refusal
@forks_only
def test_descriptors_are_refused_after_an_upgrade(server, folder):
    """Catches the listener of an earlier program, which did not refuse them, left as it was."""
    path = str(folder / 's')
    with listening(socket.AF_UNIX, path) as listener:
        given = handed([listener])
        srv = server(copy=True, **given)
        srv.wait_line('^start ')
        listener.setsockopt(socket.SOL_SOCKET, SO_PASSRIGHTS, 1)
        upgrade(srv)
    expect_refusal(srv.connect(path))


@contextlib.contextmanager
def two_early_clients(folder):
    """A listener with two clients in its queue, of which the second has passed what lingers: too early
    for a server to refuse that."""
    with listening(socket.AF_UNIX, str(folder / 's')) as listener, lingering() as passed:
        first, second = Client(str(folder / 's')), Client(str(folder / 's'))
        pass_rights(second, passed.fileno())
        passed.close()
        yield listener, first, second


@concurrent
@parent_accepts
def test_a_refusal_does_not_wait_for_what_a_client_has_passed(server, folder):
    """Catches a server that closes the refused client itself, with what lies in its queue, and serves
    nobody for as long as the client likes."""
    with two_early_clients(folder) as (listener, first, second):
        srv = server('-C', '1', **handed([listener]))
        assert srv.wait_line('^refuse ')['why'] == 'max-per-source'
        assert first.echo(b'hello') == b'hello'


@parent_accepts
@pytest.mark.parametrize('number', [signal.SIGTERM, signal.SIGINT, signal.SIGQUIT])
def test_a_stop_does_not_wait_for_what_a_client_has_passed(server, folder, number):
    """Catches a server that closes the listener itself, with a client in its queue, and so does not
    hear another signal for as long as that client likes."""
    with two_early_clients(folder) as (listener, first, second):
        srv = server('-c', '1', **handed([listener]))
        assert first.echo(b'hello') == b'hello'
        listener.close()  # now it is the server's alone
        srv.send_signal(number)
        srv.wait_line('^drain ')
        first.close()
        assert srv.wait() == 0
