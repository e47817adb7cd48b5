"""echoclient(1), against small servers of our own that do right or one thing wrong.

A Peer serves each connection in a thread by one of the behaviours below; what only that
server can know (an end of file, a buffer that is full) it tells the test by an event.
"""
import hashlib
import os
import re
import select
import socket
import subprocess
import threading
import time
from collections import namedtuple

import pytest

from harness import (DEADLINE, SANITIZER, SANITIZERS, eventually, in_time, needs_ipv6,
                     process as state_of, program, with_limit)

CLIENT = 'echoclient'


# ---- servers -----------------------------------------------------------------------------

class Peer:
    """A server on an address that the kernel chooses. `behave(connection)` serves a client."""

    def __init__(self, behave, family=socket.AF_INET, name=None, listener=None):
        self.behave = behave
        self.connections = []
        self.listener = listener or bound(name or ('127.0.0.1', 0), family)
        self.listener.listen()
        self.address = text_of(self.listener)
        self.thread = threading.Thread(target=self.accept, daemon=True)
        self.thread.start()

    def accept(self):
        while True:
            try:
                connection = self.listener.accept()[0]
            except OSError:
                return  # closed
            connection.settimeout(DEADLINE)
            self.connections.append(connection)
            threading.Thread(target=self.serve, args=(connection,), daemon=True).start()

    def serve(self, connection):
        with connection:
            try:
                self.behave(connection)
            except (ConnectionError, TimeoutError):
                pass  # the client ended first: some tests are about that

    def finish(self):
        self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()
        self.thread.join(DEADLINE)


def bound(name, family=socket.AF_INET):
    """A socket that does not listen yet. Until then connecting to it is refused, and nobody
    else can have the port."""
    holder = socket.socket(family)
    try:
        holder.bind(name)
    except OSError:
        holder.close()
        raise
    return holder


def text_of(listener):
    """The address of a socket as echoclient takes it."""
    name = listener.getsockname()
    if isinstance(name, str):
        return name
    return f'[{name[0]}]:{name[1]}' if ':' in name[0] else f'{name[0]}:{name[1]}'


@pytest.fixture
def peer():
    started = []

    def start(behave, **settings):
        started.append(Peer(behave, **settings))
        return started[-1]

    yield start
    for each in started:
        each.finish()


def chunks(connection, size=1 << 18):
    """What the client sends, as it comes, until its end of file."""
    return iter(lambda: connection.recv(size), b'')


def echo(connection):
    for chunk in chunks(connection):
        connection.sendall(chunk)


def echo_slowly(connection):
    """A kilobyte at a time through a small buffer. For Unix sockets: with less room than a
    segment TCP waits for timers."""
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
    for chunk in chunks(connection, 1024):
        connection.sendall(chunk)


def echo_at_the_end(connection):
    """Keeps everything until the half-close, then sends it back."""
    connection.sendall(b''.join(chunks(connection)))


def discard(connection):
    for _ in chunks(connection):
        pass


def corrupt(at):
    """An echo in which the byte at this offset is another."""
    def behave(connection):
        done = 0
        for chunk in chunks(connection):
            if done <= at < done + len(chunk):
                chunk = bytearray(chunk)
                chunk[at - done] ^= 1
            connection.sendall(chunk)
            done += len(chunk)
    return behave


def close_after(size):
    """Echoes this many bytes, then closes in order: first reads what it will not echo."""
    def behave(connection):
        left = size
        for chunk in chunks(connection):
            connection.sendall(chunk[:left])
            left -= min(left, len(chunk))
            if left == 0:
                connection.shutdown(socket.SHUT_WR)
                discard(connection)
                return
    return behave


def reply_with(function):
    def behave(connection):
        for chunk in chunks(connection):
            connection.sendall(function(chunk))
    return behave


# ---- the client --------------------------------------------------------------------------

Result = namedtuple('Result', 'status out err')
STARTED = []


@pytest.fixture(autouse=True)
def no_client_stays():
    """After a failure a client may still run."""
    yield
    for process in STARTED:
        if process.poll() is None:
            process.kill()
            process.wait()
    STARTED.clear()


