"""The log: one event, one line; what each level shows; floods; terminals."""
import contextlib
import fcntl
import os
import pty
import re
import resource
import signal
import socket
import subprocess
import termios

import pytest

from harness import (DEADLINE, SANITIZERS, Client, before_serving, children, concurrent, eventually,
                     forks_only, needs_root, new_user, of_session, program, visit, with_processes)


def verbs(srv):
    return [line.split()[0] for line in srv.lines]


def test_normally_starts_stops_and_status_are_logged(server):
    """Catches a log that fills a disk by default."""
    srv = server(verbose='')
    visit(srv)
    eventually(lambda: srv.status()['ended'] == '1', 'the client is counted')
    srv.stop(signal.SIGTERM)
    srv.wait_line('^stop ')
    assert set(verbs(srv)) == {'start', 'status', 'drain', 'stop'}


@concurrent
def test_verbose_logs_each_client(server):
    """Catches a field that a log reader relies on and does not find."""
    srv = server('-C', '1', verbose='--verbose')
    client = srv.connect()
    client.echo(b'hello')
    srv.connect().closed_by_server()
    client.half_close()
    client.receive_all()
    end = srv.end_of(client)
    refused, accepted = srv.wait_line('^refuse '), srv.accepted(client)
    assert list(accepted) == ['pid', 'from', 'live']
    assert list(end) == ['pid', 'from', 'in', 'out', 'secs', 'how', 'live']
    assert list(refused) == ['from', 'why']
    assert accepted['pid'] == end['pid'] and accepted['live'] == '1' and end['live'] == '0'
    assert re.fullmatch(r'\d+\.\d+', end['secs'])
    status = srv.status()
    assert list(status)[:9] == ['live', 'peak', 'accepted', 'ended', 'refused', 'deferred', 'in',
                                'out', 'zombies']


def test_start_and_stop_lines(server):
    """Catches a start that does not say where it listens."""
    srv = server(verbose='', listen=['127.0.0.1:0', '127.0.0.2:0'])
    start = srv.wait_line('^start ')
    assert start['pid'] == str(srv.pid)
    assert all(address in start.line for address in srv.addresses)
    assert verbs(srv) == ['start']
    srv.stop()
    srv.wait_line('^stop ')


def test_quiet_logs_errors_only(server):
    """Catches -q that leaves the log noisy."""
    srv = server(verbose='-q')
    visit(srv)
    srv.send_signal(signal.SIGUSR1)
    srv.stop(signal.SIGTERM)
    eventually(lambda: srv.ended, 'the log is at its end')
    assert srv.lines == []


@concurrent
def test_a_flood_of_refusals_is_summed_up(server):
    """Catches a hostile client that fills the disk, and a flood of which nobody hears."""
    srv = server('-C', '1')
    keeper = srv.connect()
    keeper.echo(b'x')
    for each in [srv.connect() for _ in range(1000)]:
        each.closed_by_server()
    status = srv.status()
    assert status['refused'] == '1000'
    srv.wait_line(r'^refuse more=\d+')

    eventually(lambda: told_refusals(srv) == 1000,
               'the lines and the summaries add up to all refusals')
    assert len(srv.find('^refuse ')) < 900


def flood(srv, number):
    """Refuses 300 clients at once, and sends a signal in the same second, most likely."""
    keeper = srv.connect()
    keeper.echo(b'x')
    for each in [srv.connect() for _ in range(300)]:
        each.closed_by_server()
    srv.send_signal(number)
    keeper.close()


def told_refusals(srv):
    return sum(int(each.get('more', 1)) for each in srv.find('^refuse '))


@concurrent
def test_a_flood_before_the_stop_is_summed_up(server):
    """Catches refusals that are never summed up, for the server stops within their second."""
    srv = server('-C', '1')
    flood(srv, signal.SIGTERM)
    srv.wait_line('^stop ')
    assert told_refusals(srv) == 300


@forks_only
def test_a_flood_before_an_upgrade_is_summed_up(server):
    """Catches refusals that are never summed up, for another program takes over within their
    second."""
    srv = server('-C', '1', copy=True)
    flood(srv, signal.SIGHUP)
    srv.wait_line('^takeover ')
    assert told_refusals(srv) == 300


def test_a_terminal_gets_the_time_of_each_line(server):
    """Catches lines without a time where nobody else adds one."""
    controller, terminal = pty.openpty()
    srv = server(stderr=terminal)
    os.close(terminal)
    visit(srv)
    text = b''
    while b' end ' not in text:
        text += os.read(controller, 65536)
    srv.stop()
    with contextlib.suppress(OSError):  # EIO: the terminal's last user is gone
        while part := os.read(controller, 65536):
            text += part
    os.close(controller)
    lines = text.decode().splitlines()
    assert [line.split()[2] for line in lines] == ['start', 'accept', 'end', 'drain', 'stop']
    assert all(re.match(r'\d{4}-\d\d-\d\d \d\d:\d\d:\d\d \w', line) for line in lines)


