"""The log at syslogd and under the journal: -s and $JOURNAL_STREAM."""
import contextlib
import os
import pty
import re
import resource
import select
import signal
import socket
import subprocess

import pytest

from daemons import needs_daemon
from harness import (DEADLINE, NO_LEAK_SEARCH, before_serving, eventually, forks_only, needs_root,
                     open_ledger, program, run, with_processes)

HEADER = re.compile(r'^<(\d+)>[A-Z][a-z]{2} [ \d]\d \d\d:\d\d:\d\d \w+\[\d+\]: (.*)', re.S)


class Syslog:
    """A syslogd of the test's own, at the path that replaces /dev/log."""

    def __init__(self, path):
        self.path = str(path)
        self.listen()

    def listen(self):
        with contextlib.suppress(FileNotFoundError):
            os.unlink(self.path)
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.socket.bind(self.path)
        os.chmod(self.path, 0o666)  # as a syslogd's is
        self.socket.settimeout(DEADLINE)

    def text(self):
        return self.socket.recv(4096).decode()

    def line(self):
        """The next line: its priority and text."""
        text = self.text()
        match = HEADER.match(text)
        assert match, text
        return int(match[1]), match[2]

    def wait(self, verb):
        while True:
            priority, text = self.line()
            if text.startswith(verb + ' '):
                return priority, text


# Runs what follows with a /dev of its own, in which there is little more than the log.
PRIVATE_DEV = """
mount -t tmpfs none /mnt && touch /mnt/null && mount --bind /dev/null /mnt/null &&
ln -s "$1/log" /mnt/log && ln -s /proc/self/fd/2 /mnt/stderr && mount --move /mnt /dev &&
shift && exec "$@"
"""


def private_dev(folder):
    return ['unshare', '--mount', 'sh', '-c', PRIVATE_DEV, 'sh', str(folder)]


def visit(server):
    with server.connect() as client:
        assert client.echo(b'hello') == b'hello'


@needs_root
def test_lines_go_to_syslogd(server, folder):
    """Catches a line without header or priority, one cut in two, and one on standard error."""
    syslog = Syslog(folder / 'log')
    srv = server('-s', 'local3', wrap=private_dev(folder))
    assert syslog.wait('start')[0] == 19 * 8 + 5
    visit(srv)
    assert syslog.wait('accept')[0] == 19 * 8 + 6
    priority, text = syslog.wait('end')
    assert 'how=' in text and not text.endswith('\n')
    srv.stop()
    assert syslog.wait('stop')
    assert srv.lines == []


@with_processes
@needs_root
@pytest.mark.parametrize('limit', [12, 64, 512, 1024])
def test_children_log_messages_to_syslogd(server, folder, limit):
    """Catches a child that closes the log's descriptor with its parent's others, and a log
    without a word where there are few descriptors."""
    syslog = Syslog(folder / 'log')
    srv = server('-s', 'daemon', '-v', wrap=private_dev(folder),
                 limits={resource.RLIMIT_NOFILE: limit})
    visit(srv)
    priority, text = syslog.wait('message')
    assert priority == 3 * 8 + 7 and "text='hello'" in text


class StreamSyslog(Syslog):
    """One that takes connections, each with lines that end with a NUL: as s6's, socklog's or
    syslog-ng's with unix-stream."""

    def listen(self):
        with contextlib.suppress(FileNotFoundError):
            os.unlink(self.path)
        self.listener = socket.create_server(self.path, family=socket.AF_UNIX)
        os.chmod(self.path, 0o666)
        self.listener.settimeout(DEADLINE)
        self.socket, self.rest = None, b''

    def close(self):
        self.listener.close()
        self.socket.close()

    def text(self):
        if self.socket is None:
            self.socket, _ = self.listener.accept()
            self.socket.settimeout(DEADLINE)
        while b'\0' not in self.rest:
            more = self.socket.recv(4096)
            assert more, 'the connection has ended'
            self.rest += more
        line, self.rest = self.rest.split(b'\0', 1)
        return line.decode()