def start(*arguments, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE):
    process = subprocess.Popen([program(CLIENT), *arguments], stdin=stdin, stdout=stdout,
                               stderr=subprocess.PIPE, env={**os.environ, **SANITIZERS})
    STARTED.append(process)
    return process


def finish(process, data=None):
    try:
        out, err = process.communicate(data, timeout=DEADLINE)
    except subprocess.TimeoutExpired:
        process.kill()
        pytest.fail(f'echoclient hangs: {process.communicate()[1].decode()}')
    err = err.decode()
    assert not SANITIZER.search(err), err
    return Result(process.returncode, out, err)


def client(*arguments, data=None, **options):
    """Runs it to its end, with `data` as standard input."""
    if data is not None:
        options['stdin'] = subprocess.PIPE
    return finish(start(*arguments, **options), data)


def assert_failed(result, status, pattern):
    """It ended with this status and exactly one line, which matches."""
    assert (result.status, result.err.count('\n')) == (status, 1), result
    assert re.search(pattern, result.err) and result.err.startswith('echoclient'), result.err


def noise(size):
    """Bytes of every value without a short period, cheap to make."""
    block = os.urandom(1 << 20)
    whole = b''.join(block[i % 997:] + block[:i % 997] for i in range(size // len(block) + 1))
    return whole[:size]


class Writer(threading.Thread):
    """Feeds a client's standard input, in a thread of its own."""

    def __init__(self, process, data):
        super().__init__(daemon=True)
        self.pipe, self.data, process.stdin = process.stdin, data, None
        self.start()

    def run(self):
        try:
            with self.pipe:
                self.pipe.write(self.data)
        except BrokenPipeError:
            pass  # the test sees how the client ended


class Reader(threading.Thread):
    """Hashes what comes from a pipe, in a thread of its own."""

    def __init__(self, pipe):
        super().__init__(daemon=True)
        self.pipe, self.hash, self.size = pipe, hashlib.sha256(), 0
        self.start()

    def run(self):
        for block in iter(lambda: self.pipe.read(1 << 16), b''):
            self.hash.update(block)
            self.size += len(block)


# ---- messages ----------------------------------------------------------------------------

def test_prints_each_reply_on_a_line(peer):
    result = client(peer(echo).address, 'hello', 'big world', '-c')
    assert result == (0, b'hello\nbig world\n-c\n', '')


def test_all_messages_use_one_connection(peer):
    server = peer(echo)
    assert client('-n', '3', server.address, 'one', 'two').out == b'one\ntwo\n' * 3
    assert len(server.connections) == 1


def test_waits_for_each_reply_before_the_next_message(peer):
    """Catches messages that are sent together: the server would read them as one."""
    chunk_count = []

    def behave(connection):
        for chunk in chunks(connection):
            chunk_count.append(len(chunk))
            connection.sendall(chunk)

    assert client('-n', '50', peer(behave).address, 'ab', 'cde').status == 0
    assert chunk_count == [2, 3] * 50


def test_reply_that_ends_in_a_newline_gets_no_second(peer):
    assert client(peer(echo).address, 'a\n', 'b').out == b'a\nb\n'


def test_reply_longer_than_its_message_comes_whole(peer):
    """Catches a client that takes as many bytes as it sent, and the rest for the next reply."""
    address = peer(reply_with(lambda chunk: b"Echo=>b'%s' at noon" % chunk)).address
    assert client(address, 'Bruce', 'x') == (0, b"Echo=>b'Bruce' at noon\nEcho=>b'x' at noon\n", '')


def test_reply_shorter_than_its_message_ends_with_silence(peer):
    result = client(peer(reply_with(lambda chunk: b'ok')).address, 'a long message', 'another')
    assert result == (0, b'ok\nok\n', '')


def test_short_reply_ends_with_silence_also_without_a_timeout(peer):
    result = client('-t', '0', peer(reply_with(lambda chunk: b'ok')).address, 'message')
    assert result == (0, b'ok\n', '')


def test_reply_may_have_any_bytes(peer):
    every = bytes(range(256)) + b'\0\0'
    assert client(peer(reply_with(lambda chunk: every)).address, 'x').out == every + b'\n'


def test_long_message_through_small_buffers(peer, folder):
    """Catches a reply that is taken for whole when one read of it has come."""
    server = peer(echo_slowly, family=socket.AF_UNIX, name=f'{folder}/slow')
    message = 'long' * 30000
    result = client('-c', '-n', '3', server.address, message)
    assert result == (0, (message.encode() + b'\n') * 3, '')


def test_very_long_reply(peer):
    """Catches a reply buffer that does not grow."""
    long = b'x' * 5_000_000
    assert client(peer(reply_with(lambda chunk: long)).address, 'y' * 100_000).status == 0


def test_server_sees_end_of_file_after_the_messages(peer):
    ended = threading.Event()

    def behave(connection):
        echo(connection)
        ended.set()

    assert client(peer(behave).address, 'hello').status == 0
    assert ended.wait(DEADLINE)


# ---- several clients ---------------------------------------------------------------------

def test_parallel_clients_are_connected_at_once(peer):
    together = threading.Barrier(8)

    def behave(connection):
        first = connection.recv(1 << 16)
        together.wait(DEADLINE)
        connection.sendall(first)
        echo(connection)

    result = client('-j', '8', '-c', peer(behave).address, 'hi', 'there')
    assert (result.status, result.err) == (0, '')
    assert sorted(result.out.splitlines()) == [b'hi'] * 8 + [b'there'] * 8


def test_lines_of_parallel_clients_are_whole(peer):
    """Catches lines longer than PIPE_BUF that are written by each client itself."""
    names = iter(b'abcdefgh')
    lock = threading.Lock()

    def behave(connection):
        with lock:
            name = bytes([next(names)])
        for chunk in chunks(connection):
            connection.sendall(name * len(chunk))

    result = client('-j', '8', '-n', '5', peer(behave).address, 'x' * 100_000)
    lines = result.out.splitlines()
    assert len(lines) == 40 and {len(line) for line in lines} == {100_000}
    assert all(line == line[:1] * len(line) for line in lines)


def test_parallel_status_is_the_worst(peer):
    first = threading.Lock()

    def behave(connection):
        corrupt(0 if first.acquire(blocking=False) else 1 << 62)(connection)

    result = client('-j', '8', '-c', peer(behave).address, 'hello')
    assert_failed(result, 1, r'^echoclient \d: the echo of message 1 differs at byte 1$')
    assert result.out.count(b'hello\n') == 7


def test_parallel_clients_without_a_server(unused):
    result = client('-j', '3', unused, 'hello')
    assert result.status == 3
    assert sorted(line[:13] for line in result.err.splitlines()) \
        == ['echoclient 1:', 'echoclient 2:', 'echoclient 3:']


def test_parallel_clients_end_when_nobody_reads(peer):
    """Catches clients that go on, and wait for their timeout, after their reader has gone."""
    process = start('-j', '4', '-t', '0', '-n', '1000000', peer(echo).address, 'hello')
    assert process.stdout.read(6) == b'hello\n'
    process.stdout.close()
    assert process.wait(DEADLINE) == 1
    assert process.stderr.read() == b''
    process.stderr.close()


# ---- checking ----------------------------------------------------------------------------

def test_check_is_silent_about_an_echo(peer):
    assert client('-c', peer(echo).address, 'hello') == (0, b'hello\n', '')


@pytest.mark.parametrize('behave, pattern', [
    (corrupt(7), 'echo of message 2 differs at byte 3'),
    (reply_with(lambda chunk: chunk + b'!'), 'echo of message 1 has more than its 5 bytes'),
    (reply_with(lambda chunk: b'ok'), 'echo of message 1 differs at byte 1'),
    (close_after(8), 'closed the connection after 3 of 5 bytes of the reply to message 2'),
], ids=['corrupt', 'more', 'other', 'less'])
def test_check_finds(peer, behave, pattern):
    assert_failed(client('-c', peer(behave).address, 'hello', 'world'), 1, pattern)


def test_check_finds_what_comes_after_the_last_reply(peer):
    def behave(connection):
        echo(connection)
        connection.sendall(b'!')

    assert_failed(client('-c', peer(behave).address, 'hello'), 1, 'more came back than was sent')


@with_limit(0.5, 5, 30)
def test_check_takes_no_silence_for_the_end_of_an_echo(peer, limit):
    """Catches a silence of CLIENT_QUIET, which ends other replies, that ends a checked one: it
    has to last until the client's own patience is over."""
    def behave(connection):
        connection.sendall(connection.recv(5)[:2])
        discard(connection)

    assert_failed(client('-c', '-t', f'{limit}s', peer(behave).address, 'hello'), 1,
                  'timed out after 2 of 5 bytes of the reply to message 1')


@pytest.mark.parametrize('at', [0, 1, 5_000_000, 9_999_999])
def test_check_of_a_copy_names_the_byte_that_differs(peer, at):
    result = client('-c', peer(corrupt(at)).address, data=noise(10_000_000))
    assert_failed(result, 1, f'the echo differs at byte {at + 1}$')


def test_check_of_a_copy_finds_an_extra_byte(peer):
    def behave(connection):
        echo(connection)
        connection.sendall(b'!')

    result = client('-c', peer(behave).address, data=b'hello')
    assert_failed(result, 1, 'more came back than was sent: byte 6 is extra')


def test_check_of_a_copy_finds_a_missing_end(peer):
    result = client('-c', peer(close_after(9_999_999)).address, data=noise(10_000_000))
    assert_failed(result, 1, 'closed the connection after 9999999 bytes, of 10000000 sent')


# ---- copying -----------------------------------------------------------------------------

@pytest.fixture(scope='module')
def big():
    return noise(100_000_000)


@pytest.mark.parametrize('options', [[], ['-c']], ids=['plain', 'check'])
def test_copy_of_a_big_file(peer, tmp_path, big, options):
    """`echoclient host:port <big >copy`, and what `cmp` would see, by hash."""
    (tmp_path / 'big').write_bytes(big)
    with open(tmp_path / 'big', 'rb') as source, open(tmp_path / 'copy', 'wb') as copy:
        result = client(*options, peer(echo).address, stdin=source, stdout=copy)
    assert result == (0, None, '')
    copied = (tmp_path / 'copy').read_bytes()
    assert hashlib.sha256(copied).digest() == hashlib.sha256(big).digest()


@pytest.mark.parametrize('options', [[], ['-c']], ids=['plain', 'check'])
def test_copy_of_a_big_stream(peer, big, options):
    """The same from one pipe to another, both of which fill up."""
    process = start(*options, peer(echo).address, stdin=subprocess.PIPE)
    reader = Reader(process.stdout)
    Writer(process, big)
    reader.join(DEADLINE)
    process.stdout = None
    assert finish(process) == (0, None, '')
    assert reader.hash.digest() == hashlib.sha256(big).digest()


@pytest.mark.parametrize('options', [[], ['-c']], ids=['plain', 'check'])
@pytest.mark.parametrize('data', [b'', b'\0', b'\0\n\r\xff' * 100_000, b'no newline'],
                         ids=['empty', 'nul', 'binary', 'words'])
def test_copy_is_exact(peer, options, data):
    assert client(*options, peer(echo).address, data=data) == (0, data, '')


@pytest.mark.parametrize('options', [[], ['-c']], ids=['plain', 'check'])
def test_copy_through_a_slow_server(peer, folder, options):
    """Catches a client that sends before it reads: the server, which cannot write, would not."""
    server = peer(echo_slowly, family=socket.AF_UNIX, name=f'{folder}/slow')
    data = noise(2_000_000)
    assert client(*options, server.address, data=data) == (0, data, '')


def test_copy_half_closes_and_waits_for_the_rest(peer):
    """Catches a client that ends at its own end of file: here nothing has come back by then."""
    data = noise(10_000_000)
    assert client(peer(echo_at_the_end).address, data=data) == (0, data, '')


def test_copy_is_not_held_up_line_by_line(peer):
    """Catches buffering: each line is to come back before the next is typed."""
    process = start('-c', peer(echo).address, stdin=subprocess.PIPE)
    for number in range(100):
        line = b'line %d\n' % number
        process.stdin.write(line)
        process.stdin.flush()
        assert process.stdout.readline() == line
    assert finish(process) == (0, b'', '')


def test_full_output_does_not_stop_the_input(peer):
    """Catches a write to standard output that blocks: the server sends more than a pipe holds,
    then wants all input, and only then does this test read."""
    everything_came = threading.Event()
    early = b'x' * 150_000

    def behave(connection):
        connection.sendall(early)
        received = b''.join(chunks(connection))
        everything_came.set()
        connection.sendall(received)

    data = noise(2_000_000)
    process = start(peer(behave).address, stdin=subprocess.PIPE)
    Writer(process, data)
    assert everything_came.wait(DEADLINE), 'the client has stopped sending'
    assert finish(process) == (0, early + data, '')


@pytest.mark.parametrize('options', [[], ['-c']], ids=['plain', 'check'])
@with_limit(0.1, 1, 10)
def test_copy_waits_for_a_slow_output(peer, options, limit):
    """Fills everything on the way while nobody reads, for longer than the timeout."""
    full = threading.Event()

    def behave(connection):
        # Full is the absence of an event, for longer than the client's timeout.
        try:
            while True:
                if not select.select([connection], [], [], 3 * limit)[0]:
                    full.set()
                chunk = connection.recv(1 << 18)
                if not select.select([], [connection], [], 3 * limit)[1]:
                    full.set()
                if not chunk:
                    return
                connection.sendall(chunk)
        finally:
            full.set()  # or it has ended before

    data = noise(40_000_000)
    process = start('-t', f'{limit}s', *options, peer(behave).address, stdin=subprocess.PIPE)
    Writer(process, data)
    assert full.wait(DEADLINE)
    reader = Reader(process.stdout)
    reader.join(DEADLINE)
    process.stdout = None
    assert finish(process) == (0, None, '')
    assert reader.hash.digest() == hashlib.sha256(data).digest()


def test_copy_spins_nowhere_while_output_is_full(peer, folder):
    """Catches a poll that reports the server's hangup over and over: the server has closed, and
    what it sent fills the pipe, the client's ring and part of the socket's buffer."""
    closed = threading.Event()
    data = noise(360_000)

    def behave(connection):
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, len(data))
        echo(connection)
        connection.close()
        closed.set()

    server = peer(behave, family=socket.AF_UNIX, name=f'{folder}/echo')
    process = start(server.address, stdin=subprocess.PIPE)
    Writer(process, data)
    assert closed.wait(DEADLINE)

    def sleeps():  # also on a busy machine, a process that spins is runnable
        return all(state_of(process.pid).state == 'S' for _ in range(20) if not time.sleep(0.005))

    eventually(sleeps, 'the client sleeps')
    assert finish(process) == (0, data, '')


# ---- servers that end early or hang ------------------------------------------------------

def test_server_that_closes_at_once(peer):
    result = client(peer(lambda connection: connection.recv(100)).address, 'hello')
    assert_failed(result, 1, 'closed the connection after 0 of 5 bytes of the reply to message 1')


def test_server_that_closes_within_a_reply(peer):
    result = client(peer(close_after(3)).address, 'hello')
    assert_failed(result, 1, 'closed the connection after 3 of 5 bytes')
    assert result.out == b'hel\n'


def reset(connection):
    connection.recv(100)
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b'\1\0\0\0\0\0\0\0')


