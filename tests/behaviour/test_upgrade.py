"""SIGHUP: the program on disk takes over in the same process, and no client notices.

The server of each test is a copy in a folder of its own, so that its program can be replaced.
Where a test has to look while an upgrade is under way, Pausing puts a script in its place, which
waits to be told to go on: beside the running server, when it is tested, or in its very process.
"""
import contextlib
import errno
import os
import re
import resource
import shutil
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from harness import (BUILD, CC, DEADLINE, SANITIZERS, UNABLE, children, dead, descriptors,
                     eventually, forks_only, has_ipv6, long, needs_root, new_user, preloads, program,
                     run)
from test_syslog import Syslog, private_dev, visit

# The figure that is to be reached, and what a build that is slow on purpose can do of it.
LOAD = 3000 if UNABLE or BUILD.name in ('asan', 'tsan', 'coverage') else 50000

LATE = 'it did not answer in time'


def hang_up(srv):
    """Asks for an upgrade; returns what to pass as `after`."""
    mark = srv.mark()
    srv.send_signal(signal.SIGHUP)
    return mark


def upgrade(srv):
    """Upgrades a server, and returns the `takeover` line. On a busy machine the program may be given
    up under test, after 10 s, and is tried again; with a defect it is each time."""
    for _ in range(5):
        mark = hang_up(srv)
        srv.wait_line(f'^takeover |{LATE}', after=mark)
        if found := srv.find('^takeover ', after=mark):
            return found[0]
    raise AssertionError(f'no takeover:\n{srv.log()}')


def refusal(srv, after):
    """The one line that says why there was no upgrade."""
    srv.wait_line('cannot upgrade', after=after)
    line, = srv.find(f'^{srv.name}: ', after=after)
    assert line.line.endswith('; the running program goes on')
    return line.line


def replace(srv, source):
    """Puts another program, or the text of one, in the place of the server's, as mv(1) does."""
    new = f'{srv.path}.new'
    if isinstance(source, str) and source.startswith('/'):
        shutil.copy(source, new)
    else:
        Path(new).write_text(source)
        os.chmod(new, 0o755)
    os.rename(new, srv.path)


class Pausing:
    """A program that waits in the roles of `roles`, `test` and `take`, and then is the server."""

    def __init__(self, srv, folder, *roles, options=''):
        self.fifos = {role: folder / role for role in roles}
        for fifo in self.fifos.values():
            os.mkfifo(fifo)
            fifo.chmod(0o666)
        real = folder / 'real'
        shutil.copy(program(srv.name), real)
        waits = ''.join(f'{role}:*) read word < "{fifo}" ;;\n' for role, fifo in self.fifos.items())
        replace(srv, f'#!/bin/sh\ncase $FORKECHO_TAKEOVER in\n{waits}esac\n'
                     f'exec "{real}" "$@" {options}\n')

    def reached(self, role):
        """Waits until it waits in this role, and returns what makes it go on."""
        end = None

        def opened():
            nonlocal end
            with contextlib.suppress(OSError):  # nobody reads yet
                end = os.open(self.fifos[role], os.O_WRONLY | os.O_NONBLOCK)
            return end is not None

        eventually(opened, f'the program waits in the role {role}')

        def go_on():
            os.write(end, b'\n')
            os.close(end)
        return go_on


def beyond_standard(pid):
    return {number: what for number, what in descriptors(pid).items() if number > 2}


def no_zombies(srv):
    eventually(lambda: not [each for each in children(srv.pid) if each.state == 'Z'],
               'all that have ended are reaped')


# ---- what goes on ------------------------------------------------------------------------

def process_user(pid):
    """The effective user of a process."""
    status = Path(f'/proc/{pid}/status').read_text()
    return int(re.search(r'^Uid:\t\d+\t(\d+)', status, re.M)[1])


@forks_only
def test_a_held_client_is_served_across_upgrades(server):
    """Catches an upgrade that cuts a client, or forgets it: its bytes and its end are lost."""
    srv = server(copy=True)
    client = srv.connect()
    assert client.echo(b'before') == b'before'
    child = srv.accepted(client)['pid']
    for number in range(3):
        takeover = upgrade(srv)
        assert (takeover['pid'], takeover['live']) == (str(srv.pid), '1')
        assert client.echo(b'%d' % number) == b'%d' % number
    title = Path(f'/proc/{srv.pid}/cmdline')
    eventually(lambda: title.read_text().startswith(f'forkecho: 1 live of 1024 on {srv.address}'),
               'the new program has a title')
    name = client.address
    client.close()
    end = srv.end_of(name)
    assert (end['pid'], end['in'], end['out'], end['how']) == (child, '9', '9', 'eof')
    status = srv.status()
    assert [status[key] for key in ('live', 'accepted', 'ended', 'in', 'out', 'zombies')] == \
           ['0', '1', '1', '9', '9', '0']


@forks_only
def test_what_was_counted_is_carried_on(server):
    """Catches statistics that begin anew, a peak that is that of the new program, or a start."""
    srv = server('-C', '3', copy=True)
    clients = [srv.connect() for _ in range(3)]
    for client in clients:
        client.echo(b'hello')
    srv.connect().closed_by_server()  # one too many
    name = clients[0].address
    clients[0].close()
    srv.end_of(name)
    before = srv.status()
    upgrade(srv)
    after = srv.status()
    changing = ('oldest', 'uptime')
    assert {key: after[key] for key in after if key not in changing} == \
           {key: before[key] for key in before if key not in changing}
    assert before['peak'] == '3' and before['refused'] == '1'
    assert all(float(after[key]) >= float(before[key]) for key in changing)
    clients[1].close()
    clients[2].close()
    srv.wait_lines('^end ', 3)
    srv.stop(signal.SIGTERM)
    stop = srv.wait_line('^stop ')
    assert (stop['accepted'], stop['ended'], stop['refused'], stop['in']) == ('4', '3', '1', '15')
    assert float(stop['secs']) >= float(after['uptime'])


