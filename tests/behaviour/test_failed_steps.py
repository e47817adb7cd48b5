"""Each step of a start, and of an upgrade, that the system refuses: one line says which, and
nothing goes on half done. strace(1) makes the system call fail, or lie that it was done."""
import fcntl
import os
import re
import resource
import shutil
import signal
import socket
import struct
import subprocess
import sys
from pathlib import Path

import pytest

from harness import (BUILD, DEADLINE, Client, Server, before_serving, children, descendants,
                     descriptors, eventually, forks_only, marked, needs_ipv6, needs_root, new_user,
                     program, run, run_to_end, with_limit)
from test_bad_start import assert_nothing, attempt

# LeakSanitizer cannot work in a process that is traced.
pytestmark = pytest.mark.skipif(BUILD.name in ('asan', 'tsan'), reason='strace and a sanitizer')
glibc_calls = pytest.mark.skipif(BUILD.name == 'static', reason='the calls are counted for glibc')

FORK = '/^(clone3?|v?fork)$'
PIPE = '/^pipe2?$'
PWRITE = '/^pwrite(64|v2)$'  # musl 1.2.6 has it by the latter
LSTAT = '/^(lstat(64)?|(new)?fstatat(64)?|statx)$'


def injection(calls, outcome):
    """Options of strace(1) with which `calls`, the name of one or a pattern, come out otherwise. Some
    systems have another number of a call for wider arguments, and it ends in their size."""
    calls = calls if calls.startswith('/') else f'/^{calls}(32|64|_time64)?$'
    return ['-e', f'trace={calls}', '-e', f'inject={calls}:{outcome}', '-o', '/dev/null']


def inject(calls, outcome, *paths):
    """A command that runs another in which they do, on `paths` alone if given."""
    return ['strace', '-f', '-qq', *injection(calls, outcome),
            *(word for path in paths for word in ('-P', str(path)))]


def test_a_trial_in_vain_leaves_nothing_behind(folder):
    """Catches a server that a test has started under strace and leaves: the strace is killed, what
    it traced goes on without it."""
    command = [*inject('chroot', 'error=EPERM'), program('forkecho'), '-l', str(folder / 's')]
    with pytest.raises(subprocess.TimeoutExpired):
        run_to_end(command, mark=str(folder), deadline=1)
    assert marked(folder) == []


# The calls and what they come out as; options; what the one line has to say.
IDENTITY = {
    'groups': ('setgroups', 'error=EPERM', [], 'cannot give up the supplementary groups (-u nobody'),
    'group': ('setgid', 'error=EPERM', [], 'cannot change the group (-u nobody'),
    'user': ('setuid', 'error=EAGAIN', [], 'cannot change the user (-u nobody'),
    'root': ('chroot', 'error=EPERM', ['-r', '/'], "cannot make '/' the root (-r)"),
    'user-lie': ('setuid', 'retval=0', [], "did not become 'nobody' (-u)"),
    'groups-lie': ('setgroups', 'retval=0', [], "other groups than that of 'nobody' (-u)"),
    'group-back': ('setresgid', 'retval=0', [], 'could still take the group of root again'),
    'user-back': ('setresuid', 'retval=0', [], 'could still become root again'),
    'groups-back': ('setgroups', 'retval=0:when=2', [], 'could still change its supplementary'),
    'root-back': ('chroot', 'retval=0', [], 'could still change its root'),
}
SYSTEM = {
    'detach-pipe': (PIPE, 'error=EMFILE', ['-d'], 'cannot detach (-d): pipe'),
    'detach-fork': (FORK, 'error=EAGAIN', ['-d'], 'cannot detach (-d): fork'),
    'ledger': (PIPE, 'error=EMFILE', [], 'cannot set up the ledger'),
    'socket': ('socket', 'error=EMFILE', [], 'cannot listen on '),
    'option': ('setsockopt', 'error=ENOBUFS', ['-l', '127.0.0.1:0'], 'cannot listen on '),
    'bind': ('bind', 'error=ENOSPC', [], 'cannot listen on '),
    'listen': ('listen', 'error=EADDRINUSE', [], 'cannot listen on '),
}


@before_serving
@needs_root
@pytest.mark.parametrize('case', IDENTITY)
def test_a_server_that_cannot_change_is_not_one(server_name, folder, case):
    """Catches a server that goes on as root where a step of giving that up fails, or a system
    that says it was done and did not: each is seen and logged, and what was bound is removed."""
    calls, outcome, options, named = IDENTITY[case]
    (folder / 'file').write_text('not a pid\n')
    result = attempt(server_name, folder, '-l', str(folder / 's'), '-P', str(folder / 'pid'),
                     *options, wrap=inject(calls, outcome), extra_groups=[4242])
    assert_nothing(result, 1, server_name, folder, named)


