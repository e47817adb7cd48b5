"""Two servers behind the real HAProxy, with the settings of examples/haproxy."""
import re
import signal
import socket
import struct
import subprocess

import pytest

from daemons import find, free_port, needs_daemon
from harness import DEADLINE, TOP, Client, eventually, forks_only, long, program

pytestmark = [forks_only, needs_daemon('haproxy')]
SETTINGS = TOP / 'examples' / 'haproxy' / 'haproxy.cfg'
PROXIES = ('--proxy', '127.0.0.0/8')
IP_LOCAL_PORT_RANGE = 51  # the ports that bind() chooses from: the socket module lacks the name


class Cluster:
    """HAProxy and two servers, with the shipped settings at other addresses."""

    def __init__(self, server, start, folder, options):
        self.servers = [server(*PROXIES, *options, listen=(f'127.0.0.1:{free_port()}',))
                        for _ in range(2)]
        self.port = free_port()
        self.address = f'127.0.0.1:{self.port}'
        text = SETTINGS.read_text()
        for ours, shipped in zip(self.servers, ('10.0.0.11:7007', '10.0.0.12:7007'), strict=True):
            assert f' {shipped}\n' in text
            text = text.replace(f' {shipped}\n', f' {ours.address}\n')
        text = text.replace('log /dev/log daemon', 'log stdout format raw daemon')
        text = re.sub(r'\t(user|group) haproxy\n', '', text)
        text = text.replace('bind :7\n', f'bind 127.0.0.1:{self.port}\n')
        (folder / 'haproxy.cfg').write_text(text)
        self.proxy = start(find('haproxy'), '-db', '-f', folder / 'haproxy.cfg')
        self.proxy.wait_for(self.port)

    def connect(self, **options):
        return Client(self.address, **options)

    def load(self, *words):
        return subprocess.Popen([program('echoload'), *words, self.address], text=True,
                                stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)


@pytest.fixture
def cluster(server, daemon, folder):
    """A function that starts a cluster: its arguments are options of the servers."""
    def start(*options):
        return Cluster(server, daemon, folder, options)
    return start


def report(load):
    return dict(re.findall(r'^(\S+) +(\S+)', load.communicate(timeout=2 * DEADLINE)[0], re.M))


def test_replies_name_the_true_client(cluster):
    """Catches replies that name the proxy: all its clients would be one."""
    running = cluster('-m', '%a %m')  # with the message: the health check looks for its own
    for source in ('127.0.0.1', '127.0.0.2', '127.0.0.3', '127.0.0.4'):
        with running.connect(source=source) as client:
            client.sendall(b'x')
            client.half_close()
            assert client.receive_all().decode() == f'{client.address} x'


def test_log_lines_name_the_true_client(cluster):
    """Catches a log in which the clients behind a proxy cannot be told apart, and one that does
    not say by whose word."""
    running = cluster()
    with running.connect(source='127.0.0.9') as client:
        assert client.echo(b'x') == b'x'
        line = rf'^end .*from={re.escape(client.address)} '
    ends = eventually(lambda: [end for each in running.servers for end in each.find(line)],
                      'a server has told of the client')
    assert ends[0]['via'].startswith('127.0.0.1:') and ends[0]['in'] == '1'


def test_both_servers_are_used_and_found_healthy(cluster):
    """Catches health checks that a server refuses for want of a header, and are logged as errors."""
    running = cluster()
    clients = [running.connect() for _ in range(10)]
    for client in clients:
        assert client.echo(b'x') == b'x'
    for each in running.servers:
        assert each.status().number('live') >= 5
        each.wait_line(r'^end .* in=13 out=13 .*how=(eof|reset)')
        assert not each.find('how=proxy')
    for client in clients:
        client.close()
    assert 'is DOWN' not in running.proxy.text()


def test_a_server_at_a_unix_socket(server, daemon, folder):
    """Catches a header that HAProxy's client gets to read, where it connects to a Unix socket."""
    srv = server('--proxy', 'local', '-m', '%a %m', listen=[folder / 's'])
    port = free_port()
    (folder / 'haproxy.cfg').write_text(
        'defaults\n mode tcp\n timeout connect 5s\n timeout client 1m\n timeout server 1m\n'
        f'listen echo\n bind 127.0.0.1:{port}\n server a unix@{folder}/s send-proxy-v2\n')
    daemon(find('haproxy'), '-db', '-f', folder / 'haproxy.cfg').wait_for(port)
    with Client(f'127.0.0.1:{port}') as client:
        client.sendall(b'x')
        client.half_close()
        assert client.receive_all().decode() == f'{client.address} x'
        line = rf'^end .*from={re.escape(client.address)} via=local '
    srv.wait_line(line)


def test_half_close_passes_through(cluster):
    """Catches settings under which the tail of what a client sent is lost."""
    running = cluster()
    with running.connect() as client:
        data = bytes(range(256)) * 1000
        client.sendall(data)
        client.half_close()
        assert client.receive_all() == data


def test_the_port_of_a_server_that_was_killed_is_given_to_nobody(server):
    """Catches tests at the same time as the next, one of whose servers is given the port of the
    one that was killed: HAProxy's clients then get wrong bytes, and the fault is not forkecho's."""
    killed = server(listen=(f'127.0.0.1:{free_port()}',))
    port = int(killed.address.split(':')[1])
    killed.expected = killed.stop(signal.SIGKILL)
    with socket.socket() as other:
        other.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            other.setsockopt(socket.IPPROTO_IP, IP_LOCAL_PORT_RANGE, struct.pack('=HH', port, port))
        except OSError:
            pytest.skip('needs IP_LOCAL_PORT_RANGE, Linux 6.3')
        with pytest.raises(OSError):
            other.bind(('127.0.0.1', 0))


@long
def test_one_server_is_killed_under_load(cluster):
    """Catches settings under which clients go on being sent to a server that is dead. Those that
    were at that server lose their connection, and nobody else does."""
    running = cluster()
    load = running.load('connect', '-c', '8', '-d', '6s')
    dead, alive = running.servers
    dead.wait_lines('^end .*in=64 ', 100)
    dead.send_signal(signal.SIGKILL)
    dead.expected = -signal.SIGKILL
    dead.wait()
    running.proxy.wait_line(r'Server echo/a is DOWN')
    mark = alive.mark()
    alive.wait_lines('^end .*in=64 ', 100, after=mark)
    found = report(load)
    assert int(found['failed']) <= 8, found
    after = report(running.load('connect', '-c', '8', '-d', '500ms'))
    assert after['failed'] == '0' and int(after['count']) > 0, after
