"""The service manager's protocol: notifications, and the sockets that it hands over."""
import errno
import fcntl
import itertools
import os
import re
import shutil
import signal
import socket
import statistics
import subprocess
import sys
import time
from pathlib import Path

import pytest

from daemons import find, needs_daemon
from harness import (BUILD, DEADLINE, NO_LEAK_SEARCH, SANITIZERS, Client, before_serving, children,
                     concurrent, descriptors, forks_only, in_time, needs_ipv6, needs_root, process,
                     program, with_limit)

# Runs what follows with the pid that the variables have to name: its own.
AS_MAIN_PROCESS = ['sh', '-c', 'WATCHDOG_PID=$$ exec "$@"', 'sh']

# Hands the descriptors of its first argument over as 3, 4 ... and runs what follows.
HAND_OVER = '''
import fcntl, os, sys
given = [int(each) for each in sys.argv[1].split(',')]
if given[0] != -1:
    high = [fcntl.fcntl(each, fcntl.F_DUPFD, 100) for each in given]
    for number, each in enumerate(high):
        os.dup2(each, 3 + number)
    for each in high:
        os.close(each)
os.environ.update(LISTEN_PID=str(os.getpid()), LISTEN_FDS=str(len(given)))
os.execv(sys.argv[2], sys.argv[2:])
'''


class Manager:
    """Listens as a service manager does, at a path or, with "@", in the abstract name space."""

    def __init__(self, name):
        self.name = str(name)
        self.environment = {'NOTIFY_SOCKET': self.name}
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.socket.bind(self.name.replace('@', '\0') if self.name[0] == '@' else self.name)
        self.socket.settimeout(DEADLINE)
        if self.name[0] != '@':
            os.chmod(self.name, 0o666)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.socket.close()

    def message(self):
        return self.socket.recv(4096).decode()

    def wait(self, pattern):
        """The first message that matches, and when it came."""
        while True:
            message = self.message()
            if re.fullmatch(pattern, message):
                return message, time.monotonic()


@pytest.fixture(params=['path', 'abstract'])
def manager(request, folder):
    name = folder / 'notify' if request.param == 'path' else f'@forkecho-test-{folder.name}'
    with Manager(name) as each:
        yield each


@pytest.fixture
def path_manager(folder):
    with Manager(folder / 'notify') as each:
        yield each


def visit(srv):
    with srv.connect() as client:
        assert client.echo(b'x') == b'x'


# ---- notifications ---------------------------------------------------------------------

def test_ready_when_it_listens(server_name, folder, manager):
    """Catches READY=1 before anybody can connect, and an abstract name with the wrong length
    (sshd's own sd_notify)."""
    path = folder / 's'
    process = subprocess.Popen([program(server_name), '-q', '-l', path],
                               env={**os.environ, **SANITIZERS, **manager.environment})
    try:
        assert manager.message() == 'READY=1'
        with Client(str(path)) as client:
            assert client.echo(b'x') == b'x'
    finally:
        process.send_signal(signal.SIGQUIT)
        assert process.wait(DEADLINE) == 0


@concurrent
def test_its_life_in_messages(server, manager):
    """Catches a status text in another form, one that is not sent again when it changes, and a
    stop that the manager takes for a hang."""
    srv = server('-C', '1', '-g', '1h', env=manager.environment)
    assert manager.message() == 'READY=1'
    assert manager.message() == 'STATUS=0 live, 0 ended, 0 refused'
    client = srv.connect()
    assert client.echo(b'x') == b'x'
    srv.connect().closed_by_server()
    manager.wait('STATUS=1 live, 0 ended, 1 refused')
    srv.send_signal(signal.SIGTERM)
    manager.wait('STOPPING=1')
    assert client.echo(b'still served') == b'still served'
    client.close()
    assert srv.wait() == 0


def test_a_status_at_most_once_a_second(server, path_manager):
    """Catches a datagram for each connection, and a status that stays behind the last one."""
    start = time.monotonic()
    srv = server(env=path_manager.environment)
    path_manager.wait('STATUS=0 live, .*')
    texts = 1
    for _ in range(40):
        visit(srv)
    srv.wait_lines('^end ', 40)
    last, end = '', start
    while last != 'STATUS=0 live, 40 ended, 0 refused':
        last, end = path_manager.wait('STATUS=.*')
        texts += 1
    assert texts <= 2 + (end - start), f'{texts} texts in {end - start:.3f} s'