@forks_only
@pytest.mark.parametrize('case', SYSTEM)
def test_a_server_that_is_refused_what_it_needs(server_name, folder, case):
    """Catches a failure that is passed over, logged twice or as another's, or found out after
    something is left in the way of the next start."""
    calls, outcome, options, named = SYSTEM[case]
    (folder / 'file').write_text('not a pid\n')
    result = attempt(server_name, folder, '-l', str(folder / 's'), '-P', str(folder / 'pid'),
                     *options, wrap=inject(calls, outcome))
    assert_nothing(result, 1, server_name, folder, named)


@forks_only
def test_without_the_null_device(server_name, folder):
    """Catches standard descriptors that stay closed, so that a socket becomes one of them."""
    (folder / 'file').write_text('not a pid\n')
    result = attempt(server_name, folder, '-l', str(folder / 's'),
                     wrap=[*inject('/^open(at)?$', 'error=EMFILE', '/dev/null'),
                           'sh', '-c', 'exec "$@" <&-', 'sh'])
    assert_nothing(result, 1, server_name, folder, 'cannot open /dev/null')


@forks_only
@pytest.mark.parametrize('calls, outcome', [('/^open(at)?$', 'error=EMFILE'), ('setgroups', 'error=EPERM')])
@needs_root
def test_the_one_client_of_inetd_is_let_go(server_name, calls, outcome):
    """Catches -i that serves a client with less than it should have given up."""
    ours, its = socket.socketpair()
    with ours, its:
        paths = ['/dev/null'] if 'open' in calls else []
        result = run_to_end([*inject(calls, outcome, *paths), program(server_name), '-i'],
                            stdin=its, stdout=None)
        its.close()
        assert result.returncode == 1
        assert len(result.stderr.splitlines()) == 1, result.stderr
        assert ours.recv(1) == b''


@needs_root
@forks_only
@glibc_calls
@pytest.mark.parametrize('error, options, named', [
    ('EMFILE', ['-u', 'daemon'], "cannot look up the user 'daemon' (-u): Too many open files"),
    ('ENOENT', [], "there is no user 'nobody' to become")])
def test_without_the_list_of_users(server_name, folder, error, options, named):
    """Catches a user that cannot be looked up now and is reported not to exist, and root that stays
    root where there is nobody else."""
    (folder / 'file').write_text('not a pid\n')
    result = attempt(server_name, folder, *options, '-l', str(folder / 's'),
                     wrap=inject('/^open(at)?$', f'error={error}', '/etc/passwd',
                                 '/etc/nsswitch.conf'))
    assert_nothing(result, 1, server_name, folder, named)


def test_without_memory_for_the_connections(server_name, folder):
    """Catches a table that is believed to be there (-c a million, and 64 MB to have)."""
    (folder / 'file').write_text('not a pid\n')
    room = 64 << 20
    result = attempt(server_name, folder, '-c', '1000000', '-l', str(folder / 's'), preexec_fn=lambda:
                     resource.setrlimit(resource.RLIMIT_AS, (room, room)))
    bounded = server_name in ('iterecho', 'selectecho')
    status, named = (2, "'1000000' is more than") if bounded else \
        (1, 'no memory for 1000000 connections (-c)')
    assert_nothing(result, status, server_name, folder, named)


@before_serving
@pytest.mark.parametrize('status, option', [(1, '-l'), (2, '-c')])
def test_what_a_message_quotes_is_one_line(server_name, folder, status, option):
    """Catches a line of the log that somebody else has written: by a line feed in a name."""
    (folder / 'file').write_text('not a pid\n')
    result = attempt(server_name, folder, option, 'a\nstop\033[2J.invalid:0')
    assert_nothing(result, status, server_name, folder, 'a?stop?[2J.invalid')


# ---- the pidfile -------------------------------------------------------------------------

PIDFILE = {
    'no-locks': ('fcntl', 'error=ENOLCK', 'cannot lock the pidfile'),
    'disk-full': (PWRITE, 'error=ENOSPC', 'cannot write the pidfile'),
    'short-write': (PWRITE, 'retval=1', 'cannot write the pidfile'),
}


