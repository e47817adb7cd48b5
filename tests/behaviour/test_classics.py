"""The teaching servers of examples/classics: what each says, held as a transcript.

Ports are 0, by PORT in the environment, and read back; the work of five seconds is cut
short by the option that stands behind the script's own.
"""
import os
import pty
import re
import select
import socket
import subprocess
import time

import pytest

from harness import BUILD, DEADLINE, TOP, Server, with_limit

CLASSICS = TOP / 'examples' / 'classics'
PROGRAMS = {name.upper(): str(BUILD / name)
            for name in ('forkecho', 'threadecho', 'selectecho', 'echoclient')}

# As ctime(3) writes it, and so as in the books: Sun Apr 25 08:59:10 2010.
TIME = r'(Mon|Tue|Wed|Thu|Fri|Sat|Sun) (Jan|Feb|Mar|Apr|May|Jun|Jul|Aug|Sep|Oct|Nov|Dec) ' \
       r'[ \d]\d \d\d:\d\d:\d\d \d{4}'
PROGRAMMING_PYTHON = ['programming-python-fork-server', 'programming-python-thread-server',
                      'programming-python-select-server']
# Those of them whose one reply waits for the work of five seconds.
WORKING = PROGRAMMING_PYTHON[:2]


def answer(quoted):
    """What the reply of a Programming Python server matches, given the message as it shows it."""
    return re.compile((r"Echo=>b'" + re.escape(quoted) + "' at " + TIME).encode())


@pytest.fixture
def classic():
    """A function that starts a classic on ports of the kernel's choice."""
    started = []

    def start(name, *options, **settings):
        started.append(Server(str(CLASSICS / name), *options, listen=(), verbose=None, **settings,
                              env={**PROGRAMS, 'PORT': '0', 'SECOND_PORT': '0'}))
        return started[-1]

    yield start
    for each in started:
        each.finish()


def run_client(name, *arguments, port=None, check=True):
    environment = {**os.environ, **PROGRAMS}
    if port is not None:
        environment['PORT'] = port
    return subprocess.run([CLASSICS / name, *arguments], stdin=subprocess.DEVNULL, text=True,
                          capture_output=True, timeout=DEADLINE, check=check, env=environment)


def port_of(server):
    return server.address.rsplit(':', 1)[1]


def ask(client, message):
    """Sends a message and returns what one receive brings: the whole reply, which is short."""
    client.sendall(message)
    return client.recv(1 << 16)


# ---- Programming Python: the servers -----------------------------------------------------

@pytest.mark.parametrize('name', PROGRAMMING_PYTHON)
def test_reply_to_each_chunk(classic, name):
    client = classic(name, '-w', '0').connect()
    assert answer('Hello network world').fullmatch(ask(client, b'Hello network world'))
    assert answer('Bruce').fullmatch(ask(client, b'Bruce'))
    client.half_close()
    assert client.receive_all() == b''


@pytest.mark.parametrize('name', PROGRAMMING_PYTHON)
def test_chunk_is_at_most_1024_bytes(classic, name):
    client = classic(name, '-w', '0').connect()
    client.sendall(b'x' * 1500)
    client.half_close()
    expected = answer('x' * 1024).pattern + answer('x' * 476).pattern
    assert re.fullmatch(expected, client.receive_all())


@pytest.mark.parametrize('name', PROGRAMMING_PYTHON)
def test_message_is_shown_as_a_bytes_literal(classic, name):
    client = classic(name, '-w', '0').connect()
    assert answer(r'a\\b\n\r\t\x00\xff').fullmatch(ask(client, b'a\\b\n\r\t\0\xff'))
    assert answer(r"it\'s").fullmatch(ask(client, b"it's"))


@pytest.mark.parametrize('name', PROGRAMMING_PYTHON)
def test_each_client_is_logged(classic, name):
    server = classic(name, '-w', '0')
    client = server.connect()
    assert server.accepted(client)
    ask(client, b'hello')
    address = client.address
    client.close()
    assert server.end_of(address)['how'] == 'eof'


