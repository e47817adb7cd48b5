"""-l and -1: what the server listens on, and what it prints."""
import os
import re
import signal
import socket
import struct
import subprocess
import tempfile
from pathlib import Path

import pytest

from harness import (DEADLINE, Client, before_serving, concurrent, eventually, needs_ipv6,
                     needs_root, program, run)
from test_manager import handed, listening

ANY_PORT = '127.0.0.1:0'


def test_the_printed_address_is_one_to_connect_to(server):
    """Catches a port 0 that is printed as 0, and an address that -l would not take."""
    srv = server()
    assert re.fullmatch(r'127\.0\.0\.1:[1-9]\d*', srv.address)
    address = srv.address
    assert srv.connect().echo(b'hello') == b'hello'
    srv.stop()
    assert server(listen=[address]).address == address


@needs_ipv6
def test_ipv6(server):
    """Catches an address without its brackets, in the output or in the log."""
    srv = server(listen=['[::1]:0'])
    assert re.fullmatch(r'\[::1\]:[1-9]\d*', srv.address)
    client = srv.connect()
    assert client.echo(b'hello') == b'hello'
    assert srv.accepted(client)['from'].startswith('[::1]:')


def test_unix_socket(server, folder):
    """Catches a path that is not removed at the end, or a client that has no source."""
    path = folder / 'socket'
    srv = server(listen=[path])
    assert srv.addresses == [str(path)]
    client = srv.connect()
    assert client.echo(b'hello') == b'hello'
    client.half_close()
    assert client.receive_all() == b''
    assert srv.end_of('local')['how'] == 'eof'
    assert srv.stop() == 0
    assert not path.exists()


@concurrent
@needs_ipv6
def test_several_at_once(server, folder):
    """Catches a server that watches its first listener only, or blocks in one accept."""
    srv = server(listen=[ANY_PORT, '[::1]:0', folder / 's', '127.0.0.2:0', ANY_PORT])
    assert len(srv.addresses) == 5 and srv.addresses[2] == str(folder / 's')
    clients = [srv.connect(address) for address in srv.addresses]
    for client in reversed(clients):
        assert client.echo(b'hello') == b'hello'
    assert srv.status()['live'] == '5'


@needs_ipv6
def test_a_star_is_two_sockets_on_one_port(server):
    """Catches v4-mapped clients (node#9390), and a family that is left out."""
    srv = server(listen=['*:0'])
    ports = {address.rsplit(':', 1)[1] for address in srv.addresses}
    assert sorted(address.rsplit(':', 1)[0] for address in srv.addresses) == ['0.0.0.0', '[::]']
    assert len(ports) == 1
    port, = ports
    for host in '127.0.0.1', '[::1]':
        with srv.connect(f'{host}:{port}') as client:
            assert client.echo(b'hello') == b'hello'
            assert srv.accepted(client)['from'] == client.address


@needs_ipv6
@needs_root
def test_a_name_of_both_families_is_listened_on_in_both(server, folder):
    """Catches `localhost` that serves only one of its addresses."""
    hosts = folder / 'hosts'
    hosts.write_text('127.0.0.1 localhost\n::1 localhost\n')
    own_hosts = ['unshare', '--mount', 'sh', '-c',
                 'mount --bind "$0" /etc/hosts && exec "$@"', str(hosts)]
    srv = server(listen=['localhost:0'], wrap=own_hosts)
    assert sorted(address.rsplit(':', 1)[0] for address in srv.addresses) == ['127.0.0.1', '[::1]']
    assert len({address.rsplit(':', 1)[1] for address in srv.addresses}) == 1
    for address in srv.addresses:
        with srv.connect(address) as client:
            assert client.echo(b'hello') == b'hello'


@before_serving
@needs_root
@needs_ipv6
@pytest.mark.parametrize('name', ['', 'localhost:', 'LocalHost.:', 'echo.localhost:'])
def test_localhost_is_known_where_nothing_knows_it(server, folder, name):
    """Catches a default address that needs /etc/hosts or a name server, which a chroot or a minimal
    container has not (apptainer/singularity#4559; RFC 6761, 6.3). In each program."""
    (folder / 'nothing').touch()
    (folder / 'files').write_text('hosts: files\n')
    wrap = ['unshare', '--mount', 'sh', '-c', 'mount --bind $0/nothing /etc/hosts && '
            'mount --bind $0/nothing /etc/resolv.conf && { [ ! -e /etc/nsswitch.conf ] || '
            'mount --bind $0/files /etc/nsswitch.conf; } && exec "$@"', str(folder)]
    srv = server(listen=[f'{name}0'], wrap=wrap)
    assert [address.rsplit(':', 1)[0] for address in srv.addresses] == ['127.0.0.1', '[::1]']
    port = srv.address.rsplit(':', 1)[1]
    for client in ['echoclient', f'{name}{port}', 'x'], \
                  ['echoload', 'connect', '-c', '1', '-d', '20ms', f'{name}{port}']:
        done = subprocess.run([*wrap, program(client[0]), *client[1:]], capture_output=True,
                              text=True, stdin=subprocess.DEVNULL, timeout=DEADLINE, check=False)
        assert done.returncode == 0, done


