"""The programs of examples/program and others of a Debian system, each with its real client: git,
rsync, dbclient, and plain sockets. The same under tcpserver and xinetd, so that whoever comes from
there finds what he had."""
import contextlib
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from daemons import find, free_port, needs_daemon
from harness import (AS_OURSELVES, DEADLINE, TOP, Client, dead, eventually, forks_only, in_time,
                     needs_root, program, run)

pytestmark = forks_only
PROGRAMS = TOP / 'examples' / 'program'
GREET = PROGRAMS / 'greet'


def has_git_daemon():
    if shutil.which('git') is None:
        return False
    where = subprocess.run(['git', '--exec-path'], text=True, capture_output=True, check=True)
    return Path(where.stdout.strip(), 'git-daemon').exists()


needs_git = pytest.mark.skipif(not has_git_daemon(), reason='needs git daemon: run make deps')
needs_rsync = needs_daemon('rsync')
needs_busybox = needs_daemon('busybox')
needs_dropbear = needs_daemon('dropbear')


# ---- who serves --------------------------------------------------------------------------

class Peer:
    """Another's server, with nothing but an address."""

    def __init__(self, started, port):
        started.wait_for(port)
        self.address = f'127.0.0.1:{port}'


def under_forkecho(server, _daemon, _folder, command, options=()):
    return server('-l', '127.0.0.1:0', *options, '--', *command, listen=())


def under_tcpserver(_server, daemon, _folder, command, **_):
    port = free_port()
    return Peer(daemon(find('tcpserver'), '-c', '300', '-b', '300', '-H', '-R', '-l', '0',
                       '127.0.0.1', port, *command), port)


def under_xinetd(_server, daemon, folder, command, **_):
    """Where standard error is the client, whom a log would confuse."""
    command = [word for word in command if word != '--log-destination=stderr']
    port, user = free_port(), subprocess.check_output(['id', '-un'], text=True).strip()
    (folder / 'xinetd.conf').write_text(f'''
        service program
        {{
            type = UNLISTED
            socket_type = stream
            protocol = tcp
            bind = 127.0.0.1
            port = {port}
            user = {user}
            wait = no
            cps = 10000 1
            per_source = UNLIMITED
            server = {shutil.which(command[0])}
            {'server_args = ' + ' '.join(command[1:]) if command[1:] else ''}
        }}''')
    return Peer(daemon(find('xinetd'), '-dontfork', '-f', folder / 'xinetd.conf', '-filelog',
                       folder / 'xinetd.log', '-pidfile', folder / 'xinetd.pid'), port)


@pytest.fixture(params=[under_forkecho,
                        pytest.param(under_tcpserver, marks=needs_daemon('tcpserver')),
                        pytest.param(under_xinetd, marks=needs_daemon('xinetd'))],
                ids=lambda param: param.__name__.removeprefix('under_'))
def served(request, server, daemon, folder):
    """A function that has a program served: its arguments are a command in words without spaces;
    `options` are for forkecho alone. Each of these servers has to do the same for the client."""
    return lambda *command, **options: request.param(server, daemon, folder,
                                                     [str(each) for each in command], **options)


@pytest.fixture
def script(folder):
    """A function that makes a program of some lines of the shell, or of what follows #!."""
    def write(text, name='program'):
        path = folder / name
        path.write_text(text if text.startswith('#!') else f'#!/bin/sh\n{text}\n')
        path.chmod(0o755)
        return path
    return write


# ---- git daemon --------------------------------------------------------------------------

def unit(name):
    """{key: last value} of a unit."""
    text = (PROGRAMS / name).read_text().replace('\\\n', '')
    return dict(re.findall(r'^(\w+)=(.*)$', text, re.M))


def unit_command():
    """The options and the program of git-daemon.service."""
    words = shlex.split(unit('git-daemon.service')['ExecStart'])
    at = words.index('--')
    assert words[0] == '/usr/local/sbin/forkecho'
    return words[1:at], words[at + 1:]


def git_command(folder):
    return [word.replace('/srv/git', str(folder)) for word in unit_command()[1]]