@forks_only
def test_old_children_count_against_the_cap(server):
    """Catches a new program that knows no old child: it lets in as many again. And a client that
    waited in the backlog, and is refused, or forgotten."""
    srv = server('-c', '2', copy=True)
    old = [srv.connect() for _ in range(2)]
    for client in old:
        client.echo(b'x')
    waiting = srv.connect()
    waiting.sendall(b'wait')
    upgrade(srv)
    late = srv.connect()
    late.sendall(b'late')
    assert srv.status()['accepted'] == '2'
    old[0].close()
    assert waiting.receive(4) == b'wait'
    old[1].close()
    assert late.receive(4) == b'late'
    status = srv.status()
    assert (status['accepted'], status['refused'], status['deferred-cap']) == ('4', '0', '2')


@forks_only
def test_children_above_a_smaller_limit_cost_nothing(server, folder):
    """Catches a new program whose default for -c is less than what is live by the time that it has
    passed its test: it ended over the state, and the service with it."""
    srv = server('-c', '20', copy=True)
    old = [srv.connect() for _ in range(2)]
    pausing = Pausing(srv, folder, 'test', options='-c 3')
    mark = hang_up(srv)
    go_on = pausing.reached('test')
    old += [srv.connect() for _ in range(12)]
    for client in old:
        client.echo(b'x')
    go_on()
    for _ in range(2):  # the second time with more live than may be
        takeover = srv.wait_line('^takeover ', after=mark)
        assert (takeover['live'], takeover['max']) == ('14', '3')
        mark = hang_up(srv)
    srv.wait_line('^takeover ', after=mark)
    waiting = srv.connect()
    waiting.sendall(b'wait')
    for client in old[:11]:
        assert client.echo(b'goes on') == b'goes on'
        name = client.address
        client.close()
        srv.end_of(name)
    status = srv.status()
    assert (status['live'], status['accepted']) == ('3', '14')
    old[11].close()
    assert waiting.receive(4) == b'wait'
    assert srv.status()['deferred-cap'] == '1'


@forks_only
def test_old_children_count_against_their_source(server):
    """Catches a table that has the children and not their sources."""
    srv = server('-C', '1', copy=True)
    old = srv.connect()
    old.echo(b'x')
    upgrade(srv)
    assert srv.connect().closed_by_server() == b''
    assert srv.wait_line('^refuse ')['why'] == 'max-per-source'
    name = old.address
    old.close()
    srv.end_of(name)
    assert srv.connect().echo(b'new') == b'new'


@forks_only
def test_children_that_are_killed_are_reaped(server, folder):
    """Catches a SIGCHLD that the exec lost: a zombie for ever. One child each before the signal,
    while the new program is tested, while the process is neither program, and afterwards."""
    srv = server(copy=True)
    pausing = Pausing(srv, folder, 'test', 'take')
    clients = [srv.connect() for _ in range(5)]
    for client in clients:
        client.echo(b'x')
    pids = [srv.accepted(client).number('pid') for client in clients]
    os.kill(srv.pid, signal.SIGSTOP)
    os.kill(pids[0], signal.SIGKILL)
    mark = hang_up(srv)
    os.kill(srv.pid, signal.SIGCONT)
    go_on = pausing.reached('test')
    os.kill(pids[1], signal.SIGKILL)
    go_on()
    go_on = pausing.reached('take')
    os.kill(pids[2], signal.SIGKILL)
    go_on()
    srv.wait_line('^takeover ', after=mark)
    os.kill(pids[3], signal.SIGKILL)
    ends = srv.wait_lines('^end .*how=signal-9', 4)
    assert sorted(end.number('pid') for end in ends) == sorted(pids[:4])
    no_zombies(srv)
    assert clients[4].echo(b'alive') == b'alive'
    status = srv.status()
    assert (status['live'], status['ended'], status['zombies']) == ('1', '4', '0')


@forks_only
def test_children_that_exit_meanwhile_are_counted(server, folder):
    """Catches records that the old program read and the new one never saw, or that nobody read:
    all children end in the middle of the takeover."""
    srv = server(copy=True)
    pausing = Pausing(srv, folder, 'test', 'take')
    clients = [srv.connect() for _ in range(300)]
    for client in clients:
        assert client.echo(b'hello') == b'hello'
    mark = hang_up(srv)
    go_on = pausing.reached('test')
    for client in clients[:100]:
        client.close()
    go_on()
    go_on = pausing.reached('take')
    for client in clients[100:200]:
        client.close()
    eventually(lambda: len([each for each in children(srv.pid) if each.state == 'Z']) >= 100,
               'they have ended while nobody could handle it')
    go_on()
    srv.wait_line('^takeover ', after=mark)
    for client in clients[200:]:
        client.close()
    ends = srv.wait_lines('^end ', 300)
    assert {(end['in'], end['out'], end['how']) for end in ends} == {('5', '5', 'eof')}
    no_zombies(srv)
    status = srv.status()
    assert [status[key] for key in ('live', 'accepted', 'ended', 'in', 'out')] == \
           ['0', '300', '300', '1500', '1500']


@forks_only
@pytest.mark.parametrize('name', ['pid', 'a\npid'], ids=['', 'newline'])
def test_the_pidfile_stays_locked_by_the_same_pid(server, folder, name):
    """Catches a lock that the exec dropped, so that a second server starts; a file that stays; and
    a name that the state cannot carry: every upgrade was refused."""
    pidfile = folder / name
    srv = server('-P', str(pidfile), copy=True)
    for _ in range(2):
        upgrade(srv)
        assert pidfile.read_text() == f'{srv.pid}\n'
        second = run(srv.name, '-P', str(pidfile), '-l', '127.0.0.1:0')
        assert second.returncode == 1 and f'pid {srv.pid} is running already' in second.stderr
    assert srv.stop(signal.SIGTERM) == 0
    # A server that has become nobody may not remove a file of root's folder: it is emptied.
    assert not pidfile.exists() or pidfile.read_text() == ''


