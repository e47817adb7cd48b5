"""The init script of examples/init: every action in every state, under each shell there is."""
import contextlib
import os
import re
import shutil
import signal
import socket
import subprocess

import pytest

from harness import DEADLINE, TOP, Client, dead, eventually, needs_root, process, program

pytestmark = needs_root
SCRIPT = TOP / 'examples' / 'init' / 'forkecho'
SHELLS = [words for words in (['sh'], ['bash', '--posix'], ['dash'], ['busybox', 'sh'])
          if shutil.which(words[0])]

ACTIONS = ['start', 'stop', 'restart', 'try-restart', 'reload', 'force-reload', 'status']
# The exit status of each action, in that order.
STATES = {
    'stopped': [0, 0, 0, 0, 7, 7, 3],
    'running': [0, 0, 0, 0, 0, 0, 0],
    'dead': [0, 0, 0, 0, 7, 7, 1],
    'empty': [0, 0, 0, 0, 7, 7, 3],
    'foreign': [0, 0, 0, 0, 7, 7, 1],
    'missing': [5, 0, 5, 0, 5, 7, 3],
}


class Service:
    """The script with a server of the test's own, in the test's folder."""

    def __init__(self, folder, shell=('sh',), options='-u root'):
        self.folder = folder
        self.shell = shell
        self.script = shutil.copy(SCRIPT, folder)  # other users may have no way into the checkout
        self.address = f'{folder}/echo'
        self.pidfile = folder / 'pid'
        self.bystander = None
        self.settings = folder / 'settings'
        self.set(FORKECHO=program('forkecho'), PIDFILE=self.pidfile, STOP_SECONDS=DEADLINE,
                 FORKECHO_OPTIONS=f'-l {self.address} {options}')

    def set(self, **values):
        with self.settings.open('a') as file:
            for key, value in values.items():
                text = str(int(value)) if key == 'STOP_SECONDS' else str(value)
                file.write(f"{key}='{text}'\n")

    def run(self, *words, wrap=()):
        return subprocess.run([*wrap, *self.shell, self.script, *words], text=True, check=False,
                              stdin=subprocess.DEVNULL, capture_output=True, timeout=2 * DEADLINE,
                              env={**os.environ, 'FORKECHO_SETTINGS': str(self.settings)})

    def does(self, *words, **options):
        return self.run(*words, **options).returncode

    @property
    def pid(self):
        text = self.pidfile.read_text() if self.pidfile.exists() else ''
        return int(text) if text.strip() else None

    def serves(self):
        try:
            with Client(self.address) as client:
                return client.echo(b'hello') == b'hello'
        except OSError:
            return False

    def bring(self, state):
        """Brings about a state that the script may find."""
        if state in ('running', 'dead'):
            assert self.does('start') == 0
        if state == 'dead':
            pid = self.pid
            os.kill(pid, signal.SIGKILL)
            eventually(lambda: dead(pid), 'the server is dead')
            self.pidfile.write_text(f'{pid}\n')
        if state == 'empty':
            self.pidfile.write_text('')
        if state == 'foreign':
            self.bystander = subprocess.Popen(['sleep', '1000'])
            self.pidfile.write_text(f'{self.bystander.pid}\n')
        if state == 'missing':
            self.set(FORKECHO=self.folder / 'nothing')

    def finish(self):
        if self.bystander:
            alive = self.bystander.poll() is None
            self.bystander.kill()
            self.bystander.wait()
            assert alive, 'the script has ended a process that is not its own'
        pid = self.pid
        if pid and process(pid) and 'forkecho' in open(f'/proc/{pid}/stat').read():
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
            eventually(lambda: dead(pid), 'the server is gone')


@pytest.fixture
def service(folder):
    """A function that makes a Service."""
    made = []

    def make(*words, **options):
        made.append(Service(folder, *words, **options))
        return made[-1]

    yield make
    for each in made:
        each.finish()


@pytest.fixture(params=SHELLS, ids=lambda words: words[0])
def shell(request):
    return request.param


# ---- every action in every state ---------------------------------------------------------

def test_a_file_that_holds_no_pid_is_left_alone(service, folder):
    """Catches a stop that removes what no server has made, because a setting is wrong."""
    subject = service()
    subject.set(PIDFILE=folder / 'letter')
    (folder / 'letter').write_text('Dear reader,\n')
    assert subject.does('stop') == 0
    assert subject.does('status') == 3
    assert (folder / 'letter').read_text() == 'Dear reader,\n'