@before_serving
@needs_root
def test_a_name_with_an_address_of_another_machine(server_name, folder):
    """Catches a name that is served in half, without a word."""
    hosts, path = folder / 'hosts', folder / 's'
    hosts.write_text('127.0.0.1 twohomed\n192.0.2.77 twohomed\n')
    result = subprocess.run(['unshare', '--mount', 'sh', '-c',
                             'mount --bind "$0" /etc/hosts && exec "$@"', str(hosts),
                             program(server_name), '-l', str(path), '-l', 'twohomed:0'],
                            stdin=subprocess.DEVNULL, capture_output=True, text=True,
                            timeout=DEADLINE, check=False)
    assert (result.returncode, len(result.stderr.splitlines())) == (1, 1), result
    assert '192.0.2.77' in result.stderr and 'no interface of this machine' in result.stderr
    assert not path.exists()


def on_a_link(folder, *commands):
    """What runs a program in a network namespace with lo up and a link v0 of its own, which the
    commands may change."""
    (folder / 'hosts').write_text('127.0.0.1 localhost both\n::1 localhost\nfd00::77 both\n')
    prepare = ['mount --bind "$0" /etc/hosts', 'ip link set lo up',
               'ip link add v0 type veth peer name v1', *commands, 'exec "$@"']
    return ['unshare', '--mount', '--net', 'sh', '-c', ' && '.join(prepare), folder / 'hosts']


def refused(server_name, address, wrap):
    result = subprocess.run([*wrap, program(server_name), '-l', address], capture_output=True,
                            stdin=subprocess.DEVNULL, text=True, timeout=DEADLINE, check=False)
    assert (result.returncode, len(result.stderr.splitlines())) == (1, 1), result
    return result.stderr


@before_serving
@needs_root
@needs_ipv6
def test_an_address_that_is_not_yet_checked_is_no_missing_one(server_name, folder):
    """Catches a line that denies an address which its reader sees in `ip address`: a new IPv6
    address cannot be bound until it is known that no other machine has it (gdnsd/gdnsd#30,
    moby/moby#42830). Nobody answers, as nothing is at the other end of the link."""
    wrap = on_a_link(folder, 'ip link set v0 up', 'ip address add fd00::1/64 dev v0')
    line = refused(server_name, '[fd00::1]:0', wrap)
    assert '[fd00::1]' in line and 'no interface of this machine has it, or' in line
    assert 'tentative' in line and 'dadfailed' in line


NO_LOOPBACK = 'ip address del ::1/128 dev lo'
WITH_IPV6 = 'ip address add fd00::9/64 dev v0 nodad'
NO_IPV6 = 'echo 1 >/proc/sys/net/ipv6/conf/all/disable_ipv6'


@before_serving
@needs_root
@needs_ipv6
def test_ipv6_without_its_loopback_address_is_ipv6(server_name, folder):
    """Catches a name that is served in half, without a word, as lo lacks ::1 where another link has
    IPv6 (moby/moby#33099)."""
    wrap = on_a_link(folder, NO_LOOPBACK, WITH_IPV6)
    assert '[fd00::77]' in refused(server_name, 'both:0', wrap)


@before_serving
@needs_root
@needs_ipv6
@pytest.mark.parametrize('name, commands', [('localhost', [NO_LOOPBACK, WITH_IPV6]),
                                            ('localhost', [NO_IPV6]), ('both', [NO_IPV6])])
def test_what_a_machine_lacks_is_left_out(server, folder, name, commands):
    """Catches a server that does not start in a container without IPv6, or without ::1."""
    srv = server(listen=[f'{name}:0'], wrap=on_a_link(folder, *commands))
    address, = srv.addresses
    assert address.startswith('127.0.0.1:')


def test_a_bare_port_is_localhost(server):
    """Catches a default that opens the server to the network."""
    srv = server(listen=['0'])
    assert all(address.startswith(('127.', '[::1]')) for address in srv.addresses)
    assert srv.connect().echo(b'hello') == b'hello'


def test_a_stale_unix_socket_is_replaced(server, folder):
    """Catches "address in use" after a crash; and a build with times of 32 bits, which cannot ask
    what a path of after 2038 is."""
    path = folder / 's'
    with socket.socket(socket.AF_UNIX) as stale:
        stale.bind(str(path))
    os.utime(path, (1 << 32, 1 << 32))
    assert path.is_socket()
    assert server(listen=[path]).connect().echo(b'hello') == b'hello'


def test_a_live_unix_socket_is_not_replaced(server, folder):
    """Catches a second server that takes the first one's path away."""
    path = folder / 's'
    first = server(listen=[path])
    second = run(first.name, '-l', str(path))
    assert second.returncode == 1 and str(path) in second.stderr
    assert first.connect().echo(b'hello') == b'hello'
    assert path.is_socket()


@before_serving
def test_a_file_is_not_replaced_by_a_socket(server_name, folder):
    """Catches a server that deletes what it did not make."""
    path = folder / 'precious'
    path.write_text('data')
    result = run(server_name, '-l', str(path))
    assert result.returncode == 1 and str(path) in result.stderr
    assert path.read_text() == 'data'