@forks_only
def test_all_listeners_stay(server, folder):
    """Catches a listener that is lost or mixed up with another, and the file of a Unix socket
    that the new program leaves behind."""
    path = folder / 's'
    listen = ['127.0.0.1:0', path, '127.0.0.2:0', *(['[::1]:0'] if has_ipv6() else [])]
    srv = server(copy=True, listen=listen)
    clients = [srv.connect(address) for address in srv.addresses]
    for client in clients:
        client.echo(b'x')
    for _ in range(2):
        assert upgrade(srv)['listen'] == ','.join(srv.addresses)
        for address in srv.addresses:
            assert srv.connect(address).echo(b'new') == b'new'
    for client in clients:
        assert client.echo(b'old') == b'old'
    srv.stop()
    assert not path.exists()


# Listens, and becomes what follows, as the service manager does.
HAND_OVER = """
import os, socket, sys
listener = socket.create_server(('127.0.0.1', 0))
os.dup2(listener.fileno(), 3)
os.set_inheritable(3, True)
os.environ.update(LISTEN_FDS='1', LISTEN_PID=str(os.getpid()))
os.execv(sys.argv[1], sys.argv[1:])
"""


@forks_only
def test_sockets_of_the_service_manager_stay(server):
    """Catches a new program that opens -l anew because it was handed nothing."""
    srv = server(copy=True, wrap=[sys.executable, '-c', HAND_OVER])
    srv.wait_line('^start ')
    mark = srv.mark()
    for _ in range(2):
        assert upgrade(srv)['listen'] == srv.address
        assert srv.connect().echo(b'x') == b'x'
    assert not srv.find('LISTEN_FDS', after=mark)


@forks_only
@needs_root
def test_deferred_and_held_clients_survive(server, folder):
    """Catches a client that was accepted and could not be started, and is lost with the program
    that held it: fork fails from the middle of the test until after the takeover."""
    user = new_user()
    srv = server(as_user=user, limits={resource.RLIMIT_NPROC: 100})
    pausing = Pausing(srv, folder, 'test')

    def allow(processes_of_user):
        subprocess.run(['prlimit', '--pid', str(srv.pid), f'--nproc={processes_of_user}:100'],
                       user=user, group=user, extra_groups=[], check=True)

    first = srv.connect()
    first.echo(b'x')
    mark = hang_up(srv)
    go_on = pausing.reached('test')
    allow(2)
    held, deferred = srv.connect(), srv.connect()
    held.sendall(b'held')
    deferred.sendall(b'deferred')
    srv.wait_line('fork failed')
    go_on()
    takeover = srv.wait_line('^takeover ', after=mark)
    assert takeover['live'] == '1'
    srv.wait_line('fork failed', after=srv.lines.index(takeover.line))
    assert srv.status()['accepted'] == '2'
    allow(100)
    assert held.receive(4) == b'held' and deferred.receive(8) == b'deferred'
    status = srv.status()
    assert (status['live'], status['accepted'], status['refused']) == ('3', '3', '0')


@forks_only
def test_a_child_has_nothing_of_an_upgrade(server, folder):
    """Catches what an upgrade leaves open in children born meanwhile, or after it, and in the
    parent: with each upgrade it would be more."""
    srv = server(copy=True, listen=['127.0.0.1:0', '127.0.0.2:0'])
    before = srv.descriptors()
    pausing = Pausing(srv, folder, 'test')
    hang_up(srv)
    go_on = pausing.reached('test')
    during = srv.connect()
    during.echo(b'x')
    go_on()
    mark = srv.mark()
    srv.wait_line('^takeover ')
    after = srv.connect()
    after.echo(b'x')
    for client in (during, after):
        held = beyond_standard(srv.accepted(client).number('pid'))
        assert sorted(what.split(':')[0] for what in held.values()) == ['pipe', 'socket'], held
    replace(srv, program(srv.name))
    for _ in range(5):
        upgrade(srv)
    eventually(lambda: descriptors(srv.pid) == before, 'the parent has what it had')
    assert not srv.find(f'^{srv.name}: ', after=mark)


@forks_only
@needs_root
def test_syslog_goes_on(server, folder):
    """Catches a new program that logs to standard error, or to a descriptor that was closed."""
    syslog = Syslog(folder / 'log')
    srv = server('-s', 'local3', '-v', copy=True, wrap=private_dev(folder))  # -vv
    syslog.wait('start')
    for _ in range(2):
        srv.send_signal(signal.SIGHUP)
        assert syslog.wait('upgrade')[0] == 19 * 8 + 5
        assert syslog.wait('takeover')[0] == 19 * 8 + 5
        visit(srv)
        lines = []  # the parent's and the child's, in any order but for the end
        while not lines or not lines[-1].startswith('end '):
            lines.append(syslog.line()[1])
        assert any("text='hello'" in line for line in lines if line.startswith('message '))
        assert any(line.startswith('accept ') for line in lines)
    assert srv.lines == []


@forks_only
@needs_root
@pytest.mark.parametrize('limits', [{}, {resource.RLIMIT_NOFILE: 256}], ids=['', 'few descriptors'])
def test_syslog_stays_within_reach(server, folder, limits):
    """Catches a new program that looks for syslogd anew, which in another root it cannot find; and
    one that cannot open a second socket where children keep the first, at the end of few."""
    syslog = Syslog(folder / 'log')
    srv = server('-s', 'local3', '-v', copy=True, wrap=private_dev(folder), limits=limits)  # -vv
    syslog.wait('start')
    os.unlink(folder / 'log')
    for _ in range(2):
        srv.send_signal(signal.SIGHUP)
        syslog.wait('takeover')
    visit(srv)
    syslog.wait('message')
    assert srv.lines == []


@forks_only
def test_messages_are_logged_after_an_upgrade(server):
    """Catches children that can no longer write to the log, or lack memory to compose a line."""
    srv = server(copy=True, verbose='-vv')
    upgrade(srv)
    srv.connect().echo(b'hello')
    assert "text='hello'" in srv.wait_line('^message ').line