def test_an_idle_server_tells_nothing_more(server, path_manager):
    """Catches a status that is repeated although nothing has changed: it would wake up for that."""
    srv = server(env=path_manager.environment)
    path_manager.wait('STATUS=0 live, 0 ended, 0 refused')
    path_manager.socket.settimeout(1.3)
    with pytest.raises(TimeoutError):
        path_manager.message()
    assert srv.status()['live'] == '0'


def test_the_watchdog_is_answered_in_time(server, path_manager):
    """Catches a server that systemd kills because it sleeps too long, idle or full: a closed gate
    must not end it."""
    srv = server('-c', '1', wrap=AS_MAIN_PROCESS,
                 env={**path_manager.environment, 'WATCHDOG_USEC': '1000000'})
    client = srv.connect()
    assert client.echo(b'x') == b'x'
    waiting = srv.connect()
    times = [path_manager.wait('WATCHDOG=1')[1] for _ in range(5)]
    gaps = sorted(late - early for early, late in itertools.pairwise(times))
    assert gaps[1] < 1, gaps  # who sleeps too long does so each time; a busy machine now and then
    client.close()
    assert waiting.echo(b'x') == b'x'


def test_a_stopped_manager_stops_nobody(server, path_manager):
    """Catches a server that waits for, or dies with, a manager that does not read or is gone."""
    srv = server(env=path_manager.environment)
    assert path_manager.message() == 'READY=1'
    path_manager.socket.close()
    os.unlink(path_manager.name)
    for _ in range(5):
        visit(srv)
    assert srv.stop(signal.SIGTERM) == 0


@pytest.mark.parametrize('name', ['relative', '@', '/' + 'x' * 200, '/no/such/socket'])
def test_a_wrong_notify_socket_is_said_and_no_more(server, name):
    """Catches a service that is down because of what only notifies of it."""
    srv = server(env={'NOTIFY_SOCKET': name})
    srv.wait_line('NOTIFY_SOCKET')
    visit(srv)


def wakes(srv):
    """How often a server, which then has gone to sleep again, was woken."""
    return int(re.search(r'^voluntary_ctxt_switches:\t(\d+)',
                         Path(f'/proc/{srv.pid}/status').read_text(), re.M)[1])


@pytest.mark.parametrize('gone', ['always', 'since it was told'])
def test_an_idle_server_sleeps_without_its_manager(server, path_manager, gone):
    """Catches a server that looks for its manager ten times a second, for ever: such as under
    start-stop-daemon --notify-await, which removes its socket when it has heard READY=1."""
    if gone == 'always':
        os.unlink(path_manager.name)
    srv = server(env=path_manager.environment)
    if gone != 'always':
        path_manager.wait('STATUS=0 live, .*')
        path_manager.socket.close()
        os.unlink(path_manager.name)
    visit(srv)
    srv.wait_line('^end ')
    time.sleep(1.2)  # by then its status is due

    def sleeps(seconds):
        before = wakes(srv)
        time.sleep(seconds)  # what does not happen meanwhile is no event
        return wakes(srv) - before <= 1

    assert in_time(sleeps, 1, 1, 1)


@needs_root
def test_it_is_told_after_a_change_of_root(server, folder, path_manager):
    """Catches a socket that is looked for only when there is something to send: by then the path
    is out of reach, and another user may not write to it."""
    os.chmod(path_manager.name, 0o600)
    root = folder / 'root'
    root.mkdir()
    srv = server('-r', str(root), env={**path_manager.environment, **NO_LEAK_SEARCH})
    assert path_manager.message() == 'READY=1'
    srv.send_signal(signal.SIGTERM)
    path_manager.wait('STOPPING=1')


@forks_only
def test_children_hold_no_socket_of_the_manager(server, path_manager):
    """Catches a child that can send the manager that all is well, or that the server has moved."""
    srv = server('-m', '%m', env=path_manager.environment)
    client = srv.connect()
    assert client.echo(b'x') == b'x'
    [child] = children(srv.pid)
    sockets = [what for what in descriptors(child.pid).values() if what.startswith('socket:')]
    assert len(sockets) == 1 and sockets[0] not in srv.descriptors().values()