@forks_only
@pytest.mark.parametrize('case', PIDFILE)
def test_a_pidfile_that_cannot_be_had(server_name, folder, case):
    """Catches a server that runs without the lock it was asked to hold, or leaves half a pid."""
    calls, outcome, named = PIDFILE[case]
    (folder / 'pid').touch()
    result = attempt(server_name, folder, '-l', str(folder / 's'), '-P', str(folder / 'pid'),
                     wrap=inject(calls, outcome, folder / 'pid'))
    assert (result.returncode, len(result.stderr.splitlines())) == (1, 1), result
    assert named in result.stderr
    assert not (folder / 's').exists()
    assert not (folder / 'pid').exists() or (folder / 'pid').read_text() == ''


@forks_only
def test_a_pidfile_that_others_keep_replacing(server_name, folder):
    """Catches an endless race for the lock of a file that is removed each time."""
    # By a name that an open descriptor does not have, so that only what names the file fails: a
    # libc may make lstat and fstat of one call, or of two.
    (folder / 'here').symlink_to(folder)
    path = folder / 'here' / 'pid'
    result = attempt(server_name, folder, '-l', str(folder / 's'), '-P', str(path),
                     wrap=inject(LSTAT, 'error=ENOENT', path))
    assert (result.returncode, len(result.stderr.splitlines())) == (1, 1), result
    assert 'others keep replacing it' in result.stderr


@forks_only
def test_a_pidfile_that_stays_is_told(server_name, folder):
    """Catches a pid that is left in the file of a server that has gone, without a word."""
    result = attempt(server_name, folder, '-l', str(folder / 'missing/s'), '-P',
                     str(folder / 'pid'), wrap=[
                         *inject('ftruncate', 'error=EIO:when=2', folder / 'pid'), '-e',
                         'trace=/^(ftruncate|unlink)', '-e', 'inject=unlink:error=EROFS'])
    assert result.returncode == 1
    assert 'cannot remove or empty the pidfile' in result.stderr.splitlines()[-1]


@forks_only
def test_a_pidfile_that_nobody_in_sight_holds(server_name, folder):
    """Catches a pid that is made up where the lock has none (an open file description's, as
    another machine's), and the file is empty."""
    with open(folder / 'pid', 'w', encoding='ascii') as held:
        fcntl.fcntl(held, 37, struct.pack('hhqqi4x', fcntl.F_WRLCK, 0, 0, 0, 0))  # F_OFD_SETLK
        result = attempt(server_name, folder, '-l', str(folder / 's'), '-P', str(folder / 'pid'))
    assert result.returncode == 1
    assert 'another process holds' in result.stderr


# ---- what need not fail ------------------------------------------------------------------

@forks_only
@needs_root
@needs_ipv6
def test_a_family_that_is_missing_is_done_without(server, folder):
    """Catches a name with IPv6 and IPv4 that is not served where one of them cannot be had."""
    hosts, path = folder / 'hosts', folder / 's'
    hosts.write_text('127.0.0.1 both.test\n::1 both.test\n')
    without = ['unshare', '--net', '--mount', 'sh', '-c',
               'ip link set lo up && echo 1 >/proc/sys/net/ipv6/conf/all/disable_ipv6 && '
               'mount --bind "$1" /etc/hosts && shift && exec "$@"', 'sh', str(hosts)]
    srv = server(listen=['both.test:0', path], wrap=without)
    assert [address.split(':')[0] for address in srv.addresses] == ['127.0.0.1', str(path)]
    assert srv.connect(str(path)).echo(b'x') == b'x'


class TracedServer(Server):
    """A server that is a child of strace(1)."""

    @property
    def pid(self):
        found = [int(child) for child in Path(
            f'/proc/{self.process.pid}/task/{self.process.pid}/children').read_text().split()]
        return found[0]


WITH_OPEN = '''
import os, sys
for number in sys.argv[1].split(','):
    os.dup2(0, int(number))
os.execv(sys.argv[2], sys.argv[2:])
'''
# Whoever asks for a limit reads 2^20, soft and hard.
A_MILLION = f"prlimit64:poke_exit=@arg4={struct.pack('=2Q', 1 << 20, 1 << 20).hex()}"
WITHOUT_PROC = ['unshare', '--mount', 'sh', '-c', 'mount -t tmpfs none /proc && exec "$@"', 'sh']