# ---- which program -----------------------------------------------------------------------

@forks_only
def test_another_program_takes_over(server):
    """Catches a server that executes what it was started from, although that was replaced."""
    srv = server(copy=True)
    client = srv.connect()
    client.echo(b'x')
    inode = os.stat(f'/proc/{srv.pid}/exe').st_ino
    replace(srv, program(srv.name))
    upgrade(srv)
    assert os.stat(f'/proc/{srv.pid}/exe').st_ino == os.stat(srv.path).st_ino != inode
    assert client.echo(b'goes on') == b'goes on'
    srv.wait_line('^upgrade ')


@forks_only
@pytest.mark.parametrize('how', ['cd "$(dirname "$1")"; shift; exec ./forkecho "$@"',
                                 'PATH=$(dirname "$1"):$PATH; shift; exec forkecho "$@"'],
                         ids=['relative', 'PATH'])
def test_the_program_is_found_by_the_name_it_was_started_by(server, how):
    """Catches a name that only the shell of the start could resolve."""
    srv = server(copy=True, wrap=['sh', '-c', how, 'sh'])
    for _ in range(3):
        upgrade(srv)
        assert srv.wait_lines('^upgrade ', 1)[0]['program'].endswith('/forkecho')


@forks_only
@pytest.mark.parametrize('name', ['echo', '/bin/echo', './echo', ''])
def test_a_program_of_another_name_is_not_executed(server, name):
    """Catches a server that executes what its argument 0 names, which whoever starts it may choose:
    that is another program (OCEAN-xyz/datum_gateway#223)."""
    srv = server(copy=True, wrap=['bash', '-c', f'exec -a "{name}" "$@"', 'bash'])
    client = srv.connect()
    client.echo(b'x')
    why = 'it is not known where this program lies; start it by its path'
    assert why in refusal(srv, hang_up(srv))
    assert client.echo(b'goes on') == b'goes on'


@forks_only
def test_of_all_programs_of_its_name_it_is_the_one_that_runs(server, folder):
    """Catches the first of that name in PATH, where another was started."""
    other = folder / 'forkecho'
    other.symlink_to('/bin/echo')
    srv = server(copy=True, wrap=['bash', '-c', 'PATH=$0:${1%/*}:$PATH; exec -a forkecho "$@"',
                                  str(folder)])
    for _ in range(2):
        upgrade(srv)
        assert srv.wait_line('^upgrade ')['program'] == srv.path


@forks_only
@needs_root
@pytest.mark.skipif(BUILD.name in ('asan', 'tsan'), reason='a sanitizer has its settings from /proc')
def test_it_is_upgraded_without_proc(server):
    """Catches a server that does not know what it runs where there is no /proc, as in a small root."""
    srv = server(copy=True,
                 wrap=['unshare', '-m', 'sh', '-c', 'umount -l /proc && exec "$@"', 'sh'])
    client = srv.connect()
    for number in range(2):
        upgrade(srv)
        assert client.echo(b'%d' % number) == b'%d' % number


@forks_only
def test_a_detached_server_finds_its_program_again_and_again(server_name, folder):
    """Catches a relative name that is looked up in /, to which -d changes: the first upgrade
    works, and makes the second one fail."""
    shutil.copy(program(server_name), folder)
    log, pidfile = folder / 'log', folder / 'pid'
    log.touch()
    with log.open('ab') as stderr:
        subprocess.run(['./forkecho', '-dP', 'pid', '-u', str(os.geteuid()), '-l', '127.0.0.1:0'],
                       cwd=folder, check=True, timeout=DEADLINE, stderr=stderr)
    pid = int(pidfile.read_text())
    try:
        for number in range(1, 4):
            os.kill(pid, signal.SIGHUP)
            eventually(lambda count=number: log.read_text().count('\ntakeover ') == count
                       or 'cannot' in log.read_text(), 'the upgrade is over')
            assert 'cannot' not in log.read_text()
    finally:
        os.kill(pid, signal.SIGTERM)
    eventually(lambda: dead(pid), 'it has ended')
    assert not pidfile.exists()


@forks_only
def test_what_takes_over_was_tested(server, folder):
    """Catches a program that is replaced while it is tested: the one that passed is not the one
    that is executed, which here is none that could serve."""
    srv = server(copy=True)
    client = srv.connect()
    client.echo(b'x')
    pausing = Pausing(srv, folder, 'test')
    mark = hang_up(srv)
    go_on = pausing.reached('test')
    replace(srv, '/bin/true')
    srv.send_signal(signal.SIGHUP)
    srv.status()  # it was heard, while one was under test
    go_on()
    assert 'it is no program that can take over (exit status 0)' in refusal(srv, mark)
    assert client.echo(b'goes on') == b'goes on'


def preload(folder, code):
    """The environment in which a program is started with this code in it."""
    subprocess.run([*CC, '-shared', '-fPIC', '-xc', '-', '-o', folder / 'preloaded.so'],
                   input=code, text=True, check=True)
    return {'LD_PRELOAD': str(folder / 'preloaded.so')}


AT_EXIT = r'''
#include <unistd.h>
__attribute__((destructor)) static void report(void)
{
    (void)!write(2, "warning\n", 8);
}
'''


@forks_only
@pytest.mark.parametrize('kind', ['before', 'much', pytest.param('loader', marks=preloads),
                                  pytest.param('behind', marks=preloads)])
