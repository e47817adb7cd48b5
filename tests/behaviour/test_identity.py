"""Who serves: -u, -r, what is given up, and what a child may still do. Seen from outside, in /proc."""
import contextlib
import grp
import os
import pwd
import random
import re
import socket
import subprocess
from pathlib import Path

import pytest

from harness import (BUILD, DEADLINE, NO_LEAK_SEARCH, SANITIZER, before_serving, children,
                     eventually, forks_only, needs_root, new_user, program, run, threads)

NOBODY = pwd.getpwnam('nobody')


def status_of(pid):
    """/proc/PID/status as {field: value}: proc(5)."""
    text = Path(f'/proc/{pid}/status').read_text()
    return {name: ' '.join(value.split()) for name, value in re.findall(r'^(\w+):(.*)$', text, re.M)}


def limits_of(pid):
    """{what: (soft, hard)} of /proc/PID/limits."""
    text = Path(f'/proc/{pid}/limits').read_text()
    return {what: (soft, hard) for what, soft, hard
            in re.findall(r'^Max (.+?) {2,}(\S+) +(\S+)', text, re.M)}


def servants(srv):
    """All that may touch a client: the parent, its children, and the threads of each."""
    return [each.pid for pid in [srv.pid, *(child.pid for child in children(srv.pid))]
            for each in threads(pid)]


def serve_one(srv):
    """A client that is being served, so that whoever does it is in its final state."""
    client = srv.connect()
    assert client.echo(b'x') == b'x'
    return client


def assert_is(srv, user, group):
    """All four ids, real, effective, saved and that of the file system, and nothing beside."""
    for pid in servants(srv):
        status = status_of(pid)
        assert status['Uid'] == ' '.join([str(user)] * 4)
        assert status['Gid'] == ' '.join([str(group)] * 4)
        assert status['Groups'] == ''
        for powers in ('CapInh', 'CapPrm', 'CapEff', 'CapAmb'):
            assert int(status[powers], 16) == 0, powers
        assert status['NoNewPrivs'] == '1'


# ---- who ---------------------------------------------------------------------------------

@needs_root
def test_root_becomes_nobody(server):
    """Catches root serving strangers, a saved id that setuid left behind, and groups of root's."""
    srv = server(before=lambda: os.setgroups([0, 4, 27]))
    serve_one(srv)
    assert_is(srv, NOBODY.pw_uid, NOBODY.pw_gid)


def users():
    """What -u may say, and whom that means."""
    daemon = pwd.getpwnam('daemon')
    tty = grp.getgrnam('tty').gr_gid
    return {'daemon': (daemon.pw_uid, daemon.pw_gid), str(daemon.pw_uid): (daemon.pw_uid, daemon.pw_gid),
            'daemon:tty': (daemon.pw_uid, tty), f'daemon:{tty}': (daemon.pw_uid, tty),
            '54321:12345': (54321, 12345)}


@needs_root
@pytest.mark.parametrize('text', users())
def test_a_user_and_a_group_are_taken(server, text):
    """Catches a group that stays root's, a number taken for a name, and the reverse."""
    srv = server('-u', text)
    serve_one(srv)
    assert_is(srv, *users()[text])


@needs_root
def test_root_stays_root_where_it_insists(server):
    """Catches -u root that is taken for no -u. Even so nothing is gained by what it executes."""
    srv = server('-u', 'root')
    serve_one(srv)
    for pid in servants(srv):
        assert status_of(pid)['Uid'] == '0 0 0 0'
        assert status_of(pid)['NoNewPrivs'] == '1'


@needs_root
def test_an_ordinary_user_stays_who_it_is(server):
    """Catches a server that can be started by root only, or -u that refuses one's own name."""
    user = new_user()
    for options in [], ['-u', str(user)], ['-u', f'{user}:{user}']:
        srv = server(*options, as_user=user)
        serve_one(srv)
        assert_is(srv, user, user)