@needs_root
def test_a_syslogd_that_takes_a_stream_gets_the_lines(server, folder):
    """Catches a log that is lost without a word where /dev/log is a stream, which libc and logger(1)
    find out (slog-rs/slog#122, Geal/rust-syslog#22), and one that does not find it again, or loses
    it in an upgrade."""
    syslog = StreamSyslog(folder / 'log')
    srv = server('-s', 'daemon', '-v', wrap=private_dev(folder))
    assert syslog.wait('start')[0] == 3 * 8 + 5
    visit(srv)
    assert syslog.wait('message')[0] == 3 * 8 + 7 and syslog.wait('end')[0] == 3 * 8 + 6
    syslog.close()
    syslog.listen()

    def arrived():
        visit(srv)
        return select.select([syslog.listener], [], [], 0.1)[0]

    eventually(arrived, 'the server has found the new syslogd')
    assert syslog.line()
    if srv.name == 'forkecho':
        srv.send_signal(signal.SIGHUP)
        syslog.wait('takeover')
        visit(srv)
        assert syslog.wait('end')
    srv.stop()
    assert syslog.wait('stop')
    assert srv.lines == []


@needs_root
def test_a_restarted_syslogd_is_found_again(server, folder):
    """Catches a log that is silent for ever once syslogd was restarted."""
    syslog = Syslog(folder / 'log')
    srv = server('-s', 'daemon', wrap=private_dev(folder))
    syslog.wait('start')
    syslog.socket.close()
    syslog.listen()
    syslog.socket.settimeout(0.1)

    def arrived():
        visit(srv)
        with contextlib.suppress(TimeoutError):
            return syslog.line()
        return None

    eventually(arrived, 'the server has found the new syslogd')


@needs_root
def test_within_another_root_syslogd_is_found_by_its_socket_there(server, folder):
    """Catches a server that, with -r, looks for a restarted syslogd where it cannot see it: the
    manual has the administrator make a socket within the root."""
    (folder / 'root' / 'dev').mkdir(parents=True)
    outside = Syslog(folder / 'log')
    inside = Syslog(folder / 'root' / 'dev' / 'log')
    srv = server('-s', 'daemon', '-r', folder / 'root', wrap=private_dev(folder),
                 env=NO_LEAK_SEARCH)
    outside.wait('start')
    visit(srv)
    outside.wait('end')
    outside.socket.close()
    inside.socket.settimeout(0.1)

    def arrived():
        visit(srv)
        with contextlib.suppress(TimeoutError):
            return inside.line()
        return None

    eventually(arrived, 'the server has found the socket within its root')


@needs_root
def test_an_absent_syslogd_stops_nobody(server, folder):
    """Catches a server that cannot start, or waits, without a syslogd, and one that says nothing of
    it to whoever starts it."""
    srv = server('-s', 'daemon', wrap=private_dev(folder))
    for _ in range(50):
        visit(srv)
    srv.stop()
    assert srv.lines == [f'{srv.name}: cannot reach syslogd at /dev/log (-s): No such file or '
                         'directory; lines are lost until it is there']


@needs_root
def test_a_slow_syslogd_stops_nobody(server, folder):
    """Catches a server that waits for a syslogd that does not read; lost lines are counted."""
    syslog = Syslog(folder / 'log')
    srv = server('-s', 'daemon', wrap=private_dev(folder))
    for _ in range(300):
        visit(srv)
    seen = []
    while not any(text.startswith('log lost=') for text in seen):
        seen.append(syslog.line()[1])
        visit(srv)


STARTS = pytest.mark.parametrize('options', [[], ['-d']], ids=['foreground', 'daemon'])


@needs_root
@STARTS
def test_a_start_that_fails_is_seen_by_who_starts(server_name, folder, options):
    """Catches a starting command that returns 1 without a word, since the log is at syslogd."""
    syslog = Syslog(folder / 'log')
    with socket.create_server(('127.0.0.1', 0)) as taken:
        address = '{}:{}'.format(*taken.getsockname())
        done = subprocess.run([*private_dev(folder), program(server_name), '-s', 'daemon', '-l',
                               address, *options], stdin=subprocess.DEVNULL, capture_output=True,
                              text=True, timeout=DEADLINE, check=False)
    error = f'{server_name}: cannot listen on {address} '
    assert done.returncode == 1 and done.stdout == ''
    assert done.stderr.startswith(error) and done.stderr.count('\n') == 1
    priority, text = syslog.line()
    assert priority == 3 * 8 + 3 and text + '\n' == done.stderr