def test_what_else_is_written_under_test_is_no_refusal(server, folder, kind):
    """Catches a program that is refused for a warning of its loader, as of a library in LD_PRELOAD
    that is not there, for what a tracer writes, or for what valgrind or a sanitizer reports as it
    ends, behind the words that it could take over. That is logged."""
    srv = server(copy=True, env={'LD_PRELOAD': '/nonexistent/warning.so'} if kind == 'loader' else
                 preload(folder, AT_EXIT) if kind == 'behind' else {})
    client = srv.connect()
    client.echo(b'x')
    mark = srv.mark()
    if kind in ('before', 'much'):
        real = shutil.copy(program(srv.name), folder)
        times = 1 if kind == 'before' else 4000
        replace(srv, f'#!/bin/sh\nseq -f "warning %g" {times} >&2\nexec "{real}" "$@"\n')
    upgrade(srv)
    line, = srv.find(f'^{srv.name}: ', after=mark)
    assert re.search(r"' wrote under test .SIGHUP.: .*warning.*; it takes over all the same$",
                     line.line)
    assert client.echo(b'goes on') == b'goes on'


# As libfaketime: a file under the number of the process, which the environment names to whatever it
# executes. If that cannot open it, it makes one of its own.
UNDER_ITS_NUMBER = r'''
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>
__attribute__((constructor)) static void open_file(void)
{
    char path[1000];
    const char *named = getenv("NAMED");
    int file = named != NULL ? open(named, O_RDWR) : -1;

    snprintf(path, sizeof path, "%s/%ld", getenv("FOLDER"), (long)getpid());
    if (file == -1 && (file = open(path, O_RDWR | O_CREAT | O_EXCL, 0600)) != -1)
        setenv("NAMED", path, 1);
    if (file != -1)
        close(file);
    else if (named != NULL)
        _exit(1);
}
'''


@forks_only
@preloads
@needs_root
def test_what_a_library_put_into_the_environment_is_not_handed_on(server, folder):
    """Catches an environment that names what the library of a new program cannot open, since it was
    made by root and this is the server's user: the test, another process, was passed, and then
    the service was gone. As met by others: wolfcw/libfaketime#143, wolfcw/libfaketime#281."""
    files = folder / 'files'
    files.mkdir()
    files.chmod(0o777)
    srv = server(copy=True, env={**preload(folder, UNDER_ITS_NUMBER), 'FOLDER': str(files)})
    client = srv.connect()
    for number in range(3):
        upgrade(srv)
        assert client.echo(b'%d' % number) == b'%d' % number
    assert process_user(srv.pid) != 0 and (files / str(srv.pid)).stat().st_uid == 0


# Notes which signals are blocked, and the environment but for the role.
NOTES_STATE = r'''
#define _GNU_SOURCE
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
__attribute__((constructor)) static void note(void)
{
    FILE *file = fopen(getenv("NOTES"), "a");
    sigset_t blocked;

    sigprocmask(SIG_BLOCK, NULL, &blocked);
    for (int number = 1; number < 32; number++)
        fprintf(file, "%d ", sigismember(&blocked, number));
    for (char **each = environ; *each != NULL; each++)
        if (strncmp(*each, "FORKECHO_TAKEOVER=", 18) != 0)
            fprintf(file, " %s", *each);
    fputc('\0', file);
    fclose(file);
}
'''


@forks_only
@preloads
def test_a_test_is_made_in_the_state_of_the_exec(server, folder):
    """Catches a program that is tested with other signals blocked, or in another environment, than
    it is executed with: what it, or a library, trips over then ends the service."""
    manager, notes = Manager(folder / 'notify'), folder / 'notes'
    notes.touch()
    notes.chmod(0o666)
    srv = server(copy=True, env={**preload(folder, NOTES_STATE), 'NOTES': str(notes),
                                 'NOTIFY_SOCKET': manager.path, 'WATCHDOG_USEC': '60000000'})
    upgrade(srv)
    under_test, executed = notes.read_text().split('\0')[-3:-1]
    assert under_test == executed and f' NOTIFY_SOCKET={manager.path} ' in executed


# ---- what cannot take over ---------------------------------------------------------------

def exits_with(status, text):
    return f'#!/bin/sh\necho "{text}" >&2\nexit {status}\n'


BROKEN = {
    'empty': ('', 'Exec format error'),
    'script': (exits_with(1, 'no library found'), 'no library found'),
    'usage': (exits_with(2, 'forkecho: option -y: unknown (see forkecho --help)'),
              'option -y: unknown'),
    'silent': ('#!/bin/sh\nexit 3\n', 'it is no program that can take over (exit status 3)'),
    'true': ('/bin/true', 'it is no program that can take over (exit status 0)'),
    'crash': ('#!/bin/sh\nkill -SEGV $$\n', 'signal 11 ended its test'),
    'talkative': ('#!/bin/sh\nyes | head -c 1000000\nexit 0\n', 'y y y'),
    'flood': ('#!/bin/sh\nhead -c 1000000 /dev/zero && exit 4\nexit 5\n',
              'it is no program that can take over (exit status 5)'),  # not taken into memory
    # Not its parent's child: it would be a server of its own.
    'wrapper': ('#!/bin/sh\n"{real}" "$@"\nexit $?\n', 'cannot take over'),
}


def goes_on(srv, client, before):
    """Checks that a server has not noticed anything."""
    assert client.echo(b'goes on') == b'goes on'
    new = srv.connect()
    assert new.echo(b'new') == b'new'
    name = new.address
    new.close()
    srv.end_of(name)
    status = srv.status()
    assert (status['live'], status['zombies']) == ('1', '0')
    eventually(lambda: descriptors(srv.pid) == before, 'no descriptor is left behind')
    eventually(lambda: len(srv.left_behind()) == 1, 'no process is left behind but the child')
    assert os.readlink(f'/proc/{srv.pid}/exe').split(' ')[0].startswith(os.path.dirname(srv.path))


@forks_only
@pytest.mark.parametrize('kind', BROKEN)
def test_a_broken_program_costs_nothing(server, folder, kind):
    """Catches a server that ends, or loses something, for a program that cannot take over; and an
    administrator who is not told why."""
    source, why = BROKEN[kind]
    srv = server(copy=True)
    client = srv.connect()
    client.echo(b'x')
    before = srv.descriptors()
    if kind == 'wrapper':
        real = shutil.copy(program(srv.name), folder)
        source = source.replace('{real}', real)
    replace(srv, source)
    for _ in range(2):
        assert why in refusal(srv, hang_up(srv))
        goes_on(srv, client, before)
    replace(srv, program(srv.name))
    upgrade(srv)
    goes_on(srv, client, before)