@needs_root
def test_a_low_port_is_bound_before_the_drop(server):
    """Catches privileges that are given up before the port needs them."""
    for _ in range(20):
        port = random.randrange(512, 1024)
        with contextlib.suppress(OSError), socket.socket() as probe:
            probe.bind(('127.0.0.1', port))
            break
    srv = server(listen=[f'127.0.0.1:{port}'])
    serve_one(srv)
    assert srv.address == f'127.0.0.1:{port}'
    assert_is(srv, NOBODY.pw_uid, NOBODY.pw_gid)


# ---- where -------------------------------------------------------------------------------

@needs_root
def test_the_root_is_changed(server, folder):
    """Catches a root with the working directory still outside, which is a way out; a server that
    needs a file in it; and a title that is not written any more without /proc."""
    srv = server('-r', str(folder), env=NO_LEAK_SEARCH)
    client = serve_one(srv)
    for pid in servants(srv):
        assert os.readlink(f'/proc/{pid}/root') == str(folder)
        assert os.readlink(f'/proc/{pid}/cwd') == str(folder)
    title = f'{srv.name}: 1 live of {srv.wait_line("^start ")["max"]} on {srv.address}'
    eventually(lambda: title.encode() in Path(f'/proc/{srv.pid}/cmdline').read_bytes(),
               'the title is renewed')
    assert_is(srv, NOBODY.pw_uid, NOBODY.pw_gid)
    client.close()
    assert list(folder.iterdir()) == []


@needs_root
def test_the_time_zone_is_known_in_an_empty_root(server, folder):
    """Catches %t in UTC: libc reads the zone from a file that neither a root nor a child that
    opens nothing can reach."""
    srv = server('-r', str(folder), '-m', '%t', env={'TZ': 'Asia/Tokyo', **NO_LEAK_SEARCH})

    def now():
        return subprocess.run(['date', '+%a %b %e %H'], env={'TZ': 'Asia/Tokyo'}, text=True,
                              capture_output=True, check=True).stdout.strip()

    before = now()
    client = srv.connect()
    client.sendall(b'x')
    assert client.receive(len(before)).decode() in (before, now())


# ---- what a child may still do -----------------------------------------------------------

@forks_only
def test_a_child_may_open_and_create_nothing(server):
    """Catches a child that somebody has compromised and that opens files, forks or dumps core; and
    limits that the parent, which has to accept, is under as well."""
    srv = server()
    serve_one(srv)
    [child] = children(srv.pid)
    limits = limits_of(child.pid)
    for what in ('open files', 'processes', 'file size', 'core file size'):
        assert limits[what] == ('0', '0'), what
        assert limits_of(srv.pid)[what] == limits_of(os.getpid())[what], what


@forks_only
def test_a_child_logs_messages_to_a_file(server, folder):
    """Catches a limit on files that silences -vv, or ends the child (SIGXFSZ)."""
    path = folder / 'log'
    with open(path, 'ab') as log:
        srv = server(verbose='-vv', stderr=log)
    client = serve_one(srv)
    [child] = children(srv.pid)
    assert limits_of(child.pid)['open files'] == ('0', '0')
    eventually(lambda: f"message from={client.address} bytes=1 text='x'" in path.read_text(),
               'the message is logged')
    assert client.echo(b'y') == b'y'


# ---- what is refused ---------------------------------------------------------------------

def assert_refused(result, name, *named):
    lines = result.stderr.splitlines()
    assert (result.returncode, result.stdout, len(lines)) == (1, '', 1), result
    assert lines[0].startswith(f'{name}: ')
    for word in named:
        assert word in lines[0]


UNKNOWN = ['no-such-user', 'no-such-user:root', 'root:no-such-group', '4294967295',
           '99999999999999999999', '-1', 'root:-1', ' root', 'x' * 300]


@before_serving
@needs_root
@pytest.mark.parametrize('text', UNKNOWN)
def test_an_unknown_user_or_group(server_name, text, folder):
    """Catches a name that is taken for user 0, and one that is found out after binding."""
    path = folder / 's'
    assert_refused(run(server_name, '-u', text, '-l', str(path)), server_name, '(-u)')
    assert not path.exists()