def test_a_script_may_stand_in_for_the_program(service, folder):
    """Catches a server that is given up, and its pidfile removed, since it is not called what the
    script is that has executed it."""
    script = folder / 'wrapped'
    script.write_text(f'#!/bin/sh\nexec {program("forkecho")} "$@"\n')
    script.chmod(0o755)
    subject = service()
    subject.set(FORKECHO=script)
    assert subject.does('start') == 0
    pid = subject.pid
    assert (subject.does('status'), subject.does('start'), subject.pid) == (0, 0, pid)
    assert subject.does('stop') == 0
    assert dead(pid) and not subject.pidfile.exists()


@pytest.mark.parametrize('state', STATES)
@pytest.mark.parametrize('action', ACTIONS)
def test_exit_status(service, shell, state, action):
    """Catches a status that the Linux Standard Base has another meaning for, a pid file that is
    empty, stale or of somebody else being taken for a server, and a server that is not then
    what the action says."""
    subject = service(shell)
    subject.bring(state)
    before = subject.pid if state == 'running' else None
    done = subject.run(action)
    assert done.returncode == STATES[state][ACTIONS.index(action)], done
    runs = action in ('start', 'restart') and state != 'missing' or \
        action != 'stop' and state == 'running'
    assert subject.serves() == runs
    assert subject.does('status') == (0 if runs else STATES[state][-1] if action != 'stop' else 3)
    if before:
        same = action in ('start', 'reload', 'status')
        assert (subject.pid == before) == same


def test_usage(service, shell):
    """Catches a script that takes a typing error for an action, or no action for one."""
    subject = service(shell)
    assert subject.does() == 2
    assert subject.does('start', 'now') == 2
    assert subject.does('frobnicate') == 3
    assert 'try-restart' in subject.run().stderr
    assert not subject.pidfile.exists()


def test_without_privilege(service, shell):
    """Catches a user who is told that a start failed, and not that it is not for him; a status
    is for everybody."""
    subject = service(shell)
    subject.bring('running')
    nobody = ['setpriv', '--reuid=65534', '--regid=65534', '--clear-groups']
    for action in ACTIONS:
        expected = 0 if action == 'status' else 4
        assert subject.does(action, wrap=nobody) == expected, action
    assert subject.serves()


@pytest.mark.parametrize('hidepid, who, refused', [
    ('invisible', '--reuid=65533 --regid=65533 --clear-groups', 4),
    ('ptraceable', '--bounding-set=-sys_ptrace', 1)], ids=['ordinary', 'contained'])
def test_where_proc_hides_the_server_nothing_is_guessed(service, folder, shell, hidepid, who,
                                                        refused):
    """Catches a server that "has died", whose pidfile is then removed, because /proc does not show
    other users' processes to an ordinary user, or to root in a container. wazuh/wazuh#4630 had
    that."""
    subject = service(shell, options='')  # it becomes nobody
    subject.folder.chmod(0o755)
    actions = [action for action in ACTIONS if action not in ('start', 'status')]
    script = ' '.join([*shell, subject.script])
    (folder / 'trial').write_text(f"""
        mount -t proc -o hidepid={hidepid} proc /proc || exit 77
        {script} start >{folder}/err || exit 1
        read -r pid <{subject.pidfile}
        set -- setpriv {who} {script}
        "$@" status; echo status $?
        for action in {' '.join(actions)}; do "$@" $action 2>&1; echo $action $?; done
        [ "$(cat {subject.pidfile})" = "$pid" ] && {script} status; echo runs $?
        kill -KILL "$pid" || exit
        until {script} status | grep died; do :; done
        "$@" status; echo status $?
    """)
    done = subprocess.run(['unshare', '--mount', '--pid', '--fork', '--kill-child', 'sh',
                           folder / 'trial'], text=True, capture_output=True, check=False,
                          stdin=subprocess.DEVNULL, timeout=2 * DEADLINE,
                          env={**os.environ, 'FORKECHO_SETTINGS': str(subject.settings)})
    subject.pidfile.unlink()  # its number is of a namespace that is gone
    if done.returncode == 77:
        pytest.skip('needs hidepid= for one mount of /proc, Linux 5.8')
    found = re.findall(r'^([a-z-]+) (\d+)$', done.stdout, re.M)
    assert found == [('status', '4'), *((action, f'{refused}') for action in actions),
                     ('runs', '0'), ('status', '1')], done


def test_a_pidfile_in_a_closed_folder_is_unknown(service, folder, shell):
    """Catches a server that runs and is called stopped, since its pidfile is where an ordinary
    user may not look; and a folder that is made at the first start being called unknown."""
    subject = service(shell)
    closed = folder / 'closed'
    subject.set(PIDFILE=closed / 'below' / 'pid')
    nobody = ['setpriv', '--reuid=65534', '--regid=65534', '--clear-groups']
    assert subject.does('status', wrap=nobody) == 3
    (closed / 'below').mkdir(parents=True)
    assert subject.does('status', wrap=nobody) == 3
    closed.chmod(0o700)
    assert (subject.does('status', wrap=nobody), subject.does('status')) == (4, 3)