@forks_only
@pytest.mark.parametrize('kind', ['missing', 'not-executable', 'folder'])
def test_a_program_that_cannot_be_executed_costs_nothing(server, kind):
    """Catches the same where there is nothing to test."""
    srv = server(copy=True)
    client = srv.connect()
    client.echo(b'x')
    before = srv.descriptors()
    os.rename(srv.path, f'{srv.path}.old')
    if kind == 'not-executable':
        Path(srv.path).touch()
    elif kind == 'folder':
        os.mkdir(srv.path)
    why = 'No such file or directory' if kind == 'missing' else 'Permission denied'
    for _ in range(2):
        assert why in refusal(srv, hang_up(srv))
        goes_on(srv, client, before)


@forks_only
def test_another_server_of_the_family_does_not_take_over(server):
    """Catches a program that cannot serve the children it would be handed, and takes them."""
    if not (BUILD / 'threadecho').exists():
        pytest.skip('this build has no other server')
    srv = server('-c', '10', copy=True)
    client = srv.connect()
    client.echo(b'x')
    before = srv.descriptors()
    replace(srv, program('threadecho'))
    assert 'line 1 of the state is not understood' in refusal(srv, hang_up(srv))
    goes_on(srv, client, before)


@long
@forks_only
def test_a_program_that_hangs_is_given_up(server):
    """Catches a test without an end, and what it has started: it would hold the port open after
    the server has gone. This is the one test here that has to wait for its ten seconds."""
    srv = server(copy=True)
    client = srv.connect()
    client.echo(b'x')
    before = srv.descriptors()
    replace(srv, '#!/bin/sh\nsleep 1000\nexit 0\n')
    start = time.monotonic()
    mark = hang_up(srv)
    assert client.echo(b'meanwhile') == b'meanwhile'
    assert 'it did not answer in time (signal 9)' in refusal(srv, mark)
    assert 10 <= time.monotonic() - start < 10 + DEADLINE
    goes_on(srv, client, before)


@forks_only
@needs_root
def test_within_a_root_it_refuses(server, folder):
    """Catches an upgrade that ends a server in a chroot, where its program is not."""
    # Within the root LeakSanitizer has no /proc, which is all that it would say.
    srv = server('-r', str(folder), copy=True,
                 env={'ASAN_OPTIONS': f'{SANITIZERS["ASAN_OPTIONS"]}:detect_leaks=0'})
    client = srv.connect()
    client.echo(b'x')
    assert 'there is no such file within the root (-r)' in refusal(srv, hang_up(srv))
    assert client.echo(b'goes on') == b'goes on'


@forks_only
def test_an_environment_of_somebody_else_is_no_order(server, folder):
    """Catches a variable that is believed although it names another process: whoever sets it
    makes a start fail."""
    for value in ('take:3:1', f'take:3:{os.getpid()}', 'take:3', 'take', '', 'x' * 1000):
        srv = server(copy=True, env={'FORKECHO_TAKEOVER': value})
        assert srv.connect().echo(b'x') == b'x'
        srv.wait_line('^start ')


@forks_only
def test_a_test_for_a_server_that_has_gone_starts_none(server_name):
    """Catches a program under test that, its server being gone, takes the port for itself."""
    for value in ('test:3:1', f'test:0:{os.getpid() + 1}'):
        result = run(server_name, '-l', '127.0.0.1:0', env={**os.environ, 'FORKECHO_TAKEOVER': value})
        assert result.returncode == 1
        assert 'cannot take over' in result.stderr


@forks_only
@needs_root
def test_a_private_process_stays_private(server):
    """Catches an exec after which a compromised child may trace the parent: what /proc shows of a
    process that others of its user may not look into is root's."""
    srv = server(copy=True)
    assert os.stat(f'/proc/{srv.pid}/mem').st_uid == 0
    upgrade(srv)
    assert os.stat(f'/proc/{srv.pid}/mem').st_uid == 0
    assert process_user(srv.pid) != 0


def test_others_of_the_family_say_that_they_cannot(server):
    """Catches a SIGHUP that ends a server, and with it all clients."""
    srv = server(copy=True)
    if srv.name == 'forkecho':
        assert upgrade(srv)
        return
    client = srv.connect()
    client.echo(b'x')
    srv.wait_line('^accept ')
    mark = hang_up(srv)
    line = srv.wait_line('cannot upgrade', after=mark)
    assert line.line.startswith(f'{srv.name}: cannot upgrade (SIGHUP): {srv.name} ')
    assert client.echo(b'goes on') == b'goes on'
    assert len(srv.find('^', after=mark)) == 1


# ---- together with other signals ---------------------------------------------------------

@forks_only
def test_a_storm_of_signals_is_one_upgrade_after_the_other(server):
    """Catches upgrades within upgrades, or a signal that finds the process without a handler and
    ends it."""
    srv = server(copy=True)
    client = srv.connect()
    client.echo(b'x')
    for _ in range(100):
        srv.send_signal(signal.SIGHUP)
    srv.wait_line('^takeover ')
    for number in range(50):
        srv.send_signal(signal.SIGHUP)
        assert srv.connect().echo(b'new') == b'new', number
    assert client.echo(b'goes on') == b'goes on'

    def calm():
        return len(srv.find('^upgrade ')) == len(srv.find('^takeover '))

    eventually(calm, 'each upgrade has ended')
    upgrade(srv)
    assert not srv.find(f'^{srv.name}: ')
    assert len(srv.find('^upgrade ')) <= 152