@needs_root
@forks_only
@pytest.mark.parametrize('without_proc', [False, True], ids=['proc', 'no-proc'])
def test_descriptors_are_closed_without_a_call_for_each_number(server, folder, without_proc):
    """Catches a start, and each child, that calls close for every number up to the limit, of which
    containers have a thousand million, where close_range is forbidden (moby/moby#38814,
    containers/crun#672); and a descriptor that is left open by what is done in its place."""
    limit = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    numbers = [100, 4000] if without_proc else [100, 4000, limit - 1]
    srv = server(kind=TracedServer,
                 wrap=['strace', '-f', '-qq', '-o', folder / 'trace',
                       '-e', 'trace=close,close_range,prlimit64', '-e', f'inject={A_MILLION}',
                       '-e', 'inject=close_range:error=EPERM',
                       *WITHOUT_PROC * without_proc,
                       sys.executable, '-c', WITH_OPEN, ','.join(map(str, numbers))])
    client = srv.connect()
    assert client.echo(b'x') == b'x'
    child, = children(srv.pid)
    assert sorted(descriptors(child.pid)) == [0, 1, 2, 3, 4]
    assert max(descriptors(srv.pid)) < 100
    calls = (folder / 'trace').read_text().count(' close(')
    assert calls < (3 * 4096 if without_proc else 500)  # of Python as well


# Where a start is held up: the call, and whether a socket file of an earlier server is in the way.
HELD_UP = {'before it listens': ('bind', False), 'before it removes a file': ('connect', True)}


@before_serving
@needs_root
@pytest.mark.parametrize('case', HELD_UP)
def test_of_two_that_start_on_one_path_one_serves(server_name, folder, case):
    """Catches a server that takes another for one that has gone, since it does not listen yet, or
    that removes a socket which has come since it looked: the other is unreachable, and both have
    said that they serve (mpiton/tauri-pilot#195, redis/redis#15537)."""
    calls, stale = HELD_UP[case]
    path, trace = folder / 's', folder / 'trace'
    if stale:
        with socket.socket(socket.AF_UNIX) as earlier:
            earlier.bind(str(path))
        path.chmod(0o666)
    user = new_user()  # root would first connect to nscd, to ask for the user that it is to become
    command = ['strace', '-f', '-qq', '-o', trace, '-e', f'inject={calls}:signal=SIGSTOP:when=1',
               shutil.copy(program(server_name), folder / 'program'), '-1', '-l', path]
    with subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                          user=user, group=user, extra_groups=[]) as first:
        try:
            pid = int(eventually(lambda: trace.exists() and re.search(
                r'^(\d+) +--- stopped by SIGSTOP', trace.read_text(), re.M), 'it stops')[1])
            other = run(server_name, '-l', str(path))
            os.kill(pid, signal.SIGCONT)
            assert first.stdout.read() == f'{path}\n'.encode()
            with Client(str(path)) as client:
                assert client.echo(b'x') == b'x'
            os.kill(pid, signal.SIGQUIT)
            first.wait(DEADLINE)
        finally:
            for each in descendants(first.pid) if first.poll() is None else ():
                os.kill(each.pid, signal.SIGKILL)
    assert (other.returncode, len(other.stderr.splitlines())) == (1, 1), other
    assert re.search(f'cannot listen on {path} .*Address (already )?in use', other.stderr)
    assert {each.name for each in folder.iterdir()} == {'program', 'trace'}


@needs_root
@forks_only
def test_without_syslog_standard_error_is_the_log(server):
    """Catches lines that go nowhere where no socket to syslogd(8) can be had."""
    srv = server('-s', 'daemon', kind=TracedServer, as_user=new_user(),
                 wrap=inject('socket', 'error=EMFILE:when=1'))
    srv.wait_line(r'cannot log to syslogd \(-s\)')
    srv.wait_line('^start ')


@forks_only
@pytest.mark.parametrize('calls, outcome, named', [
    ('/^accept4?$', 'error=ECONNABORTED:when=1..200', 'accept'),
    ('pselect6', 'error=ENOMEM:when=4..7', 'the wait failed')])
def test_a_loop_whose_call_fails_goes_on(server, calls, outcome, named):
    """Catches a server that ends, or spins, where a client has gone before it was accepted, again
    and again, or the wait itself fails: it says so, and the next client is served."""
    srv = server(kind=TracedServer, wrap=inject(calls, outcome))
    for _ in range(3):
        assert srv.connect().echo(b'x') == b'x'
    srv.wait_line(f'^{srv.name}: .*{named}')
    assert len(srv.find(f'^{srv.name}: ')) <= 2


# ---- the client --------------------------------------------------------------------------

@forks_only
def test_a_parallel_client_that_cannot_be_started(server):
    """Catches clients that are waited for and were never there."""
    srv = server()
    result = run_to_end([*inject(FORK, 'error=EAGAIN:when=3'), program('echoclient'), '-j', '4',
                         srv.address, 'hello'])
    assert 'cannot start client 3 of 4: Resource temporarily unavailable' in result.stderr
    assert (result.returncode, result.stdout) == (1, 'hello\n' * 2)