def test_the_end_line_counts_what_a_reset_client_got(server):
    """Catches bytes that are counted when asked for rather than when sent."""
    srv = server()
    client = srv.connect(receive_buffer=4096)
    sent = client.fill()
    name = client.address
    client.reset()
    end = srv.end_of(name)
    assert 0 < end.number('out') <= end.number('in') <= len(sent)


@before_serving
def test_a_client_of_inetd_that_is_gone(server_name):
    """Catches words for it that the manual does not have."""
    with socket.create_server(('127.0.0.1', 0)) as listener:
        client = Client('{}:{}'.format(*listener.getsockname()))
        connection, _ = listener.accept()
    with connection:
        client.reset()
        with contextlib.suppress(ConnectionResetError):
            connection.recv(1)
        done = subprocess.run([program(server_name), '-i', '-v'], stdin=connection, text=True,
                              stderr=subprocess.PIPE, timeout=DEADLINE, check=False)
    assert (done.returncode, done.stderr) == (0, 'refuse from=unknown why=gone\n')


# ---- a log that nobody reads, and that another user has opened --------------------------------

def is_blocking(descriptor):
    return fcntl.fcntl(descriptor, fcntl.F_GETFL) & os.O_NONBLOCK == 0


@needs_root
@pytest.mark.parametrize('controlling', [True, False])
def test_a_terminal_that_nobody_reads_stops_nobody(server, controlling):
    """Catches a server that sleeps in a write to a terminal that it may not open anew (setpriv,
    sudo -u): a terminal that says it can be written to may have room for less than a line. Where
    it is the controlling terminal nothing changes for those who share it."""
    controller, terminal = pty.openpty()
    os.fchmod(terminal, 0o600)
    srv = server(stderr=terminal, as_user=new_user(),
                 before=lambda: controlling and fcntl.ioctl(2, termios.TIOCSCTTY, 0))
    for _ in range(300):
        visit(srv)
    assert srv.stop(signal.SIGTERM) == 0
    assert is_blocking(terminal) == controlling
    assert os.read(controller, 4096).split()[2] == b'start'
    os.close(controller)
    os.close(terminal)


@with_processes
@needs_root
def test_a_pipe_that_nobody_reads_stops_no_child(server):
    """Catches children that wait for the reader of a pipe that they may not open anew, and with
    them their clients."""
    read_end, write_end = os.pipe()
    srv = server(verbose='-vv', stderr=write_end, as_user=new_user())
    os.close(write_end)
    client = srv.connect()
    for _ in range(1500):
        assert client.echo(b'x' * 60) == b'x' * 60
    client.close()
    visit(srv)
    assert srv.stop(signal.SIGTERM) == 0
    os.close(read_end)


# ---- a log that is rotated -----------------------------------------------------------------------

def test_a_file_that_is_truncated_begins_anew(server, folder):
    """Catches a log that goes on at its old offset, behind as many NULs, when whoever rotates it has
    copied and truncated it: logrotate/logrotate#286."""
    path = folder / 'log'
    with path.open('w') as log:
        srv = server(stderr=log)
    for _ in range(3):
        visit(srv)
    eventually(lambda: path.read_text().count('\nend ') == 3, 'all have ended')
    os.truncate(path, 0)
    assert srv.stop(signal.SIGTERM) == 0
    text = path.read_text()
    assert text.startswith('drain ') and '\0' not in text


# ---- a log that may not be written ---------------------------------------------------------------

def test_a_full_file_stops_nobody(server, folder):
    """Catches SIGXFSZ, which ends a server that writes its log beyond RLIMIT_FSIZE."""
    with (folder / 'log').open('w') as log:
        srv = server(stderr=log, limits={resource.RLIMIT_FSIZE: 1024})
        for _ in range(50):
            visit(srv)
    assert srv.stop(signal.SIGTERM) == 0
    assert (folder / 'log').stat().st_size <= 1024


def test_a_terminal_that_stops_writers_stops_nobody(server_name):
    """Catches SIGTTOU, which stops a server in the background, and all its children with it, at the
    first line that it writes to a terminal with tostop (stty(1))."""
    controller, terminal = pty.openpty()
    script = 'stty tostop <&2; set -m; "$@" & exec >&-; wait'
    shell = subprocess.Popen(
        ['sh', '-c', script, 'sh', program(server_name), '-1', '-v', '-l', '127.0.0.1:0'],
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=terminal, text=True,
        start_new_session=True, env={**os.environ, **SANITIZERS},
        preexec_fn=lambda: fcntl.ioctl(2, termios.TIOCSCTTY, 0))
    try:
        with shell.stdout as stdout:
            address = stdout.read().strip()
        with Client(address) as client:
            assert client.echo(b'hello') == b'hello'
        started, = [each for each in children(shell.pid) if each.session == shell.pid]
        os.kill(started.pid, signal.SIGTERM)
        assert shell.wait(DEADLINE) == 0
        assert b' start pid=' in os.read(controller, 4096)
    finally:
        for each in of_session(shell.pid):
            with contextlib.suppress(ProcessLookupError):
                os.kill(each.pid, signal.SIGKILL)
        shell.wait()
        os.close(controller)
        os.close(terminal)
