"""Who holds which descriptor: a child its own client and the ledger, the parent no client."""
import contextlib
import re
from pathlib import Path

from harness import children, descriptors, eventually, forks_only, with_processes

WRITE_ONLY = 1


def beyond_standard(pid):
    return {number: what for number, what in descriptors(pid).items() if number > 2}


def access_mode(pid, number):
    flags = re.search(r'^flags:\s*(\d+)', Path(f'/proc/{pid}/fdinfo/{number}').read_text(), re.M)
    return int(flags[1], 8) & 3


@forks_only
def test_a_child_holds_its_client_and_the_ledger(server, folder):
    """Catches a listener, or another client's socket, that a child inherits: then a port stays
    in use, and clients hang without an end of file (PP4E, uftpd, mongoose#1302)."""
    srv = server(listen=['127.0.0.1:0', '127.0.0.2:0', folder / 's'])
    clients = [srv.connect(address) for address in srv.addresses * 3]
    for client in clients:
        client.echo(b'x')
    def parents():
        return set(beyond_standard(srv.pid).values())

    seen = set()
    for child in children(srv.pid):
        held = beyond_standard(child.pid)
        sockets = [what for what in held.values() if what.startswith('socket:')]
        pipes = [number for number, what in held.items() if what.startswith('pipe:')]
        assert len(held) == 2 and len(sockets) == 1 and len(pipes) == 1, held
        assert access_mode(child.pid, pipes[0]) == WRITE_ONLY
        eventually(lambda what=sockets[0]: what not in parents(), 'the parent has closed its copy')
        seen.update(sockets)
    assert len(seen) == len(clients)


@with_processes
def test_the_parent_holds_no_client(server):
    """Catches a parent whose copy of a socket keeps a connection open, or that runs out of
    descriptors after a day."""
    srv = server()
    before = srv.descriptors()
    clients = [srv.connect() for _ in range(20)]
    for client in clients:
        client.echo(b'x')
    eventually(lambda: descriptors(srv.pid) == before, 'the parent has closed its copies')
    for client in clients:
        client.close()
    srv.wait_lines('^end ', 20)
    assert descriptors(srv.pid) == before


def test_a_thousand_visits_leak_no_descriptor(server):
    """Catches a descriptor lost on any of the ways that a connection can end."""
    srv = server('-C', '5')
    with srv.connect() as first:
        first.echo(b'x')
    srv.wait_line('^end ')
    before = srv.descriptors()
    for number in range(300):
        client = srv.connect()
        with contextlib.suppress(ConnectionError):  # it may be one too many, and refused
            if number % 3:
                client.echo(b'x')
        client.reset() if number % 2 else client.close()
    crowd = [srv.connect() for _ in range(20)]
    for client in crowd:
        client.close()
    eventually(lambda: descriptors(srv.pid) == before, 'only what it had at first')


@forks_only
def test_standard_input_is_not_a_clients(server):
    """Catches a child that takes its client as standard input, as one run by inetd does."""
    srv = server()
    srv.connect().echo(b'x')
    child, = children(srv.pid)
    standard = [descriptors(child.pid).get(number, '') for number in (0, 1, 2)]
    assert not any(what.startswith('socket:') for what in standard)