@before_serving
@needs_root
def test_a_number_without_an_entry_needs_a_group(server_name):
    """Catches a group that is guessed, or stays root's."""
    assert_refused(run(server_name, '-u', '54321', '-l', '127.0.0.1:0'), server_name, '(-u)', '54321:')


@before_serving
@needs_root
def test_a_root_that_is_none(server_name, folder):
    """Catches a mistake in -r that is found out after binding, or serves without a new root."""
    path, loop, file = folder / 's', folder / 'loop', folder / 'file'
    loop.symlink_to(loop)
    file.touch()
    for root in folder / 'missing', file, file / 'below', loop:
        assert_refused(run(server_name, '-r', str(root), '-l', str(path)), server_name, '(-r)',
                       str(root))
        assert not path.exists()


@before_serving
@needs_root
def test_only_root_can(server_name, folder):
    """Catches -u and -r that are dropped without a word where they cannot be had."""
    copy = folder / server_name
    copy.write_bytes(Path(program(server_name)).read_bytes())
    copy.chmod(0o755)
    for option, value in ('-u', 'root'), ('-u', 'daemon'), ('-u', '65533:65534'), \
            ('-u', '65534:65533'), ('-r', '/'):
        result = subprocess.run([copy, option, value, '-l', '127.0.0.1:0'], user=65534, group=65534,
                                extra_groups=[], stdin=subprocess.DEVNULL, capture_output=True,
                                text=True, timeout=DEADLINE, check=False)
        assert_refused(result, server_name, f'({option})', 'only root')


@before_serving
@needs_root
@pytest.mark.skipif(BUILD.name == 'asan', reason='it searches for leaks, and may not be traced here')
@pytest.mark.parametrize('kept', ['--ruid=0 --euid=65534', '--rgid=0 --egid=65534 --keep-groups'])
def test_a_real_id_that_could_be_taken_back_is_not_served(server_name, folder, kept):
    """Catches a server that a program with root's real user started, which can be root again."""
    folder.chmod(0o777)
    copy, path = folder / server_name, folder / 's'
    copy.write_bytes(Path(program(server_name)).read_bytes())
    copy.chmod(0o755)
    user = ['setpriv', '--reuid=65534'] if 'egid' in kept else []
    result = subprocess.run(['setpriv', *kept.split(), *user, copy, '-l', str(path)],
                            stdin=subprocess.DEVNULL, capture_output=True, text=True,
                            timeout=DEADLINE, check=False)
    assert_refused(result, server_name, 'could become')
    assert not path.exists()


@before_serving
@needs_root
@pytest.mark.parametrize('lacking', ['setgid', 'setuid', 'sys_chroot'])
def test_what_cannot_be_had_leaves_nothing(server_name, folder, lacking):
    """Catches a step that fails within the new root, from where what was bound cannot be removed."""
    root, path, pid = folder / 'root', folder / 's', folder / 'pid'
    root.mkdir()
    result = subprocess.run(
        ['setpriv', '--bounding-set', f'-{lacking}', '--inh-caps', f'-{lacking}',
         program(server_name), '-l', str(path), '-P', str(pid), '-r', str(root)],
        stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=DEADLINE, check=False)
    assert_refused(result, server_name, 'CAP_' + lacking.upper())
    assert list(folder.iterdir()) == [root]


@before_serving
@needs_root
def test_what_could_be_taken_back_is_not_served(server_name, folder):
    """Catches a change of user that is not one: here the capabilities stay (capabilities(7),
    SECBIT_NO_SETUID_FIXUP). What was bound is removed again."""
    path, pid = folder / 's', folder / 'pid'
    result = subprocess.run(
        ['setpriv', '--securebits', '+no_setuid_fixup', program(server_name), '-l', str(path),
         '-P', str(pid)], stdin=subprocess.DEVNULL, capture_output=True, text=True,
        timeout=DEADLINE, check=False)
    assert not SANITIZER.search(result.stderr)
    assert_refused(result, server_name, '(-u)', 'could still')
    assert list(folder.iterdir()) == []