def git(folder, *words):
    environment = {name: value for name, value in os.environ.items() if not name.startswith('GIT_')}
    environment |= {'HOME': str(folder), 'GIT_CONFIG_NOSYSTEM': '1'}
    for who in ('AUTHOR', 'COMMITTER'):
        environment |= {f'GIT_{who}_NAME': 'a', f'GIT_{who}_EMAIL': 'a@b'}
    return subprocess.run(['git', *map(str, words)], env=environment, cwd=folder, text=True,
                          capture_output=True, timeout=DEADLINE, check=False)


@pytest.fixture
def repository(folder):
    """The name of a repository in the folder, of which a pack takes more than one buffer."""
    (folder / 'work').mkdir()
    (folder / 'work' / 'data').write_bytes(os.urandom(1 << 20))
    for words in (['init', '-q', '.'], ['add', 'data'], ['commit', '-qm', 'one']):
        done = git(folder / 'work', *words)
        assert done.returncode == 0, done
    assert git(folder, 'clone', '-q', '--bare', 'work', 'a.git').returncode == 0
    return 'a.git'


def clone(folder, address, name):
    shutil.rmtree(folder / 'copy', ignore_errors=True)
    return git(folder, 'clone', '-q', f'git://{address}/{name}', 'copy')


@needs_git
def test_a_repository_is_cloned(served, folder, repository, monkeypatch):
    """Catches a program that does not get all that its client sent, or whose last bytes are lost
    when it ends; words of its log among what the client reads; and, as root's server is another
    user, a unit that git lets read nobody's repositories."""
    for word in shlex.split(unit('git-daemon.service')['Environment']):
        monkeypatch.setenv(*word.split('=', 1))
    srv = served(*git_command(folder))
    done = clone(folder, srv.address, repository)
    assert (done.returncode, done.stdout) == (0, ''), done
    assert (folder / 'copy' / 'data').read_bytes() == (folder / 'work' / 'data').read_bytes()
    done = clone(folder, srv.address, 'nothing.git')
    assert done.returncode == 128 and 'repository not exported' in done.stderr, done


def test_the_unit_agrees_with_itself():
    """Catches a -c or -g that was changed alone: programs would lack processes, or be killed
    before their grace is over."""
    options, _ = unit_command()
    assert run('forkecho', *options, '--help').returncode == 0
    values = dict(zip(options[::2], options[1::2], strict=True))
    settings = unit('git-daemon.service')
    assert int(settings['TasksMax']) >= 4 * int(values['-c'])
    assert int(settings['TimeoutStopSec'].rstrip('s')) >= int(values['-g'].rstrip('s')) + 5
    assert settings['KillMode'] == 'mixed' and settings['OOMPolicy'] == 'continue'
    assert unit('git-daemon.socket')['ListenStream'] == '9418'


# ---- rsync -------------------------------------------------------------------------------

def rsync(*words):
    return subprocess.run(['rsync', *map(str, words)], text=True, capture_output=True,
                          timeout=DEADLINE, check=False)


@needs_rsync
def test_files_are_fetched(served, folder):
    """Catches a program that does not find its client's socket as standard input, and so becomes a
    daemon of its own."""
    (folder / 'pub').mkdir()
    (folder / 'pub' / 'data').write_bytes(os.urandom(1 << 20))
    text = (PROGRAMS / 'rsyncd.conf').read_text().replace('/srv/pub', str(folder / 'pub'))
    (folder / 'rsyncd.conf').write_text(text)
    shown, = re.findall(r'-- (rsync .*)', text)
    srv = served(*shown.replace('/etc', str(folder)).split())
    done = rsync('-a', f'rsync://{srv.address}/pub/', folder / 'copy')
    assert (done.returncode, done.stderr) == (0, ''), done
    assert (folder / 'copy' / 'data').read_bytes() == (folder / 'pub' / 'data').read_bytes()
    done = rsync('-a', folder / 'rsyncd.conf', f'rsync://{srv.address}/pub/')
    assert done.returncode != 0 and 'read only' in done.stderr, done


# ---- others that Debian has --------------------------------------------------------------