def test_server_that_resets(peer):
    assert_failed(client(peer(reset).address, 'hello'), 1, 'reset by peer after 0 of 5 bytes')


def test_server_that_ends_a_copy_early(peer):
    """Catches death by SIGPIPE, which says nothing."""
    result = client(peer(close_after(100)).address, data=noise(10_000_000))
    assert_failed(result, 1, 'after 100 bytes, of [0-9]+ sent, before the end of the input')
    assert len(result.out) == 100


def test_server_that_resets_a_copy(peer):
    assert_failed(client(peer(reset).address, data=noise(10_000_000)), 1,
                  'after 0 bytes, of [0-9]+ sent')


def test_end_of_server_ends_a_copy_whose_input_is_idle(peer):
    """Catches a client that sits at its terminal and does not see that the server has gone."""
    process = start(peer(close_after(3)).address, stdin=subprocess.PIPE)
    process.stdin.write(b'one')
    process.stdin.flush()
    assert process.wait(DEADLINE) == 1
    assert_failed(finish(process), 1, 'after 3 bytes, of 3 sent, before the end of the input')


def test_silent_server_times_out(peer):
    assert_failed(client('-t', '100ms', peer(discard).address, 'hello'), 1,
                  'timed out after 0 of 5 bytes of the reply to message 1')