@forks_only
def test_a_parallel_client_that_is_killed(server):
    """Catches a client that came to nothing and is taken for one that succeeded."""
    srv = server()
    result = run_to_end([*inject('connect', 'signal=KILL'), program('echoclient'), '-j', '2',
                         srv.address, 'hello'])
    assert 'client 1 was ended by signal 9' in result.stderr
    assert result.returncode != 0


@forks_only
@pytest.mark.parametrize('first', [1, 2])
@pytest.mark.parametrize('options', [['hello'], [], ['-j', '2', 'hello']])
def test_a_client_that_cannot_wait(server, options, first):
    """Catches a client that spins, or ends as if all was well, where poll fails."""
    srv = server()
    result = run_to_end([*inject('/^p?poll', f'error=ENOMEM:when={first}+'), program('echoclient'),
                         *options[:-1], srv.address, *options[-1:]])
    assert 'Cannot allocate memory' in result.stderr
    assert result.returncode not in (0, -9)


def load(address, *options, wrap=()):
    """The figures of a run of echoload: {name: the first number}."""
    done = run_to_end([*wrap, program('echoload'), *options, address])
    assert done.stdout, done
    return dict(re.findall(r'^(\S+) +(\S+)', done.stdout, re.M))


@forks_only
@with_limit(0.5, 5)
def test_a_load_waits_for_a_free_port(server, limit):
    """Catches connections that are counted as the server's failures while the machine of the load
    has no port left, and ones that are never tried again."""
    found = load(server().address, 'connect', '-c', '3', '-d', f'{limit}s',
                 wrap=inject('connect', 'error=EADDRNOTAVAIL:when=3..6'))
    assert found['failed'] == '0' and int(found['count']) > 0, found


def test_a_load_gives_up_a_server_that_does_not_answer():
    """Catches thousands of connections that are opened one after the other, each with a timeout of
    its own, although nobody answers: those that were not tried have failed as well."""
    with socket.create_server(('127.0.0.1', 0), backlog=1000) as silent:
        found = load('127.0.0.1:%d' % silent.getsockname()[1], '-H', '500', '-t', '300ms',
                     '-d', '100ms', 'connect')
    assert found['held-failed'] == '500', found


@forks_only
@with_limit(0.2, 2, 20)
def test_a_load_says_that_what_it_held_is_lost(server, limit):
    """Catches figures beside connections that were not there any more."""
    held = ['-H', '5', '-d', f'{3 * limit}s']
    found = load(server('-T', f'{limit}s', '-c', '100').address, *held, 'ping')
    assert found['held-lost'] == '5', found


# ---- upgrades ----------------------------------------------------------------------------

UPGRADE = {
    'exec': ('execve', 'error=ENOEXEC', 'Exec format error'),
    'state': ('ftruncate', 'error=ENOSPC:when=2', 'No space left'),
}


@forks_only
@pytest.mark.parametrize('case', UPGRADE)
def test_an_upgrade_that_fails_at_the_last_step(server, folder, case):
    """Catches a server that is lost, or keeps descriptors, when the new program has passed its test
    and yet cannot take over: it serves on, and the next upgrade succeeds."""
    calls, outcome, why = UPGRADE[case]
    srv = server(copy=True)
    client = srv.connect()
    assert client.echo(b'x') == b'x'
    before = srv.descriptors()
    with open(folder / 'trace', 'w', encoding='ascii') as trace:
        tracer = subprocess.Popen(['strace', *injection(calls, outcome), '-p', str(srv.pid)],
                                  stderr=trace)
    status = Path(f'/proc/{srv.pid}/status')
    eventually(lambda: re.search(r'TracerPid:\t[1-9]', status.read_text()), 'strace is there')
    srv.send_signal(signal.SIGHUP)
    assert why in srv.wait_line(r'cannot|upgrade.*(fail|refuse)').line
    tracer.terminate()
    tracer.wait()
    assert client.echo(b'y') == b'y'
    assert srv.descriptors() == before
    mark = srv.mark()
    srv.send_signal(signal.SIGHUP)
    srv.wait_line('^takeover ', after=mark)
    assert client.echo(b'z') == b'z'


PLACELESS = 'import os, sys; os.execv(sys.argv[1], ["forkecho-nowhere", *sys.argv[2:]])'


@forks_only
def test_a_program_whose_place_is_unknown_is_not_upgraded(server):
    """Catches a program of the same name elsewhere that is taken for it."""
    srv = server(wrap=[sys.executable, '-c', PLACELESS])
    srv.send_signal(signal.SIGHUP)
    assert 'start it by its path' in srv.wait_line('start it by its path').line
    assert srv.connect().echo(b'x') == b'x'