# A start that fails: its options, what the status has to say, and the errno.
FAILED = {
    'address': (['-l', '{taken}'], 'cannot listen on {taken} .*Address (already )?in use.*',
                errno.EADDRINUSE),
    'path': (['-l', '/no/folder/s'], 'cannot listen on /no/folder/s .*', errno.ENOENT),
    'user': (['-u', 'no-such-user'], "there is no user 'no-such-user' .*", errno.EINVAL),
    'root': (['-r', '/dev/null'], "cannot make '/dev/null' the root .*", errno.EINVAL),
    'pidfile': (['-P', '/dev/null/pid'], 'cannot open the pidfile .*', errno.ENOTDIR),
    'sockets': (['-v'], 'LISTEN_FDS .*', errno.EINVAL),
    'output': (['-1'], 'cannot print the addresses .*', errno.ENOSPC),
    'usage': (['--no-such'], 'the command line is wrong; .*', errno.EINVAL),
}


@before_serving
@pytest.mark.parametrize('detached', [False, True], ids=['foreground', 'daemon'])
@pytest.mark.parametrize('case', FAILED)
def test_a_start_that_fails_says_so(server_name, folder, path_manager, case, detached):
    """Catches a manager that waits for READY=1 of a server that has ended, a minute and more, and
    then has nothing to show but that."""
    options, status, number = FAILED[case]
    with socket.create_server(('127.0.0.1', 0)) as listener, open('/dev/full', 'wb') as full:
        taken = '127.0.0.1:{}'.format(listener.getsockname()[1])
        command = ['sh', '-c', 'LISTEN_PID=$$ exec "$@"', 'sh', program(server_name),
                   *['-d'] * detached, *['-l', folder / 's'] * ('-l' not in options),
                   *[each.format(taken=taken) for each in options]]
        done = subprocess.run(command, stdin=subprocess.DEVNULL, stdout=full,
                              stderr=subprocess.PIPE, timeout=DEADLINE, check=False,
                              env={**os.environ, **SANITIZERS, **path_manager.environment,
                                   'LISTEN_FDS': 'x' if case == 'sockets' else ''})
    assert done.returncode in (1, 2) and len(done.stderr.splitlines()) == 1
    assert re.fullmatch(f'STATUS={status.format(taken=taken)}\nERRNO={number}',
                        path_manager.message())
    path_manager.socket.setblocking(False)
    with pytest.raises(BlockingIOError):
        path_manager.message()


@before_serving
@needs_daemon('start-stop-daemon')
def test_start_stop_daemon_hears_of_a_failed_start(server_name, folder):
    """Catches an init script that waits for its time limit where the address is taken."""
    own = shutil.copy(program(server_name), folder)  # beside another of the file none starts
    with socket.create_server(('127.0.0.1', 0)) as listener:
        taken = '127.0.0.1:{}'.format(listener.getsockname()[1])
        done = subprocess.run([find('start-stop-daemon'), '--start', '--background',
                               '--notify-await', '--notify-timeout', str(int(DEADLINE)),
                               '--exec', own, '--', '-l', taken],
                              stdin=subprocess.DEVNULL, capture_output=True, text=True,
                              timeout=DEADLINE, check=False)
    assert done.returncode == 2 and 'Address already in use' in done.stderr, done


@pytest.mark.skipif(BUILD.name in ('asan', 'tsan'), reason='a sanitizer has costs of its own')
def test_ready_in_20_milliseconds(server_name, path_manager):
    """Catches a start that waits for something. The best of some, as other load only adds: of
    fifteen, and of as many as are needed where they are slow."""
    took, end = [], time.monotonic() + DEADLINE
    while len(took) < 15 or (min(took) >= 20 and time.monotonic() < end):
        start = time.monotonic()
        process = subprocess.Popen([program(server_name), '-q', '-l', '127.0.0.1:0'],
                                   env={**os.environ, **path_manager.environment})
        took.append((path_manager.wait('READY=1')[1] - start) * 1000)
        process.send_signal(signal.SIGQUIT)
        assert process.wait(DEADLINE) == 0
    print(f'{server_name}: start to READY {min(took):.1f} ms at best, '
          f'{statistics.median(took):.1f} ms in the median')
    assert min(took) < 20, took