@pytest.mark.parametrize('options', [[], ['-c']], ids=['plain', 'check'])
def test_silent_server_times_out_a_copy(peer, options):
    held = threading.Event()

    def behave(connection):
        connection.sendall(connection.recv(2))
        held.wait(DEADLINE)

    def times_out(seconds):
        result = client('-t', f'{seconds}', *options, peer(behave).address, data=b'hello')
        return (result.status, result.out) == (1, b'he') and \
            'timed out after 2 bytes, of 5 sent' in result.err

    assert in_time(times_out, 0.1, 1, 10)
    held.set()


def test_server_that_never_reads_times_out_a_copy(peer):
    held = threading.Event()
    result = client('-t', '100ms', peer(lambda connection: held.wait(DEADLINE)).address,
                    data=noise(40_000_000))
    held.set()
    assert_failed(result, 1, 'timed out after 0 bytes')


@with_limit(0.1, 1, 10)
def test_idle_input_does_not_time_out(peer, limit):
    process = start('-t', f'{limit}s', peer(echo).address, stdin=subprocess.PIPE)
    for line in b'one\n', b'two\n':
        process.stdin.write(line)
        process.stdin.flush()
        assert process.stdout.readline() == line
        # One that began to wait after it loses its patience: so much time is over.
        assert client('-t', f'{limit}s', peer(discard).address, 'hello').status == 1
    assert finish(process) == (0, b'', '')


