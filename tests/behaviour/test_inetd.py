"""-i under the real inetd and xinetd, with the lines of examples/inetd."""
import os
import re
import shutil
import signal
import subprocess

import pytest

from daemons import PRIVATE_RUN, find, free_port, needs_daemon
from harness import (DEADLINE, TOP, Client, children, eventually, needs_ipv6, needs_root, process,
                     program, run)

pytestmark = needs_root
INETD = TOP / 'examples' / 'inetd'


def public_program(folder):
    """The program just built, where nobody may run it: perhaps not in the checkout."""
    return shutil.copy(program('forkecho'), folder)


def inetd(daemon, folder, port):
    """Starts inetd with the shipped lines, at another port and with the program just built."""
    text = (INETD / 'inetd.conf').read_text()
    lines = [line for line in text.splitlines() if line.startswith('echo\tstream\ttcp\t')]
    assert len(lines) == 1
    settings = folder / 'inetd.conf'
    line = re.sub(r'^echo', f'127.0.0.1:{port}', lines[0])
    settings.write_text(line.replace('/usr/local/sbin/forkecho', public_program(folder)) + '\n')
    return daemon(*PRIVATE_RUN, find('inetd'), '-i', '-R', '10000', settings)


def xinetd(daemon, folder, port):
    text = (INETD / 'forkecho.xinetd').read_text()
    text = text.replace('/usr/local/sbin/forkecho', public_program(folder))
    text = re.sub(r'(flags\s*=) IPv6', rf'type = UNLISTED\n\tport = {port}\n\tbind = 127.0.0.1\n\1',
                  text)
    (folder / 'xinetd.conf').write_text(text)
    return daemon(*PRIVATE_RUN, find('xinetd'), '-dontfork', '-f', folder / 'xinetd.conf',
                  '-filelog', folder / 'xinetd.log', '-pidfile', folder / 'xinetd.pid')


SUPER = [pytest.param(inetd, marks=needs_daemon('inetd'), id='inetd'),
         pytest.param(xinetd, marks=needs_daemon('xinetd'), id='xinetd')]


class Running:
    def __init__(self, started, port):
        self.daemon = started
        self.address = f'127.0.0.1:{port}'
        started.wait_for(port)

    @property
    def pid(self):
        return self.daemon.process.pid

    def servers(self):
        return [each.pid for each in children(self.pid) if each.state not in 'ZX']


@pytest.fixture(params=SUPER)
def superserver(request, daemon, folder):
    folder.chmod(0o777)  # the server is nobody
    port = free_port()
    running = Running(request.param(daemon, folder, port), port)
    yield running
    eventually(lambda: running.servers() == [], 'no server is left behind')


def test_a_client_is_served_as_by_any_server(superserver):
    """Catches -i that does not find its client, loses bytes at a half-close, or stays."""
    data = os.urandom(1 << 20)
    done = subprocess.run([program('echoclient'), superserver.address], input=data,
                          capture_output=True, timeout=DEADLINE, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout == data


def test_the_server_is_the_user_of_the_line(superserver):
    """Catches -i that takes the user for a mistake, or needs root for what it does."""
    with Client(superserver.address) as client:
        assert client.echo(b'x') == b'x'
        with open(f'/proc/{superserver.servers()[0]}/status') as status:
            assert re.search(r'^Uid:\t65534\t65534\t65534\t65534$', status.read(), re.M)


def test_nothing_but_the_echo_reaches_the_client(superserver):
    """Catches a log that goes to standard error, which here is the client's connection."""
    with Client(superserver.address) as client:
        assert client.echo(b'hello') == b'hello'
        client.half_close()
        assert client.receive_all() == b''


def test_a_client_that_resets_ends_its_server(superserver):
    """Catches a server that waits for a client that has gone."""
    client = Client(superserver.address)
    assert client.echo(b'x') == b'x'
    pid, = superserver.servers()
    client.reset()
    eventually(lambda: process(pid) is None, 'the server has ended')


def test_a_signal_for_servers_is_nothing_to_a_connection(superserver):
    """Catches a signal that an administrator sends to all servers, and that cuts inetd's clients."""
    with Client(superserver.address) as client:
        assert client.echo(b'x') == b'x'
        pid, = superserver.servers()
        for number in (signal.SIGHUP, signal.SIGUSR1):
            os.kill(pid, number)
        assert client.echo(b'y') == b'y'
        assert superserver.servers() == [pid]


def test_many_clients_at_once(superserver):
    """Catches a server that is started for each client and has anything in another's way."""
    done = run('echoclient', '-c', '-j', '20', '-n', '50', superserver.address, 'hello')
    assert done.returncode == 0, done


@needs_ipv6
@pytest.mark.parametrize('name, options', [
    pytest.param(name, options, marks=needs_daemon(name), id=name)
    for name, options in (('inetd', ['-i']), ('inetutils-inetd', ['-d']))])
def test_both_families_are_served_by_the_lines_as_they_are(daemon, folder, name, options):
    """Catches a line for IPv6 that is in the way of the one for IPv4: GNU inetutils' tcp6 is both,
    so that its bind fails, and IPv6 has no service."""
    folder.chmod(0o777)
    settings = folder / 'inetd.conf'
    settings.write_text((INETD / 'inetd.conf').read_text().replace(
        '/usr/local/sbin/forkecho', public_program(folder)))
    started = daemon('unshare', '--net', 'sh', '-c', 'ip link set lo up && exec "$@"', 'sh',
                     *PRIVATE_RUN, find(name), *options, settings)
    inside = ['nsenter', '-t', str(started.process.pid), '--net']

    def served(address):
        done = subprocess.run([*inside, program('echoclient'), address, 'hello'], text=True,
                              capture_output=True, timeout=DEADLINE, check=False)
        return done.stdout == 'hello\n'

    for address in ('127.0.0.1:7', '[::1]:7'):
        eventually(lambda name=address: served(name), f'{address} is served')