@needs_busybox
def test_busybox_httpd(served, folder):
    """Catches a web server of one request that does not get it, or whose answer is cut off."""
    (folder / 'page').write_text('hello' * 100000)
    with Client(served(shutil.which('busybox'), 'httpd', '-i', '-h', folder).address) as client:
        client.sendall(b'GET /page HTTP/1.0\r\n\r\n')
        assert client.receive_all().endswith(b'hello' * 100000)


def test_python(served, script):
    """Catches a line-by-line program on Python's own streams."""
    python = '/usr/bin/python3' if Path('/usr/bin/python3').exists() else sys.executable
    path = script(f'#!{python} -u\nimport sys\nfor line in sys.stdin: print(line[::-1].strip())\n')
    with Client(served(path).address) as client:
        client.sendall(b'olleh\n')
        assert client.receive(6) == b'hello\n'
        client.sendall(b'dlrow\n')
        client.half_close()
        assert client.receive_all() == b'world\n'


@pytest.fixture
def keys(folder):
    """A function that makes a key of dropbear's, and returns its public half."""
    def make(name):
        said = subprocess.run(['dropbearkey', '-t', 'ed25519', '-f', folder / name], text=True,
                              capture_output=True, timeout=DEADLINE, check=True).stdout
        return re.search(r'^ssh-ed25519 .*$', said, re.M)[0]
    return make


@needs_root
@needs_dropbear
def test_dropbear(served, script, folder, keys):
    """Catches a login that is not given: an SSH server that does not take the connection, its log
    in between, or what it starts for the user cut off; the user is one of the test's alone."""
    (folder / 'home' / '.ssh').mkdir(0o700, parents=True)
    (folder / 'home' / '.ssh' / 'authorized_keys').write_text(keys('own'))
    (folder / 'passwd').write_text(f'tester:x:0:0::{folder}/home:/bin/sh\n')
    keys('host')
    path = script(f"exec unshare --mount sh -c 'mount --bind {folder}/passwd /etc/passwd && "
                  f"exec {find('dropbear')} -i -s -r {folder}/host'")
    host, port = served(path, options=AS_OURSELVES).address.rsplit(':', 1)
    data = os.urandom(1 << 20)

    def logs_in(seconds):
        """Now and then, also under xinetd, dropbear has sent all but the exit status, and waits."""
        try:
            done = subprocess.run(['dbclient', '-y', '-y', '-i', folder / 'own', '-p', port,
                                   f'tester@{host}', 'cat && echo "$HOME" >&2 && exit 3'],
                                  input=data, env={**os.environ, 'HOME': str(folder)},
                                  capture_output=True, timeout=seconds, check=False)
        except subprocess.TimeoutExpired:
            return False
        assert (done.returncode, done.stdout) == (3, data), done.stderr
        assert f'{folder}/home\n'.encode() in done.stderr
        return True

    assert in_time(logs_in, 10, 20, DEADLINE)


# ---- a script ----------------------------------------------------------------------------

def test_a_script_greets_counts_and_echoes(served):
    """Catches lines that come only when the program ends, and a half-close that it does not see, or
    that takes its last words."""
    with Client(served(GREET).address) as client:
        said = client.makefile('rb')
        assert said.readline().startswith(b'hello ')
        for number, word in enumerate((b'one', b' two', rb'\3'), 1):
            client.sendall(word + b'\n')
            assert said.readline() == b'%d %s\n' % (number, word)
        client.half_close()
        assert said.read() == b'goodbye: 3 lines\n'


def test_a_script_knows_its_client(server):
    """Catches a program that is told another address, or that of the connection before."""
    srv = server('-l', '127.0.0.1:0', '--', GREET, listen=())
    first = srv.connect(source='127.0.0.2')
    assert first.makefile('rb').readline() == b'hello 127.0.0.2, connection 1 of yours\n'
    second = srv.connect(source='127.0.0.2')
    assert second.makefile('rb').readline() == b'hello 127.0.0.2, connection 2 of yours\n'
    other = srv.connect(source='127.0.0.3')
    assert other.makefile('rb').readline() == b'hello 127.0.0.3, connection 1 of yours\n'