# ---- connecting --------------------------------------------------------------------------

@pytest.fixture
def unused():
    """An address of loopback that nobody listens on, nor can while the test runs."""
    with bound(('127.0.0.1', 0)) as holder:
        yield text_of(holder)


def test_refused_connection(unused):
    assert_failed(client(unused, 'hello'), 3,
                  rf'^echoclient: cannot connect to {re.escape(unused)}: Connection refused$')


def test_unresolvable_name():
    result = client('nowhere.invalid:7', 'hello')
    assert_failed(result, 3, '^echoclient: cannot resolve nowhere.invalid:7: ')


def test_missing_unix_socket(folder):
    result = client(f'{folder}/none', 'hello')
    assert_failed(result, 3, f'cannot connect to {folder}/none: No such file or directory$')


def test_connecting_times_out(folder):
    """A server that is stuck: its backlog is full."""
    with socket.socket(socket.AF_UNIX) as listener, socket.socket(socket.AF_UNIX) as waiting:
        listener.bind(f'{folder}/full')
        listener.listen(0)
        waiting.connect(f'{folder}/full')
        result = client('-t', '100ms', f'{folder}/full', 'hello')
    assert_failed(result, 3, f'cannot connect to {folder}/full: .*timed out$')


def test_connecting_waits_for_room_in_the_backlog(folder):
    with socket.socket(socket.AF_UNIX) as listener, socket.socket(socket.AF_UNIX) as waiting:
        listener.bind(f'{folder}/full')
        listener.listen(0)
        waiting.connect(f'{folder}/full')
        process = start(f'{folder}/full', 'hello')
        listener.accept()[0].close()
        with listener.accept()[0] as connection:
            echo(connection)
    assert finish(process) == (0, b'hello\n', '')


