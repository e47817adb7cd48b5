"""-i: one connection on standard input, as inetd, xinetd and systemd's Accept=yes hand it over."""
import os
import signal
import socket
import subprocess
import threading
from pathlib import Path

import pytest

from harness import (DEADLINE, NO_LEAK_SEARCH, SANITIZERS, Event, before_serving, descriptors,
                     needs_root, program, run, with_limit)

pytestmark = before_serving


def accepted_pair():
    """A client, and what a server on loopback has accepted for it."""
    with socket.create_server(('127.0.0.1', 0)) as listener:
        client = socket.create_connection(listener.getsockname())
        served, _ = listener.accept()
    return client, served


PAIRS = {'tcp': accepted_pair, 'unix': socket.socketpair}


class Session:
    """A server that was handed one connection; `client` is the other end of it."""

    def __init__(self, name, *options, pair='tcp', log=True, pass_fds=()):
        self.client, served = pair() if callable(pair) else PAIRS[pair]()
        self.client.settimeout(DEADLINE)
        self.address = 'local'
        if pair == 'tcp':
            self.address = '{}:{}'.format(*self.client.getsockname())
        with served:  # `log` false: standard error is the connection, as inetd has it
            self.process = subprocess.Popen(
                [program(name), '-i', '-v', *options], stdin=served, stdout=served,
                stderr=subprocess.PIPE if log else served, pass_fds=pass_fds,
                env={**os.environ, **SANITIZERS, **NO_LEAK_SEARCH})
        self.pid = self.process.pid

    def receive(self, size):
        data = b''
        while len(data) < size and (part := self.client.recv(min(size - len(data), 1 << 16))):
            data += part
        return data

    def receive_all(self):
        try:
            return self.receive(1 << 62)
        except ConnectionResetError:
            return b''

    def echo(self, data):
        self.client.sendall(data)
        return self.receive(len(data))

    def ended(self):
        """Waits for its end; returns its exit status and the lines of its log."""
        status = self.process.wait(DEADLINE)
        if self.process.stderr is None:
            return status, []
        return status, self.process.stderr.read().decode().splitlines()

    def close(self):
        self.client.close()
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        if self.process.stderr is not None:
            self.process.stderr.close()


@pytest.fixture
def session(server_name):
    """A function that hands a connection to the server: its arguments are options, see Session."""
    started = []

    def start(*options, **settings):
        started.append(Session(server_name, *options, **settings))
        return started[-1]

    yield start
    for each in started:
        each.close()


both_kinds = pytest.mark.parametrize('pair', PAIRS)


# ---- the service -------------------------------------------------------------------------

@both_kinds
def test_it_echoes_to_the_end(session, pair):
    """Catches bytes lost at a half-close, and a process that outlives its client."""
    one = session(pair=pair)
    data = bytes(range(256)) * 8192
    sender = threading.Thread(target=lambda: (one.client.sendall(data),
                                              one.client.shutdown(socket.SHUT_WR)))
    sender.start()
    assert one.receive_all() == data
    sender.join()
    status, lines = one.ended()
    assert status == 0
    accept, end = map(Event, lines)
    assert (accept.verb, accept['from'], accept.number('pid')) == ('accept', one.address, one.pid)
    assert (end.verb, end['from'], end['how']) == ('end', one.address, 'eof')
    assert end.number('in') == end.number('out') == len(data)


@both_kinds
def test_replies_and_greetings(session, pair):
    """Catches a mode that knows the plain echo only."""
    one = session('-G', 'hello %a\\n', '-m', '<%m>', pair=pair)
    greeting = f'hello {one.address}\n'.encode()
    assert one.receive(len(greeting)) == greeting
    one.client.sendall(b'x')
    assert one.receive(3) == b'<x>'


@both_kinds
@pytest.mark.parametrize('option, how', [('-t', 'idle'), ('-T', 'lifetime')])
@with_limit(0.2, 2, 20)
def test_limits_end_it(session, pair, option, how, limit):
    """Catches a limit that only a listener sets: then the process of a silent client stays."""
    one = session(option, f'{limit}s', pair=pair)
    assert one.echo(b'x') == b'x'
    assert one.receive_all() == b''
    status, lines = one.ended()
    assert (status, Event(lines[-1])['how']) == (0, how)


def test_access_lists_hold(session):
    """Catches a way in beside -X: the client is closed, nothing is served."""
    one = session('-X', '127.0.0.0/8', '-G', 'hello')
    assert one.receive_all() == b''
    status, lines = one.ended()
    assert status == 0
    assert lines == [f'refuse from={one.address} why=denied']


def test_a_local_client_is_no_matter_of_access_lists(session):
    """Catches -A that shuts out Unix sockets, whose file says who may come."""
    one = session('-A', '192.0.2.0/24', pair='unix')
    assert one.echo(b'x') == b'x'


def test_a_connection_that_does_not_block(session):
    """Catches a session that ends at EAGAIN, or spins: whoever accepted may have set O_NONBLOCK."""
    client, served = socket.socketpair()
    served.setblocking(False)
    one = session(pair=lambda: (client, served))
    assert one.echo(b'x') == b'x'
    assert one.process.poll() is None
    assert one.echo(b'y') == b'y'


