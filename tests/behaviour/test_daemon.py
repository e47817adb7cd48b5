"""-d and -P: the starting command's exit status is true, and the pidfile names the one server."""
import fcntl
import contextlib
import os
import re
import signal
import socket
import subprocess

import pytest

from harness import (DEADLINE, SANITIZERS, Client, children, descriptors, eventually, forks_only,
                     marked, needs_root, process, program)


class Launcher:
    """Starts servers with -d in a folder of their own, and ends all that still run."""

    def __init__(self, name, folder):
        self.name, self.folder = name, folder
        self.pidfile, self.log = folder / 'pid', folder / 'log'
        self.environment = {**os.environ, **SANITIZERS, 'FORKECHO_TEST': str(folder)}

    def command(self, *options, listen='127.0.0.1:0'):
        return [program(self.name), '-v', '-l', listen, *options]

    def start(self, *options, listen='127.0.0.1:0', **settings):
        """Runs the starting command to its end. The log is a file, which a server keeps."""
        with open(self.log, 'ab') as log:
            return subprocess.run(self.command('-d', '-1', '-P', self.pidfile, *options,
                                               listen=listen),
                                  stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True,
                                  env=self.environment, timeout=DEADLINE, check=False,
                                  **{'stderr': log, **settings})

    def run(self, *options, **settings):
        """Starts a server that has to run; returns its address."""
        result = self.start(*options, **settings)
        assert result.returncode == 0, self.log.read_text()
        return result.stdout.splitlines()[0]

    def pid(self):
        text = self.pidfile.read_text()
        assert re.fullmatch(r'\d+\n', text), text
        return int(text)

    def stop(self, number=signal.SIGTERM):
        """Ends the server that the pidfile names, and waits for that."""
        pid = self.pid()
        os.kill(pid, number)
        eventually(lambda: gone(pid), 'the server has ended')

    def lines(self):
        return self.log.read_text().splitlines()

    def finish(self):
        for each in marked(self.folder):
            with contextlib.suppress(ProcessLookupError):  # it was ending
                os.kill(each.pid, signal.SIGKILL)


def gone(pid):
    """Whether a process has ended, with all its threads: the last one lets go of its files."""
    found = process(pid)
    with contextlib.suppress(FileNotFoundError, ProcessLookupError):
        return found is None or (found.state in 'ZX' and len(os.listdir(f'/proc/{pid}/task')) == 1)
    return True


@pytest.fixture
def launcher(server_name, folder):
    each = Launcher(server_name, folder)
    yield each
    each.finish()


# ---- a start that works ------------------------------------------------------------------

def test_the_command_returns_when_it_listens(launcher):
    """Catches a script that goes on too early: the address answers, and the pidfile is there, as
    soon as the command is back (nghttp2#375)."""
    address = launcher.run()
    pid = launcher.pid()
    assert Client(address).echo(b'x') == b'x'
    assert process(pid) is not None
    assert launcher.lines()[0].startswith(f'start pid={pid} ')
    launcher.stop()
    assert launcher.lines()[-1].startswith('stop ')
    assert marked(launcher.folder) == []


def test_it_is_on_its_own(launcher):
    """Catches a server that dies with the terminal's session, keeps a folder from being
    unmounted, or holds what its starter had open."""
    read_end, write_end = os.pipe()
    launcher.run(pass_fds=(write_end,))
    os.close(write_end)
    pid = launcher.pid()
    assert process(pid).session == pid
    assert process(pid).parent != os.getpid()
    assert os.readlink(f'/proc/{pid}/cwd') == '/'
    held = descriptors(pid)
    assert held[0] == held[1] == '/dev/null'
    assert held[2] == str(launcher.log)
    assert os.read(read_end, 1) == b''
    os.close(read_end)


@pytest.mark.parametrize('script', ['out=$("$@" 2>&1) && echo "$out"', '"$@" 2>&1 | cat'],
                         ids=['substitution', 'pipe'])
def test_output_is_let_go_of(launcher, script):
    """Catches $(forkecho -d ...) and ssh that hang, since the server still holds the pipe."""
    command = launcher.command('-d', '-1', '-q', '-P', launcher.pidfile)
    result = subprocess.run(['sh', '-c', script, 'sh', *command], stdin=subprocess.DEVNULL,
                            capture_output=True, text=True, env=launcher.environment,
                            timeout=DEADLINE, check=True)
    assert Client(result.stdout.strip()).echo(b'x') == b'x'
    assert {descriptors(launcher.pid())[number] for number in range(3)} == {'/dev/null'}