@pytest.fixture
def run_twice(tmp_path):
    """A function that runs the client where the name `twice` has two addresses."""
    hosts = tmp_path / 'hosts'
    hosts.write_text('127.0.0.1 twice\n127.0.0.2 twice\n')
    mount = ['unshare', '--mount', 'sh', '-c', 'mount --bind "$0" /etc/hosts && exec "$@"', hosts]
    if subprocess.run([*mount, 'true'], capture_output=True, check=False).returncode != 0:
        pytest.skip('needs a mount of its own over /etc/hosts')

    def run(*arguments):
        result = subprocess.run([*mount, program(CLIENT), *arguments], stdin=subprocess.DEVNULL,
                                capture_output=True, timeout=DEADLINE, check=False)
        return Result(result.returncode, result.stdout, result.stderr.decode())

    return run


@pytest.fixture
def pair():
    """Two sockets on one port, on the two addresses of `twice`."""
    def attempt():
        first = bound(('127.0.0.1', 0))
        try:
            return first, bound(('127.0.0.2', first.getsockname()[1]))
        except OSError:  # another test has the second
            first.close()
            return None

    sockets = eventually(attempt, 'a port is free on two addresses')
    yield sockets
    for each in sockets:
        each.close()


@pytest.mark.parametrize('served', [0, 1])
def test_each_address_of_a_name_is_tried(pair, peer, run_twice, served):
    """Catches a client that gives up at the first address: one of these two is the second."""
    server = peer(echo, listener=pair[served])
    port = server.address.rsplit(':', 1)[1]
    assert run_twice(f'twice:{port}', 'hello') == (0, b'hello\n', '')
    assert len(server.connections) == 1