@pytest.mark.parametrize('name', PROGRAMMING_PYTHON)
def test_each_client_is_shown_with_the_time(classic, name):
    """Catches a server whose terminal does not say, as the originals do, who came and when."""
    controller, terminal = pty.openpty()
    server = classic(name, '-w', '0', stderr=terminal)
    client = server.connect()
    ask(client, b'hello')
    line = rf'\d{{4}}-\d\d-\d\d \d\d:\d\d:\d\d accept pid=\d+ from={re.escape(client.address)} '
    shown = ''
    while not re.search(line, shown):
        assert select.select([controller], [], [], DEADLINE)[0], shown
        shown += os.read(controller, 4096).decode()
    os.close(controller)
    os.close(terminal)


@pytest.mark.parametrize('name', WORKING)
@with_limit(1, 5)
def test_work_is_done_once(classic, name, limit):
    """Catches a wait before each reply, as before none."""
    client = classic(name, '-w', f'{limit}s').connect()
    start = time.monotonic()
    ask(client, b'first')
    first = time.monotonic() - start
    assert first >= 0.9 * limit
    for _ in range(10):
        ask(client, b'more')
    assert time.monotonic() - start - first < 5 * limit


@pytest.mark.parametrize('name', WORKING)
def test_clients_work_at_once(classic, name):
    """Catches a server that serves one client after the other."""
    server = classic(name, '-w', '1s')
    clients = [server.connect() for _ in range(8)]
    for client in clients:
        client.sendall(b'hello')
    server.wait_line('^accept .*live=8( |$)')
    assert all(answer('hello').fullmatch(client.recv(1000)) for client in clients)


def test_select_server_serves_both_ports(classic):
    server = classic('programming-python-select-server')
    ports = sorted({address.rsplit(':', 1)[1] for address in server.addresses})
    assert len(ports) >= 2
    clients = [server.connect(address) for address in server.addresses]
    for client in clients:
        assert answer('hello').fullmatch(ask(client, b'hello'))


# ---- Programming Python: the clients -----------------------------------------------------

def received(quoted):
    """What the echo client prints for a reply."""
    return re.compile(r'Client received: b"' + answer(quoted).pattern.decode() + '"')


@pytest.mark.parametrize('name', PROGRAMMING_PYTHON)
def test_echo_client(classic, name):
    server = classic(name, '-w', '0')
    result = run_client('programming-python-echo-client', '-p', port_of(server), 'localhost',
                        'Bruce', 'Always look', 'x')
    first, second, third = result.stdout.splitlines()
    assert received('Bruce').fullmatch(first)
    assert received('Always look').fullmatch(second)
    assert received('x').fullmatch(third)
    server.wait_line('^end ')
    assert len(server.find('^accept ')) == 1, 'all messages go over one connection'


def test_echo_client_has_a_message_of_its_own(classic):
    server = classic('programming-python-fork-server', '-w', '0')
    result = run_client('programming-python-echo-client', port=port_of(server))
    assert received('Hello network world').fullmatch(result.stdout.rstrip('\n'))


def test_echo_client_escapes_the_reply_as_a_literal(classic):
    server = classic('programming-python-fork-server', '-w', '0')
    result = run_client('programming-python-echo-client', '-p', port_of(server), 'localhost',
                        'a\\b"c')
    assert re.search(re.escape(r'''b"Echo=>b'a\\\\b\"c' at '''), result.stdout)


@pytest.mark.parametrize('name', PROGRAMMING_PYTHON)
@with_limit(2, 20)  # seconds to start all in
def test_eight_clients_at_once(classic, name, limit):
    server = classic(name, '-w', f'{limit}s' if name in WORKING else '0')
    result = run_client('programming-python-testecho', '-p', port_of(server), 'localhost', 'Bruce')
    lines = result.stdout.splitlines()
    assert len(lines) == 8 and all(received('Bruce').fullmatch(line) for line in lines)
    server.wait_lines('^end .*how=eof', 8)
    if name in WORKING:
        assert server.find('^accept .*live=8( |$)'), server.log()