# ---- what it hands over ------------------------------------------------------------------

def handed(sockets):
    """The settings of a server to which these are handed over."""
    numbers = [each.fileno() for each in sockets]
    return {'wrap': [sys.executable, '-c', HAND_OVER, ','.join(map(str, numbers))],
            'pass_fds': numbers, 'listen': []}


def listening(family, name):
    listener = socket.socket(family, socket.SOCK_STREAM)
    listener.bind(name)
    listener.listen()
    listener.settimeout(DEADLINE)
    return listener


def three_kinds(folder):
    return [listening(socket.AF_INET, ('127.0.0.1', 0)), listening(socket.AF_INET6, ('::1', 0)),
            listening(socket.AF_UNIX, str(folder / 's'))]


@needs_ipv6
def test_sockets_that_are_handed_over_are_served(server, folder):
    """Catches a descriptor that is left out, or an address that is shown wrong."""
    sockets = three_kinds(folder)
    srv = server('-G', '%a', **handed(sockets))
    assert srv.addresses == ['127.0.0.1:{}'.format(sockets[0].getsockname()[1]),
                             '[::1]:{}'.format(sockets[1].getsockname()[1]), str(folder / 's')]
    for address in srv.addresses:
        with srv.connect(address) as client:
            greeting = client.address.encode()
            assert client.receive(len(greeting)) == greeting
            assert client.echo(b'x') == b'x'
    for each in sockets:
        each.close()


@needs_ipv6
def test_the_manager_goes_on_listening(server, folder):
    """Catches shutdown or unlink of what is the manager's: its next client would be refused."""
    sockets = three_kinds(folder)
    srv = server('-g', '0', **handed(sockets))
    addresses = srv.addresses
    assert srv.connect(addresses[0]).echo(b'x') == b'x'
    assert srv.stop(signal.SIGTERM) == 0
    for listener, address in zip(sockets, addresses):
        with Client(address) as client:
            accepted, _ = listener.accept()
            accepted.sendall(b'next')
            assert client.receive(4) == b'next'
            accepted.close()
    again = server(**handed(sockets))
    for address in again.addresses:
        with again.connect(address) as client:
            assert client.echo(b'x') == b'x'
    for each in sockets:
        each.close()


@with_limit(1, 10)
def test_a_drain_does_not_hear_of_the_managers_clients(server, limit):
    """Catches a loop that is woken for ever by a listener which it has closed, because the manager
    has it open as well (epoll): it would spin as long as the drain takes."""
    listener = listening(socket.AF_INET, ('127.0.0.1', 0))
    srv = server('-t', f'{limit}s', '-g', '1h', **handed([listener]))
    client = srv.connect()
    assert client.echo(b'x') == b'x'
    srv.send_signal(signal.SIGTERM)
    srv.wait_line('^drain ')
    with Client(srv.address):  # waits for the next server
        before = process(srv.pid).cpu
        assert client.receive_all() == b''  # when its time is over
        assert process(srv.pid).cpu - before < 0.1
        assert srv.wait() == 0
    listener.close()


def test_clients_wait_for_the_next_server(server):
    """Catches a stop that resets those who wait in the queue of a listener that lives on."""
    listener = listening(socket.AF_INET, ('127.0.0.1', 0))
    first = server('-c', '1', **handed([listener]))
    held = first.connect()
    assert held.echo(b'x') == b'x'
    waiting = first.connect()
    waiting.sendall(b'y')
    assert first.stop() == 0
    second = server(**handed([listener]))
    assert waiting.receive(1) == b'y'
    assert second.status()['accepted'] == '1'
    listener.close()


def test_the_flags_of_a_shared_listener_are_left_alone(server):
    """Catches a server that makes the manager's socket blocking, or is upset by one that is not:
    whoever has it open as well, such as its successor, would sleep in accept."""
    listener = listening(socket.AF_INET, ('127.0.0.1', 0))
    listener.setblocking(False)
    srv = server(**handed([listener]))
    with srv.connect() as client:
        assert client.echo(b'x') == b'x'
    assert fcntl.fcntl(listener, fcntl.F_GETFL) & os.O_NONBLOCK
    before = busy(srv)
    for _ in range(20):
        with srv.connect() as client:
            assert client.echo(b'x') == b'x'
    assert busy(srv) - before < 0.5
    listener.close()