def test_each_address_that_failed_is_named(pair, run_twice):
    port = text_of(pair[0]).rsplit(':', 1)[1]
    result = run_twice(f'twice:{port}', 'hello')
    assert_failed(result, 3, 'cannot connect to .*refused; to .*refused$')
    assert all(text_of(each) in result.err for each in pair)


def test_port_alone_is_on_localhost(peer):
    port = peer(echo).address.rsplit(':', 1)[1]
    assert client(port, 'hello') == (0, b'hello\n', '')


@needs_ipv6
def test_ipv6(peer):
    server = peer(echo, family=socket.AF_INET6, name=('::1', 0))
    assert client(server.address, 'hello') == (0, b'hello\n', '')


def test_unix_socket(peer, folder):
    server = peer(echo, family=socket.AF_UNIX, name=f'{folder}/echo')
    data = noise(1_000_000)
    assert client('-v', server.address, 'hello').out == b'hello\n'
    assert client('-c', server.address, data=data) == (0, data, '')


# ---- output and input --------------------------------------------------------------------

@pytest.fixture
def unread():
    """A pipe that nobody reads."""
    reader, writer = os.pipe()
    os.close(reader)
    yield writer
    os.close(writer)


@pytest.mark.parametrize('options', [['hello'], []], ids=['message', 'copy'])
def test_output_that_nobody_reads_ends_it_quietly(peer, unread, options):
    result = client(peer(echo).address, *options, data=b'hello', stdout=unread)
    assert result == (1, None, '')


def test_reader_that_leaves_ends_an_idle_copy(peer):
    process = start(peer(echo).address, stdin=subprocess.PIPE)
    process.stdin.write(b'hello\n')
    process.stdin.flush()
    assert process.stdout.readline() == b'hello\n'
    process.stdout.close()
    assert process.wait(DEADLINE) == 1
    process.stdout = None
    assert finish(process).err == ''


@pytest.mark.parametrize('redirect, pattern', [
    ('>&-', 'cannot write to standard output: '),
    ('>/dev/full', 'cannot write to standard output: No space left on device'),
    ('</', 'cannot read standard input: Is a directory'),
    ('<&-', 'cannot read standard input: '),
])
@pytest.mark.parametrize('message', ['hello', ''])
def test_standard_descriptors_that_do_not_work(peer, redirect, pattern, message):
    """Catches a socket that takes the place of a closed descriptor."""
    if message and redirect.startswith('<'):
        message, expected = 'hello', 0  # messages need no input
    else:
        expected = 1
    result = subprocess.run(
        ['sh', '-c', f'echo typed | {{ "$@" {redirect}; }}', 'sh', program(CLIENT),
         peer(echo).address, *message.split()],
        capture_output=True, text=True, timeout=DEADLINE, check=False)
    if expected == 0:
        assert (result.returncode, result.stdout, result.stderr) == (0, 'hello\n', '')
    else:
        assert_failed(Result(result.returncode, result.stdout, result.stderr), 1, pattern)