def test_a_script_has_the_last_word_at_a_stop(server):
    """Catches programs that are killed, or forgotten, when the grace of a stop is over: SIGTERM is
    theirs to handle."""
    srv = server('-l', '127.0.0.1:0', '-g', '100ms', '--', GREET, listen=())
    client = srv.connect()
    said = client.makefile('rb')
    said.readline()
    client.sendall(b'one\n')
    assert said.readline() == b'1 one\n'
    srv.send_signal(signal.SIGTERM)
    assert said.read() == b'goodbye: 1 lines, and no more time\n'
    assert srv.wait() == 0


# ---- what a client sees of any program ---------------------------------------------------

def test_bytes_and_ends_pass_through(served, script):
    """Catches a server that is between a program and its client: bytes lost, a half-close that
    stays with it, or an end that is not in order."""
    data = os.urandom(1 << 20)
    srv = served(script('exec cat'))
    done = subprocess.run([program('echoclient'), srv.address], input=data, capture_output=True,
                          timeout=DEADLINE, check=False)
    assert (done.returncode, done.stdout) == (0, data), done.stderr


ENDS = {'status': 'exit 3', 'signal': 'kill -9 $$',
        'closes': 'exec 3<"$0.fifo" 0<&- 1>&- 2>&-; read line <&3'}  # and works on


@pytest.mark.parametrize('ends', ENDS.values(), ids=ENDS)
def test_however_a_program_ends_the_client_is_closed_in_order(served, script, ends):
    """Catches a server that keeps a connection of its own for which it has a program: the client
    then waits for an end that never comes, or gets a reset."""
    path = script(f'echo hello; {ends}')
    os.mkfifo(f'{path}.fifo')
    with open(f'{path}.fifo', 'rb+', buffering=0), Client(served(path).address) as client:
        assert client.receive_all() == b'hello\n'


def test_what_a_program_has_started_keeps_the_client(served, script):
    """Catches a server that cuts a connection when the program has ended, and another, which the
    program started, still has it."""
    path = script('read line <"$0.fifo" && echo "$line" & echo hello')
    os.mkfifo(f'{path}.fifo')
    with open(f'{path}.fifo', 'rb+', buffering=0) as fifo, Client(served(path).address) as client:
        assert client.receive(6) == b'hello\n'
        fifo.write(b'later\n')
        assert client.receive_all() == b'later\n'


@pytest.mark.parametrize('trap', ['', "trap '' PIPE;"], ids=['default', 'ignored'])
def test_a_program_ends_when_its_client_has_gone(served, script, folder, trap):
    """Catches programs that are started with SIGPIPE ignored: what does not look at the result of a
    write then goes on for ever; and a write that fails for nobody who ignores it himself."""
    with Client(served(script(f'echo $$ >"$0.pid"; {trap} exec yes')).address) as client:
        assert client.receive(4) == b'y\ny\n'
        pid = int((folder / 'program.pid').read_text())
    eventually(lambda: dead(pid), 'the program has ended')


def test_one_that_never_reads_costs_only_its_own_client(served, script):
    """Catches a server that waits for a program, or reads in its place."""
    path = script('mkdir "$0.first" 2>/dev/null || exec cat; echo slow; read line <"$0.fifo"')
    os.mkfifo(f'{path}.fifo')
    with open(f'{path}.fifo', 'rb+', buffering=0) as fifo:
        srv = served(path)
        with Client(srv.address) as slow:
            assert slow.receive(5) == b'slow\n'
            slow.setblocking(False)
            with contextlib.suppress(BlockingIOError):
                while True:
                    slow.send(b'x' * 65536)
            with Client(srv.address) as quick:
                assert quick.echo(b'now') == b'now'
            fifo.write(b'enough\n')


def test_two_hundred_clients_at_once(served, script):
    """Catches a program that has anything of another client, and a limit that nobody asked for."""
    srv = served(script('exec cat'))
    patience = f'{DEADLINE:.0f}s'  # a full queue of xinetd's has the kernel try again, ever later
    done = run('echoclient', '-c', '-j', '200', '-n', '3', '-t', patience, srv.address, 'hello')
    assert done.returncode == 0, done