def busy(srv):
    """The processor time of a server and of those children that live."""
    return sum(each.cpu for each in [process(srv.pid), *children(srv.pid)])


def test_an_option_for_another_address_is_ignored_and_said(server):
    """Catches a port that nobody has opened in the firewall, or a silent -l."""
    listener = listening(socket.AF_INET, ('127.0.0.1', 0))
    srv = server(**{**handed([listener]), 'listen': ['127.0.0.1:0']})
    assert srv.addresses == ['127.0.0.1:{}'.format(listener.getsockname()[1])]
    srv.wait_line('LISTEN_FDS.*-l is ignored')
    listener.close()


def test_what_another_process_was_handed_is_left_alone(server):
    """Catches variables that a parent has inherited and not cleared: the pid is another's."""
    srv = server(env={'LISTEN_FDS': '3', 'LISTEN_PID': '1'})
    visit(srv)
    assert srv.find('LISTEN_FDS') == []


@forks_only
def test_children_hold_no_listener_of_the_manager(server, folder):
    """Catches a child that can accept in the place of the next server."""
    sockets = [listening(socket.AF_UNIX, str(folder / f's{number}')) for number in range(12)]
    srv = server(**handed(sockets))
    client = srv.connect()
    assert client.echo(b'x') == b'x'
    [child] = children(srv.pid)
    held = descriptors(child.pid)
    assert sum(what.startswith('socket:') for what in held.values()) == 1
    assert not set(srv.descriptors().values()) & {what for what in held.values()
                                                  if what.startswith('socket:')}
    for each in sockets:
        each.close()


def connected():
    with listening(socket.AF_INET, ('127.0.0.1', 0)) as listener:
        return socket.create_connection(listener.getsockname())


class NotOpen:
    """Stands for a descriptor that nobody has opened."""

    def fileno(self):
        return -1

    def close(self):
        pass


WRONG = {
    'file': (lambda: open(__file__, 'rb'), 'not a socket'),
    'datagram': (lambda: socket.socket(socket.AF_INET, socket.SOCK_DGRAM), 'datagram'),
    'sequential': (lambda: socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET), 'not a stream'),
    'connection': (connected, 'does not listen'),
    'unbound': (lambda: socket.socket(socket.AF_INET, socket.SOCK_STREAM), 'does not listen'),
    'nothing': (NotOpen, 'not open'),
}


@before_serving
@pytest.mark.parametrize('what', WRONG)
def test_what_is_no_listener_is_refused(server_name, what):
    """Catches a server that runs and serves nobody. The line names the descriptor."""
    make, why = WRONG[what]
    wrong = make()
    settings = handed([wrong])
    result = subprocess.run([*settings['wrap'], program(server_name)],
                            stdin=subprocess.DEVNULL, capture_output=True, text=True,
                            timeout=DEADLINE, check=False,
                            pass_fds=[each for each in settings['pass_fds'] if each >= 0])
    wrong.close()
    assert (result.returncode, result.stdout) == (1, ''), result
    assert len(result.stderr.splitlines()) == 1
    assert 'descriptor 3' in result.stderr and 'LISTEN_FDS' in result.stderr
    assert why in result.stderr


@before_serving
@pytest.mark.parametrize('count, pid', [('x', '$$'), ('0', '$$'), ('-1', '$$'), ('1', 'x'),
                                        ('99999999999999999999', '$$')])
def test_malformed_variables_are_refused(server_name, count, pid):
    """Catches a server that listens where it was not meant to."""
    result = subprocess.run(['sh', '-c', f'LISTEN_FDS={count} LISTEN_PID={pid} exec "$0"',
                             program(server_name)], stdin=subprocess.DEVNULL, capture_output=True,
                            text=True, timeout=DEADLINE, check=False)
    assert (result.returncode, result.stdout) == (1, '')
    assert len(result.stderr.splitlines()) == 1 and 'LISTEN_FDS' in result.stderr