def test_terminal(peer):
    """Standard input and output are one terminal; Control-D on a line of its own is the end."""
    master, slave = os.openpty()
    process = start(peer(echo).address, stdin=slave, stdout=slave)
    os.close(slave)
    seen = b''

    def read_until(wanted):
        nonlocal seen
        while wanted not in seen:
            assert select.select([master], [], [], DEADLINE)[0], seen
            seen += os.read(master, 1000)

    os.write(master, b'hello\n')
    read_until(b'hello\r\nhello\r\n')  # as it was typed, and its echo
    os.write(master, b'\4')
    assert process.wait(DEADLINE) == 0
    os.close(master)
    assert finish(process).err == ''


# ---- the command line --------------------------------------------------------------------

@pytest.mark.parametrize('arguments, named', [
    ([], 'server is missing'),
    (['-c'], 'server is missing'),
    (['-x', '7'], '-x'),
    (['--nonsense', '7'], '--nonsense'),
    (['--check=yes', '7', 'hello'], '--check'),
    (['-n'], '-n, --repeat'),
    (['-n', '', '7', 'hello'], '-n, --repeat'),
    (['-n', '0', '7', 'hello'], '-n, --repeat'),
    (['-n', '3x', '7', 'hello'], '-n, --repeat'),
    (['--repeat', '-1', '7', 'hello'], '-n, --repeat'),
    (['-n', '99999999999999999999', '7', 'hello'], '-n, --repeat'),
    (['-n', '2', '7'], '-n, --repeat'),
    (['-j', '0', '7', 'hello'], '-j, --parallel'),
    (['-j', '1001', '7', 'hello'], '-j, --parallel'),
    (['--parallel=many', '7', 'hello'], '-j, --parallel'),
    (['-j', '2', '7'], '-j, --parallel'),
    (['-t', 'soon', '7', 'hello'], '-t, --timeout'),
    (['-t', '-1', '7', 'hello'], '-t, --timeout'),
    (['--timeout', '5x', '7', 'hello'], '-t, --timeout'),
    (['7', ''], 'message 1 is empty'),
    (['7', 'a', '', 'c'], 'message 2 is empty'),
    ([''], "''"),
    (['localhost:'], "'localhost:'"),
    ([':7'], "':7'"),
    (['localhost:65536'], "'localhost:65536'"),
    (['::1:7'], "'::1:7'"),
    (['/' + 'x' * 200], 'too long'),
])
def test_usage_error(arguments, named):
    """One line that names what is wrong, before anything is connected."""
    result = client(*arguments)
    assert_failed(result, 2, re.escape(named))
    assert result.out == b''


def test_long_options(peer):
    result = client('--check', '--repeat', '2', '--parallel=2', '--timeout', '5s',
                    peer(echo).address, 'hello')
    assert result == (0, b'hello\n' * 4, '')


def test_options_end_at_the_server(peer):
    assert client(peer(echo).address, '-v', '--help').out == b'-v\n--help\n'


def test_help_and_version():
    for option in '-h', '--help':
        result = client(option)
        assert (result.status, result.err) == (0, '')
        assert result.out.startswith(b'usage: echoclient [options] host:port [message]...\n')
    for option in '-V', '--version':
        result = client(option)
        assert (result.status, result.err) == (0, '')
        assert re.fullmatch(rb'echoclient \d+\.\d+\.\d+\n', result.out)
    with open('/dev/full', 'wb') as full:
        assert client('--help', stdout=full).status == 1


def test_verbose_says_what_it_does(peer):
    server = peer(echo)
    result = client('-v', '-n', '2', server.address, 'hello')
    assert result.out == b'hello\n' * 2
    connected, done = result.err.splitlines()
    assert re.fullmatch(rf'echoclient: connected to {re.escape(server.address)} from 127.0.0.1:\d+',
                        connected)
    assert re.fullmatch(r'echoclient: sent 10 bytes, received 10 bytes in \d+\.\d{3} seconds', done)


def test_clients_leave_no_process_behind(peer):
    """Catches a client of several that outlives the one that was started."""
    hold = threading.Event()
    server = peer(lambda connection: hold.wait(DEADLINE))
    process = start('-j', '3', '-t', '0', server.address, 'hello')
    eventually(lambda: len(server.connections) == 3, 'three clients are connected')
    process.stdout.close()
    hold.set()  # each client says that its server closed, and ends
    assert process.wait(DEADLINE) == 1
    process.stdout = None
    assert finish(process).err.count('\n') == 3