def test_names_mean_what_they_meant(launcher):
    """Catches a pidfile or log that lands in / because the server has gone there."""
    with open(launcher.log, 'ab') as log:
        result = subprocess.run(launcher.command('-d', '-1', '-P', 'pid'), stdout=subprocess.PIPE,
                                text=True, stderr=log, cwd=launcher.folder, timeout=DEADLINE,
                                env=launcher.environment, stdin=subprocess.DEVNULL, check=True)
    assert Client(result.stdout.strip()).echo(b'x') == b'x'
    launcher.stop()
    assert not launcher.pidfile.exists()


def test_a_log_beyond_2_gb_goes_on(launcher):
    """Catches a build with files of 32 bits, which cannot ask what standard error is: the server
    says that it has started, and logs to /dev/null."""
    size = 3 << 30
    with open(launcher.log, 'ab') as log:
        log.truncate(size)  # nothing but a hole
    result = launcher.start()
    assert result.returncode == 0
    launcher.stop()
    with open(launcher.log, 'rb') as log:
        log.seek(size)
        lines = log.read().decode().splitlines()
    assert lines[0].startswith('start ') and lines[-1].startswith('stop ')


# ---- a start that fails ------------------------------------------------------------------

def test_a_failure_is_shown(launcher):
    """Catches "started" where nothing runs: the error and the status are those of the server."""
    with socket.create_server(('127.0.0.1', 0)) as taken:
        address = '{}:{}'.format(*taken.getsockname())
        result = launcher.start(listen=address, stderr=subprocess.PIPE)
    assert (result.returncode, result.stdout) == (1, '')
    assert len(result.stderr.splitlines()) == 1 and address in result.stderr
    assert list(launcher.folder.iterdir()) == [launcher.log]
    assert marked(launcher.folder) == []


def test_a_server_that_dies_is_a_failure(launcher):
    """Catches a command that waits for ever, or says 0, when the server is killed on its way."""
    with held_start(launcher) as start:
        os.kill(start.server, signal.SIGKILL)
        assert start.command.wait(DEADLINE) == 1
        assert b'signal 9' in start.command.stderr.read()


class held_start:
    """A start that is held up just before it is ready: its standard output is full."""

    def __init__(self, launcher):
        self.launcher = launcher

    def __enter__(self):
        self.read_end, write_end = os.pipe()
        size = fcntl.fcntl(write_end, fcntl.F_SETPIPE_SZ, 4096)
        os.write(write_end, b'x' * size)
        self.command = subprocess.Popen(
            self.launcher.command('-d', '-1', '-P', self.launcher.pidfile), stdout=write_end,
            stdin=subprocess.DEVNULL, stderr=subprocess.PIPE, env=self.launcher.environment)
        os.close(write_end)
        self.server = eventually(self.waiting_server, 'the server writes its address')
        return self

    def waiting_server(self):
        for each in children(self.command.pid):
            with open(f'/proc/{each.pid}/wchan') as wait:
                if each.state == 'S' and self.launcher.pidfile.exists() and 'pipe' in wait.read():
                    return each.pid
        return None

    def __exit__(self, *_):
        os.close(self.read_end)
        self.command.kill()
        self.command.wait()
        self.command.stderr.close()


@pytest.mark.parametrize('number', [signal.SIGINT, signal.SIGKILL], ids=['INT', 'KILL'])
def test_a_start_that_is_given_up(launcher, number):
    """Catches a server that nobody knows of: whoever started it was interrupted meanwhile."""
    with held_start(launcher) as start:
        start.command.send_signal(number)
        assert start.command.wait(DEADLINE) == -number
        os.read(start.read_end, 4096)
        eventually(lambda: gone(start.server), 'the server has given up')
        assert b'cannot report to the starting command' in start.command.stderr.read()
    assert not launcher.pidfile.exists()


# ---- the pidfile -------------------------------------------------------------------------

@pytest.mark.parametrize('detached', [True, False], ids=['daemon', 'foreground'])
def test_a_second_start_is_refused(launcher, detached):
    """Catches two servers, of which the pidfile names one; and a refusal that breaks the first."""
    address = launcher.run()
    pid = launcher.pid()
    options = ['-d'] if detached else []
    result = subprocess.run(launcher.command(*options, '-P', launcher.pidfile),
                            stdin=subprocess.DEVNULL, capture_output=True, text=True,
                            env=launcher.environment, timeout=DEADLINE, check=False)
    assert (result.returncode, result.stdout) == (1, '')
    assert len(result.stderr.splitlines()) == 1
    assert f'pid {pid} ' in result.stderr and f"'{launcher.pidfile}' (-P)" in result.stderr
    assert launcher.pid() == pid
    assert Client(address).echo(b'x') == b'x'