@forks_only
@needs_root
def test_a_daemon_has_left_the_terminal_that_started_it(server_name, folder):
    """Catches a SIGHUP, by which an init script has the program on disk take over, that is taken
    for a terminal's end: what starts a daemon is often a terminal, and its log is at syslogd."""
    syslog = Syslog(folder / 'log')
    controller, terminal = pty.openpty()
    subprocess.run([*private_dev(folder), program(server_name), '-d', '-s', 'daemon', '-u', 'root',
                    '-l', folder / 's'], stdin=subprocess.DEVNULL, stderr=terminal,
                   timeout=DEADLINE, check=True)
    pid = int(re.search(r'pid=(\d+)', syslog.wait('start')[1])[1])
    try:
        os.kill(pid, signal.SIGHUP)
        assert syslog.line()[1].startswith('upgrade ')
        assert syslog.wait('takeover')
    finally:
        os.kill(pid, signal.SIGTERM)
        syslog.wait('stop')
    os.close(controller)
    os.close(terminal)


@forks_only
@needs_root
def test_errors_of_a_server_that_runs_go_to_syslogd_alone(server, folder):
    """Catches lines on a standard error that nobody reads any more."""
    syslog = Syslog(folder / 'log')
    srv = server('-s', 'daemon', wrap=private_dev(folder))
    syslog.wait('start')
    ledger = open_ledger(srv)
    os.write(ledger, b'junk')
    os.close(ledger)
    visit(srv)
    assert 'ignored 4 bytes' in syslog.wait('forkecho:')[1]
    srv.stop()
    assert srv.lines == []


@before_serving
def test_an_unknown_facility_is_a_usage_error(server_name):
    """Catches a facility that is silently another one."""
    done = run(server_name, '-l', '0', '-s', 'kernel')
    assert done.returncode == 2 and done.stderr.count('\n') == 1 and 'local0' in done.stderr


def test_the_journal_gets_priorities_and_no_time(server):
    """Catches lines that the journal takes for informational, or times that it has itself."""
    read_end, write_end = os.pipe()
    status = os.fstat(write_end)
    srv = server(stderr=write_end, env={'JOURNAL_STREAM': f'{status.st_dev}:{status.st_ino}'})
    os.close(write_end)
    visit(srv)
    srv.stop()
    with os.fdopen(read_end) as log:
        lines = log.read().splitlines()
    assert lines[0].startswith('<5>start ')
    assert any(line.startswith('<6>accept ') for line in lines)


# ---- a real syslogd ----------------------------------------------------------------------

class RealSyslog:
    """BusyBox's syslogd, which follows the link at /dev/log to the test's folder."""

    def __init__(self, start, folder):
        self.start, self.folder = start, folder
        self.messages = folder / 'messages'
        self.begin()

    def begin(self):
        self.daemon = self.start(*private_dev(self.folder), 'busybox', 'syslogd', '-n', '-m', '0',
                                 '-O', self.messages)
        eventually((self.folder / 'log').exists, 'syslogd listens')

    def end(self):
        self.daemon.end()
        (self.folder / 'log').unlink(missing_ok=True)

    def lines(self, pattern):
        text = self.messages.read_text() if self.messages.exists() else ''
        return [line for line in text.splitlines() if re.search(pattern, line)]

    def wait_line(self, pattern):
        return eventually(lambda: self.lines(pattern), f'syslogd has a line {pattern}')[0]


@needs_root
@needs_daemon('busybox')
def test_a_real_syslogd_files_the_lines(server, daemon, folder):
    """Catches a header that a syslogd does not understand: the facility, the level and the name
    would be others, or part of the text."""
    syslog = RealSyslog(daemon, folder)
    srv = server('-s', 'local3', wrap=private_dev(folder))
    visit(srv)
    pid = syslog.wait_line(' start pid=').split('pid=')[1].split()[0]
    line = syslog.wait_line(' accept ')
    name = srv.name
    assert re.search(rf' local3\.info {name}\[{pid}\]: accept pid=\d+ from=127', line), line
    srv.stop(signal.SIGTERM)
    assert ' local3.notice ' in syslog.wait_line(': stop ')


@needs_root
@needs_daemon('busybox')
def test_a_real_syslogd_may_be_restarted(server, daemon, folder):
    """Catches a server that a stopped syslogd stops, and one whose log ends with it."""
    syslog = RealSyslog(daemon, folder)
    srv = server('-s', 'daemon', wrap=private_dev(folder))
    visit(srv)
    syslog.wait_line(': end ')
    syslog.end()
    for _ in range(20):
        visit(srv)
    syslog.begin()
    before = len(syslog.lines(': end '))

    def arrived():
        visit(srv)
        return len(syslog.lines(': end ')) > before

    eventually(arrived, 'the server has found the new syslogd')
    syslog.wait_line(r': log lost=\d+')