def test_echo_client_tells_that_there_is_no_server():
    """Catches an exit status that a pipe swallows."""
    with socket.socket() as holder:
        holder.bind(('127.0.0.1', 0))
        result = run_client('programming-python-echo-client', '-p', str(holder.getsockname()[1]),
                            '127.0.0.1', 'hello', check=False)
    assert result.returncode == 3 and result.stdout == ''
    assert 'Connection refused' in result.stderr


# ---- the others --------------------------------------------------------------------------

def test_blog_server_greets_and_shows_messages(classic):
    server = classic('blog-thread-server')
    clients = [server.connect() for _ in range(3)]
    for number, client in enumerate(clients):
        assert client.receive(16) == b'Hi! I am server\n'
        client.sendall(b'from client %d\n' % number)
    for number, client in enumerate(clients):
        line = server.wait_line(rf'^message .*from={re.escape(client.address)} .*'
                                rf'from client {number}').line
        assert rf'from client {number}\n' in line, 'escaped'


def test_blog_server_cuts_long_messages_in_its_log(classic):
    server = classic('blog-thread-server')
    client = server.connect()
    client.sendall(b'x' * 1000)
    assert len(server.wait_line('^message ').line) < 300


def test_devshed_server_prefixes_each_chunk(classic):
    client = classic('devshed-thread-server').connect()
    assert ask(client, b'hello') == b'echoed:..hello'
    assert ask(client, b'100% of it\0\n') == b'echoed:..100% of it\0\n'
    client.sendall(b'x' * 1500)
    client.half_close()
    assert client.receive_all() == b'echoed:..' + b'x' * 1024 + b'echoed:..' + b'x' * 476


# ---- the scripts -------------------------------------------------------------------------

@pytest.mark.parametrize('name, expected', [
    ('programming-python-fork-server', ['localhost:50007', '-w 5']),
    ('programming-python-thread-server', ['localhost:50007', '-w 5']),
    ('programming-python-select-server', ['localhost:50007', 'localhost:50008']),
    ('blog-thread-server', ['localhost:52000']),
    ('devshed-thread-server', ['localhost:21567']),
])
def test_ports_and_work_are_the_originals(name, expected):
    """What the other tests override, as the script hands it on to echo(1) in the server's place."""
    echo = {key: 'echo' for key in PROGRAMS}
    environment = {key: value for key, value in os.environ.items()
                   if key not in ('PORT', 'SECOND_PORT')}
    line = subprocess.run([CLASSICS / name, '--more'], env={**environment, **echo}, text=True,
                          capture_output=True, timeout=DEADLINE, check=True).stdout
    assert all(f' {each} ' in line for each in expected), line
    assert line.endswith(' --more\n')


@pytest.mark.skipif(BUILD.resolve() != TOP / 'build', reason='they run what is in build/')
def test_classics_run_from_a_checkout():
    """Catches a classic that works only where its program is installed, or PATH was changed first."""
    environment = {name: value for name, value in os.environ.items() if name not in PROGRAMS}
    environment |= {'PATH': os.defpath, 'PORT': '1'}
    for path in sorted(CLASSICS.glob('*-server')):
        result = subprocess.run([path, '--version'], capture_output=True, text=True, cwd='/',
                                timeout=DEADLINE, check=False, env=environment)
        assert (result.returncode, result.stderr) == (0, ''), path.name
    result = subprocess.run([CLASSICS / 'programming-python-echo-client'], capture_output=True,
                            text=True, cwd='/', timeout=DEADLINE, check=False, env=environment)
    assert result.stderr.startswith('echoclient: '), result.stderr


def test_every_classic_is_in_the_readme():
    readme = (CLASSICS / 'README').read_text()
    for path in CLASSICS.iterdir():
        if path.name != 'README':
            assert path.name in readme and os.access(path, os.X_OK), path.name