@forks_only
def test_nothing_is_upgraded_in_a_drain(server):
    """Catches a drain that an upgrade undoes: the new program would know nothing of it."""
    srv = server('-g', '1h', copy=True)
    client = srv.connect()
    client.echo(b'x')
    srv.send_signal(signal.SIGTERM)
    srv.wait_line('^drain ')
    assert 'the server is stopping' in refusal(srv, hang_up(srv))
    assert client.echo(b'goes on') == b'goes on'
    client.close()
    assert srv.wait() == 0


@forks_only
def test_a_stop_ends_a_test(server):
    """Catches a program under test that outlives the server, and holds its port; and a stop that
    waits for it."""
    srv = server('-g', '1h', copy=True)
    replace(srv, '#!/bin/sh\nsleep 1000\nexit 0\n')
    mark = hang_up(srv)
    eventually(lambda: len(srv.left_behind()) == 2, 'the script and its sleep run')
    assert srv.stop(signal.SIGTERM) == 0
    assert 'the server is stopping' in refusal(srv, mark)
    eventually(lambda: not srv.left_behind(), 'the script and its sleep are gone')
    assert server(listen=[srv.address]).connect().echo(b'next') == b'next'


@forks_only
def test_a_program_under_test_holds_no_port(server):
    """Catches a new program that was given the listeners: nobody can bind the port when the drain is
    told, nor, if the server is killed, for as long as the test goes on."""
    def under_test():
        srv = server('-g', '1h', copy=True)
        replace(srv, '#!/bin/sh\nsleep 1000\nexit 0\n')
        hang_up(srv)
        eventually(lambda: len(srv.left_behind()) == 2, 'the script and its sleep run')
        return srv

    drained = under_test()
    drained.send_signal(signal.SIGTERM)
    drained.wait_line('^drain ')
    assert server(listen=[drained.address]).connect().echo(b'next') == b'next'
    killed = under_test()
    killed.expected = -signal.SIGKILL
    killed.stop(signal.SIGKILL)
    assert server(listen=[killed.address]).connect().echo(b'next') == b'next'
    for each in killed.left_behind():
        with contextlib.suppress(ProcessLookupError):
            os.kill(each.pid, signal.SIGKILL)


@forks_only
def test_a_limit_on_files_stops_no_server(server):
    """Catches SIGXFSZ, which ends a server that writes its state beyond RLIMIT_FSIZE."""
    srv = server(copy=True, limits={resource.RLIMIT_FSIZE: 0})
    client = srv.connect()
    client.echo(b'x')
    assert os.strerror(errno.EFBIG) in refusal(srv, hang_up(srv))
    assert client.echo(b'goes on') == b'goes on'


@forks_only
def test_a_stop_in_the_middle_of_a_takeover_is_obeyed(server, folder):
    """Catches a signal that came while the process was neither program, and is lost."""
    srv = server('-g', '1h', copy=True)
    pausing = Pausing(srv, folder, 'take')
    client = srv.connect()
    client.echo(b'x')
    hang_up(srv)
    go_on = pausing.reached('take')
    for number in (signal.SIGTERM, signal.SIGUSR1, signal.SIGHUP):
        srv.send_signal(number)
    go_on()
    assert srv.wait_line('^drain ')['why'] == 'SIGTERM'
    assert srv.wait_line('^status ')['live'] == '1'
    assert 'the server is stopping' in refusal(srv, 0)
    client.close()
    assert srv.wait() == 0


@forks_only
def test_three_signals_at_once(server):
    """Catches a signal that hides another: all three are pending when the server looks."""
    srv = server('-g', '1h', copy=True)
    client = srv.connect()
    client.echo(b'x')
    os.kill(srv.pid, signal.SIGSTOP)
    for number in (signal.SIGHUP, signal.SIGTERM, signal.SIGUSR1):
        srv.send_signal(number)
    os.kill(srv.pid, signal.SIGCONT)
    assert srv.wait_line('^drain ')['why'] == 'SIGTERM'
    assert srv.wait_line('^status ')['live'] == '1'
    assert 'the server is stopping' in refusal(srv, 0)
    client.close()
    assert srv.wait() == 0


# ---- the service manager -----------------------------------------------------------------

class Manager:
    """A service manager of the test's own: what it was told, a word at a time."""

    def __init__(self, path):
        self.path = str(path)
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.socket.bind(self.path)
        os.chmod(self.path, 0o666)
        self.socket.settimeout(DEADLINE)

    def word(self):
        """The next one that is no status text."""
        while True:
            text = self.socket.recv(4096).decode()
            if not text.startswith('STATUS='):
                return text

    def wait(self, word):
        """Waits for this one among the next hundred, of which a watchdog has told most."""
        assert any(self.word() == word for _ in range(100)), f'not told: {word}'

    def rest(self):
        """What a server that has ended has told, in its order, but for status texts."""
        words = []
        self.socket.setblocking(False)
        with contextlib.suppress(BlockingIOError):
            while True:
                words.append(self.word())
        return words


def now_in_microseconds():
    return time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000


def expect_reloading(manager, begun):
    match = re.fullmatch(r'RELOADING=1\nMONOTONIC_USEC=(\d+)', manager.word())
    assert begun <= int(match[1]) <= now_in_microseconds()


@forks_only
def test_the_service_manager_is_notified(server, folder):
    """Catches `systemctl reload` that waits for ever, whether the upgrade works or not."""
    manager = Manager(folder / 'notify')
    srv = server(copy=True, env={'NOTIFY_SOCKET': manager.path})
    assert manager.word() == 'READY=1'
    for source in (program(srv.name), '/bin/true', None, program(srv.name)):
        if source is None:
            os.unlink(srv.path)
        else:
            replace(srv, source)
        begun = now_in_microseconds()
        srv.send_signal(signal.SIGHUP)
        expect_reloading(manager, begun)
        assert manager.word() == 'READY=1'
    srv.send_signal(signal.SIGTERM)
    assert manager.word() == 'STOPPING=1'