@needs_root
def test_a_socket_that_cannot_be_removed_is_said(server):
    """Catches a server that leaves its socket behind without a word, since as nobody it may not
    write to root's folder; and a next start that it is in the way of."""
    with tempfile.TemporaryDirectory(prefix='forkecho-') as folder:  # 0700: nobody cannot see it
        for mode in 0o700, 0o755:
            os.chmod(folder, mode)
            path = Path(folder, 's')
            srv = server(listen=[path, ANY_PORT])
            assert Client(str(path)).echo(b'hello') == b'hello'
            assert srv.stop(signal.SIGTERM) == 0
            eventually(lambda: srv.ended, 'the log is at its end')
            error, = [line for line in srv.lines if line.startswith(srv.name)]
            assert error == (f'{srv.name}: cannot remove {path}: Permission denied; '
                             'the next start replaces it')
            assert path.is_socket()


def test_at_the_end_only_our_own_socket_is_removed(server, folder):
    """Catches an old server that removes the socket of the new one."""
    path = folder / 's'
    old = server(listen=[path])
    path.unlink()
    new = server(listen=[path])
    assert old.stop() == 0
    assert new.connect().echo(b'hello') == b'hello'


def test_a_failed_start_leaves_nothing_behind(server, folder):
    """Catches a socket file, or a port, that outlives a start that failed half-way."""
    taken = server()
    path = folder / 's'
    result = run(taken.name, '-l', str(path), '-l', taken.address)
    assert result.returncode == 1
    assert taken.address in result.stderr and result.stdout == ''
    assert not path.exists()
    assert taken.connect().echo(b'undisturbed') == b'undisturbed'


def test_addresses_are_printed_only_once_all_listen(server, folder):
    """Catches a readiness that comes too early: who has read the last line can connect."""
    for _ in range(5):
        srv = server(listen=[folder / 's', ANY_PORT])
        for address in srv.addresses:
            Client(address).close()
        srv.stop()


def test_without_the_option_nothing_is_printed(server_name, folder):
    """Catches output that a script did not ask for."""
    path = folder / 's'
    with subprocess.Popen([program(server_name), '-l', str(path)], stdin=subprocess.DEVNULL,
                          stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as process:
        try:
            eventually(lambda: can_connect(path), 'it serves')
            process.terminate()
            assert process.wait(DEADLINE) == 0
        finally:
            process.kill()
        assert process.stdout.read() == b''


def can_connect(path):
    try:
        Client(str(path)).close()
    except (FileNotFoundError, ConnectionRefusedError):
        return False
    return True


@concurrent
def test_a_full_backlog_is_served_in_the_end(server):
    """Catches -b taken for a cap: what the kernel does not queue, clients send again."""
    srv = server('-b', '1')
    clients = [srv.connect() for _ in range(10)]
    assert [client.echo(b'x') for client in clients] == [b'x'] * 10


@pytest.mark.parametrize('idle', [0, 600])
def test_the_idle_limit_of_an_earlier_server_is_forgotten(server, idle):
    """Catches clients that end as idle with -t 0, since the socket that a service manager hands
    over, whose accepted sockets inherit its limits, still has those of the server before."""
    limits = {socket.SO_RCVTIMEO: idle, socket.SO_SNDTIMEO: idle // 4}  # session.h: its parts
    with listening(socket.AF_INET, ('127.0.0.1', 0)) as listener:
        for limit in limits:
            listener.setsockopt(socket.SOL_SOCKET, limit, struct.pack('@ll', 30, 0))
        assert server('-t', str(idle), **handed([listener])).connect().echo(b'x') == b'x'
        for limit in limits:
            value = listener.getsockopt(socket.SOL_SOCKET, limit, struct.calcsize('@ll'))
            assert struct.unpack('@ll', value) == (limits[limit], 0)


@needs_root
def test_a_link_local_client_keeps_its_interface(server):
    """Catches an address that nobody can connect to: a child may not open what it takes to find out
    the name of an interface."""
    prepare = 'ip link set lo up && ip addr add fe80::1/64 dev lo nodad && exec "$@"'
    srv = server('-G', '%a\n', verbose='-vv', listen=['[fe80::1%lo]:0'],
                 wrap=['unshare', '--net', 'sh', '-c', prepare, 'sh'])
    assert srv.address.startswith('[fe80::1%lo]:')

    def visit():  # once the kernel has made the route, which takes a moment; until then 3
        done = subprocess.run(['nsenter', '-t', str(srv.pid), '--net', program('echoclient'),
                               srv.address], input='hello', text=True, capture_output=True,
                              timeout=DEADLINE, check=False)
        return done if done.returncode != 3 else None

    done = eventually(visit, 'the client has a route')
    assert done.returncode == 0, done
    client = done.stdout.splitlines()[0]
    assert client.startswith('[fe80::1%lo]:') and done.stdout.endswith('hello')
    assert srv.end_of(client)['how'] == 'eof'
    assert [event['from'] for event in srv.find('^(accept|message) ')] == [client] * 2