@pytest.mark.parametrize('content', ['', '1\n', '999999999\n'], ids=['empty', 'init', 'nobody'])
def test_a_stale_file_is_taken_over(launcher, content):
    """Catches a server that cannot start after a crash, or takes a reused pid for itself."""
    launcher.pidfile.write_text(content)
    launcher.run()
    assert process(launcher.pid()) is not None
    launcher.stop()


def test_a_file_may_be_of_after_2038(launcher):
    """Catches a build with times of 32 bits, which cannot ask whose an old pidfile is."""
    launcher.pidfile.write_text('999999999\n')
    os.utime(launcher.pidfile, (1 << 32, 1 << 32))
    launcher.run()
    launcher.stop()


def test_a_killed_server_does_not_stand_in_the_way(launcher):
    """Catches a lock that the children of a killed parent go on holding."""
    client = Client(launcher.run())
    assert client.echo(b'x') == b'x'
    first = launcher.pid()
    launcher.stop(signal.SIGKILL)
    assert launcher.pid() == first
    launcher.run()
    assert launcher.pid() != first
    if launcher.name == 'forkecho':
        assert client.echo(b'still served') == b'still served'


def test_it_is_there_as_long_as_the_server(launcher):
    """Catches a file that goes when the drain begins, while the server still lives."""
    client = Client(launcher.run('-g', '1h'))
    assert client.echo(b'x') == b'x'
    pid = launcher.pid()
    os.kill(pid, signal.SIGTERM)
    eventually(lambda: any(line.startswith('drain ') for line in launcher.lines()), 'it drains')
    assert launcher.pid() == pid
    client.close()
    eventually(lambda: gone(pid), 'the server has ended')
    assert not launcher.pidfile.exists()


@needs_root
@pytest.mark.parametrize('options', [[], ['-u', 'root', '-r', '/proc']],
                         ids=['other-user', 'other-root'])
def test_a_file_that_cannot_be_removed_is_emptied(launcher, options):
    """Catches a pid that stays in the file, and is somebody else's one day; and an empty file
    that is an obstacle."""
    launcher.folder.chmod(0o755)
    for _ in range(2):
        launcher.run(*options)
        launcher.stop()
        assert launcher.pidfile.read_text() == ''


def test_a_file_that_is_no_pidfile_is_left_alone(launcher):
    """Catches -P /etc/passwd."""
    launcher.pidfile.write_text('root:x:0:0\n')
    result = launcher.start(stderr=subprocess.PIPE)
    assert result.returncode == 1
    assert len(result.stderr.splitlines()) == 1 and '(-P)' in result.stderr
    assert launcher.pidfile.read_text() == 'root:x:0:0\n'


@needs_root
@pytest.mark.parametrize('how, problem', [('owner', 'belongs to user 12345'),
                                       ('link', 'has another name as well')])
def test_a_file_that_another_could_write_to_is_not_taken(launcher, how, problem):
    """Catches a pidfile in which somebody else names the process that root will end."""
    launcher.pidfile.write_text('1\n')
    if how == 'owner':
        os.chown(launcher.pidfile, 12345, -1)
    else:
        os.link(launcher.pidfile, f'{launcher.pidfile}.other')
    result = launcher.start(stderr=subprocess.PIPE)
    assert result.returncode == 1
    assert len(result.stderr.splitlines()) == 1 and problem in result.stderr
    assert launcher.pidfile.read_text() == '1\n'


def test_a_reader_that_stands_in_the_way_is_no_server(launcher):
    """Catches a user who may read the file and lock it, and is taken for a running server."""
    launcher.pidfile.touch()
    with open(launcher.pidfile, 'rb') as held:
        fcntl.lockf(held, fcntl.LOCK_SH)
        result = launcher.start(stderr=subprocess.PIPE)
    assert result.returncode == 1
    assert f'pid {os.getpid()} is no server, but holds' in result.stderr
    launcher.run()


def test_the_file_is_read_by_all_and_written_by_one(launcher):
    """Catches a pidfile with which any user could have root kill any process."""
    old = os.umask(0)
    try:
        launcher.run()
    finally:
        os.umask(old)
    assert launcher.pidfile.stat().st_mode & 0o7777 == 0o644


@forks_only
def test_children_do_not_hold_it(launcher):
    """Catches a descriptor of the pidfile in a child: who closes it there is one thing, who
    writes to it another."""
    client = Client(launcher.run())
    assert client.echo(b'x') == b'x'
    [child] = children(launcher.pid())
    assert str(launcher.pidfile) in descriptors(launcher.pid()).values()
    assert str(launcher.pidfile) not in descriptors(child.pid).values()