@forks_only
@pytest.mark.parametrize('moment', ['in a test', 'in a drain'])
def test_a_stop_is_the_last_word(server, folder, moment):
    """Catches a READY=1 behind STOPPING=1, by which a service manager takes a server that drains
    for one that serves."""
    manager = Manager(folder / 'notify')
    srv = server('-g', '1h', copy=True, env={'NOTIFY_SOCKET': manager.path})
    client = srv.connect()
    client.echo(b'x')
    replace(srv, '#!/bin/sh\nsleep 1000\nexit 0\n')
    for number in (signal.SIGHUP, signal.SIGTERM) if moment == 'in a test' else \
            (signal.SIGTERM, signal.SIGHUP):
        srv.send_signal(number)
        srv.wait_line('^upgrade ' if number == signal.SIGHUP else '^drain ')
    refusal(srv, 0)
    client.close()
    assert srv.wait() == 0
    words = [word.split('\n')[0] for word in manager.rest()]
    assert words == ['READY=1', *(['RELOADING=1'] if moment == 'in a test' else []), 'STOPPING=1']


# As under qemu-user, where a fork takes the place of vfork.
SPAWNS_SLOWLY = r'''
#include <spawn.h>
#include <unistd.h>
int posix_spawn(pid_t *pid, const char *path, const posix_spawn_file_actions_t *actions,
                const posix_spawnattr_t *attributes, char *const argv[], char *const environment[])
{
    *pid = fork();
    while (*pid == 0)
        pause();
    return 0;
}
'''


@forks_only
@preloads
def test_a_stop_does_not_wait_for_a_test_that_has_hardly_begun(server, folder):
    """Catches a test that is ended by its process group alone, where posix_spawn returns before
    the child has made that: nobody was killed, and the server waited for a test without end."""
    srv = server(copy=True, env=preload(folder, SPAWNS_SLOWLY))
    hang_up(srv)
    eventually(lambda: children(srv.pid), 'a test has begun')
    assert srv.stop(signal.SIGTERM) == 0
    assert srv.find('cannot upgrade')


@forks_only
def test_status_texts_keep_their_pace(server, folder):
    """Catches a status text of each new program, at once: at most one a second is promised."""
    manager = Manager(folder / 'notify')
    begun = time.monotonic()
    srv = server(copy=True, env={'NOTIFY_SOCKET': manager.path})
    for _ in range(6):
        upgrade(srv)
    manager.socket.setblocking(False)
    told = 0
    with contextlib.suppress(BlockingIOError):
        while True:
            told += manager.socket.recv(4096).startswith(b'STATUS=')
    taken = time.monotonic() - begun
    assert 1 <= told <= 1 + taken, f'{told} texts in {taken:.3f} s'


@forks_only
@needs_root
def test_the_service_manager_stays_within_reach(server, folder):
    """Catches a new program that looks for the manager anew, as another user than the one who could
    reach it: the watchdog then ends a healthy server."""
    private = folder / 'private'
    private.mkdir(mode=0o700)
    manager = Manager(private / 'notify')
    srv = server(copy=True, env={'NOTIFY_SOCKET': manager.path, 'WATCHDOG_USEC': '200000'})
    manager.wait('READY=1')
    for _ in range(2):
        upgrade(srv)
        manager.wait('READY=1')
        manager.wait('WATCHDOG=1')
    assert not srv.find(f'^{srv.name}: ')


@forks_only
def test_the_watchdog_is_fed_after_an_upgrade(server, folder):
    """Catches a new program that does not know of the watchdog, which then kills it."""
    manager = Manager(folder / 'notify')
    srv = server(copy=True, env={'NOTIFY_SOCKET': manager.path, 'WATCHDOG_USEC': '200000'})
    manager.wait('READY=1')
    upgrade(srv)
    manager.wait('READY=1')
    assert [manager.word() for _ in range(3)] == ['WATCHDOG=1'] * 3


# ---- the figure --------------------------------------------------------------------------

def report(text):
    return {key: value for key, value, *_ in (line.split() for line in text.splitlines())}


@long
@forks_only
def test_no_connection_is_lost_under_load(server):
    """Catches one connection in fifty thousand that is refused, reset, cut or counted twice while
    the program is upgraded 20 times and replaced 3 times, and one of 500 that are held."""
    srv = server('-c', '1024', copy=True, verbose=None)
    held = [srv.connect() for _ in range(500)]
    for number, client in enumerate(held):
        assert client.echo(b'%d' % number) == b'%d' % number
    count = upgrades = replaced = 0
    while count < LOAD or upgrades < 20:
        load = subprocess.Popen([program('echoload'), 'connect', '-c', '8', '-d', '2s', srv.address],
                                stdout=subprocess.PIPE, text=True)
        while load.poll() is None and upgrades < 20:
            if upgrades // 6 > replaced:
                replace(srv, program(srv.name))
                replaced += 1
            upgrade(srv)
            upgrades += 1
            # In each of several runs some, not all in the first one.
            if upgrades % 4 == 0:
                break
        text = load.communicate(timeout=10 * DEADLINE)[0]
        figures = report(text)
        assert figures['failed'] == '0', text
        count += int(figures['count']) + int(figures['late'])
    assert (upgrades, replaced) == (20, 3)
    for number, client in enumerate(held):
        assert client.echo(b'still %d' % number) == b'still %d' % number
    eventually(lambda: srv.status()['live'] == '500', 'only those that are held are left')
    status = srv.status()
    assert status['refused'] == '0' and status['zombies'] == '0'
    assert status.number('accepted') == status.number('ended') + 500
    assert status.number('accepted') >= count + 500
    for client in held:
        client.close()
    eventually(lambda: srv.status()['live'] == '0', 'all have ended')
    status = srv.status()
    held_bytes = sum(len(b'%d' % number) + len(b'still %d' % number) for number in range(500))
    assert status.number('accepted') == status.number('ended')
    assert status['in'] == status['out']
    assert status.number('in') >= held_bytes + 64 * count
    assert not srv.find(f'^{srv.name}: (?!.*{LATE})')