def test_a_client_that_is_gone_already(session):
    """Catches a crash, a wait or a failure for a client that left before it was served: systemd
    would show a failed unit for each port scan."""
    client, served = accepted_pair()
    client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b'\1\0\0\0\0\0\0\0')
    client.close()
    one = session(pair=lambda: (socket.socket(), served))
    status, lines = one.ended()
    assert (status, lines) == (0, ['refuse from=unknown why=gone'])


def test_a_signal_ends_it(session):
    """Catches a service that systemd cannot stop but by SIGKILL."""
    one = session()
    assert one.echo(b'x') == b'x'
    one.process.send_signal(signal.SIGTERM)
    assert one.ended()[0] == -signal.SIGTERM
    assert one.receive_all() == b''


# ---- what it holds -----------------------------------------------------------------------

def test_it_keeps_no_other_descriptor(session):
    """Catches whatever the starter left open, and the connection as standard output."""
    read_end, write_end = os.pipe()
    one = session(pass_fds=(write_end,))
    os.close(write_end)
    assert one.echo(b'x') == b'x'
    held = descriptors(one.pid)
    assert sorted(held) == [0, 1, 2]
    assert held[0].startswith('socket:') and held[1] == '/dev/null'
    assert os.read(read_end, 1) == b''
    os.close(read_end)


@needs_root
def test_it_is_confined(session):
    """Catches a mode in which root serves the client, with all that root can."""
    one = session()
    assert one.echo(b'x') == b'x'
    status = Path(f'/proc/{one.pid}/status').read_text()
    limits = Path(f'/proc/{one.pid}/limits').read_text()
    assert 'Uid:\t65534\t65534\t65534\t65534\n' in status
    assert 'CapEff:\t0000000000000000\n' in status and 'NoNewPrivs:\t1\n' in status
    for what in ('open files', 'processes', 'core file size'):
        assert f'Max {what} 0 0' in ' '.join(limits.split())


@needs_root
def test_its_title_is_the_client(session, folder):
    """Catches a title that is lost, as by a chroot that puts /proc out of reach."""
    one = session('-r', str(folder))
    assert one.echo(b'x') == b'x'
    shown = Path(f'/proc/{one.pid}/cmdline').read_bytes().rstrip(b'\0').decode()
    assert shown.split(': ', 1)[1] == one.address
    assert os.readlink(f'/proc/{one.pid}/root') == str(folder)


# ---- standard error is the connection ----------------------------------------------------

@both_kinds
def test_no_line_of_the_log_is_sent_to_the_client(session, pair):
    """Catches the log in the echo: inetd puts the connection on standard error as well."""
    one = session('-v', pair=pair, log=False)
    assert one.echo(b'hello') == b'hello'
    one.client.shutdown(socket.SHUT_WR)
    assert one.receive_all() == b''
    assert one.ended()[0] == 0


@needs_root
@pytest.mark.parametrize('options', [['-u', 'no-such-user'], ['-r', '/no/such/folder']],
                         ids=['user', 'root'])
def test_no_mistake_is_told_to_the_client(session, options):
    """Catches what the administrator got wrong, sent to whoever connects."""
    one = session(*options, log=False)
    assert one.receive_all() == b''
    assert one.ended()[0] == 1


# ---- what is no connection ---------------------------------------------------------------

def assert_refused(name, stdin, why):
    result = subprocess.run([program(name), '-i'], stdin=stdin, capture_output=True, text=True,
                            timeout=DEADLINE, check=False)
    assert (result.returncode, result.stdout) == (1, '')
    assert len(result.stderr.splitlines()) == 1, result.stderr
    assert result.stderr.startswith(f'{name}: cannot serve standard input (-i): ')
    assert why in result.stderr


def test_no_socket(server_name):
    """Catches -i typed at a shell that waits without a word, or echoes to the terminal."""
    with open('/dev/null') as null, open(__file__) as file:
        assert_refused(server_name, null, 'not a socket')
        assert_refused(server_name, file, 'not a socket')
    read_end, write_end = os.pipe()
    assert_refused(server_name, read_end, 'not a socket')
    os.close(read_end)
    os.close(write_end)


def test_no_standard_input(server_name):
    """Catches another descriptor that slips into the place of standard input."""
    result = subprocess.run(['sh', '-c', 'exec "$0" -i <&-', program(server_name)], text=True,
                            capture_output=True, timeout=DEADLINE, check=False)
    assert result.returncode == 1 and 'not a socket' in result.stderr


def test_a_listening_socket(server_name):
    """Catches `wait` in inetd.conf and Accept=no, which hand over the listener."""
    with socket.create_server(('127.0.0.1', 0)) as listener:
        assert_refused(server_name, listener, 'nowait')


def test_a_datagram_socket(server_name):
    """Catches a service that was entered as dgram: echoes of datagrams can go on for ever."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as udp:
        udp.bind(('127.0.0.1', 0))
        assert_refused(server_name, udp, 'not a stream socket')


@pytest.mark.parametrize('other', [['-l', '127.0.0.1:0'], ['-d'], ['-P', '/tmp/pid'], ['-1']],
                         ids=['listen', 'daemon', 'pidfile', 'print-address'])
def test_options_that_need_a_listener(server_name, other):
    """Catches an option that is dropped without a word."""
    result = run(server_name, '-i', *other)
    assert (result.returncode, result.stdout) == (2, '')
    assert len(result.stderr.splitlines()) == 1
    assert '-i, --inetd' in result.stderr and other[0] in result.stderr
    assert not Path('/tmp/pid').exists()