@pytest.mark.skipif(not os.path.exists('/lib/lsb/init-functions.d/40-systemd'),
                    reason="needs Debian's init-functions, and systemd's part of them")
def test_a_systemd_that_knows_no_unit_is_not_asked(service, folder):
    """Catches a script that Debian's functions hand to systemctl where, from systemd 260 on, nothing
    makes a unit of it. Only systemctl and what systemd has in /run are not real here."""
    subject = service()
    systemctl = folder / 'systemctl'
    systemctl.write_text('#!/bin/sh\n[ "$2" = LoadState ] && echo not-found || exit 5\n')
    systemctl.chmod(0o755)
    later = ['unshare', '--mount', 'sh', '-c', f"""
        mount -t tmpfs none /run && mkdir -p /run/systemd/system &&
        mount -t tmpfs none /lib/systemd/system-generators &&
        mount --bind {systemctl} "$(command -v systemctl)" &&
        mount -t tmpfs none /etc/init.d && cp {subject.script} /etc/init.d/ &&
        exec /etc/init.d/forkecho "$3" """, 'sh']
    assert [subject.does(action, wrap=later) for action in
            ('status', 'start', 'status', 'reload', 'restart', 'stop', 'status')] == \
        [3, 0, 0, 0, 0, 0, 3]


# ---- starting ----------------------------------------------------------------------------

def test_wrong_options_are_not_configured(service, shell):
    """Catches a start that reports success, or plain failure, for options that nobody can take."""
    subject = service(shell)
    for options in ('-c 0', '--frobnicate', '-G "unbalanced'):
        subject.set(FORKECHO_OPTIONS=options)
        assert subject.does('start') == 6, options
        assert subject.does('status') == 3


def test_a_server_that_cannot_start_fails_and_says_why(service, shell):
    """Catches a start that returns before the server listens."""
    subject = service(shell)
    with socket.socket() as taken:
        taken.bind(('127.0.0.1', 0))
        taken.listen()
        port = taken.getsockname()[1]
        subject.set(FORKECHO_OPTIONS=f'-l 127.0.0.1:{port} -u root')
        done = subject.run('start')
    assert done.returncode == 1 and str(port) in done.stdout + done.stderr
    assert subject.does('status') == 3


def test_options_may_have_blanks_and_stars(service, shell):
    """Catches options that are cut at blanks in quotes, or whose * becomes the files of a
    folder."""
    subject = service(shell)
    subject.set(FORKECHO_OPTIONS=f'-u root -l {subject.address} -m "* %m *"')
    assert subject.does('start') == 0
    with Client(subject.address) as client:
        client.sendall(b'x')
        assert client.receive(5) == b'* x *'


# ---- stopping ----------------------------------------------------------------------------

def test_a_pidfile_that_nobody_could_not_remove_is_none(service, shell):
    """Catches a status 1 after an orderly end: a server that has become nobody can only empty
    its pid file."""
    subject = service(shell, options='')
    assert subject.does('start') == 0
    pid = subject.pid
    os.kill(pid, signal.SIGTERM)
    eventually(lambda: dead(pid), 'the server has ended')
    assert subject.does('status') == 3
    assert subject.does('start') == 0
    assert subject.serves()


def test_a_stop_lets_clients_finish(service, shell):
    """Catches a stop that kills, and one that returns while the server still runs."""
    subject = service(shell)
    subject.bring('running')
    pid = subject.pid
    with Client(subject.address) as client:
        assert client.echo(b'x') == b'x'
        stopping = subprocess.Popen([*shell, subject.script, 'stop'], stdout=subprocess.DEVNULL,
                                    env={**os.environ, 'FORKECHO_SETTINGS': str(subject.settings)})
        eventually(lambda: not subject.serves(), 'the drain has begun')
        assert client.echo(b'y') == b'y'
        assert stopping.poll() is None and not dead(pid)
    assert stopping.wait(DEADLINE) == 0
    assert dead(pid)


def test_a_stop_ends_whom_the_drain_does_not(service, shell):
    """Catches a stop that waits for ever for a client without end."""
    subject = service(shell, options='-u root -g 1h')
    subject.set(STOP_SECONDS=1)
    subject.bring('running')
    pid = subject.pid
    with Client(subject.address) as client:
        assert client.echo(b'x') == b'x'
        assert subject.does('stop') == 0
        assert dead(pid)


def test_reload_keeps_the_process_and_its_clients(service):
    """Catches a reload that restarts, or a signal that ends the server."""
    subject = service()
    subject.bring('running')
    pid = subject.pid
    with Client(subject.address) as client:
        assert client.echo(b'x') == b'x'
        assert subject.does('reload') == 0
        assert client.echo(b'y') == b'y'
        assert subject.serves() and subject.pid == pid
