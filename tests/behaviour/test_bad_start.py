"""What cannot be started: one line that names the option, a status, and nothing left behind."""
import os
import socket

import pytest

from harness import SANITIZERS, before_serving, eventually, marked, needs_root, program, run_to_end

# What is wrong; the status; what the line has to name. {folder} is empty, but for `file`.
USAGE = {
    'host-bits': (['-A', '10.0.0.1/8'], '-A, --allow'),
    'host-bits-6': (['-X', '2001:db8::1/32'], '-X, --deny'),
    'length': (['-A', '10.0.0.0/33'], '-A, --allow'),
    'length-6': (['-X', '::/129'], '-X, --deny'),
    'proxy-block': (['--proxy', '10.0.0.1/8'], '--proxy'),
    'proxy-word': (['--proxy', 'unix'], 'or local'),
    'allow-local': (['-A', 'local'], '-A, --allow'),
    'inetd-listen': (['-i'], '-i, --inetd'),
    'facility': (['-s', 'kern'], '-s, --syslog'),
    'no-user': (['-u', ''], '-u, --user'),
    'user-of-group': (['-u', ':root'], '-u, --user'),
    'group-of-user': (['-u', 'root:'], '-u, --user'),
    'endless-template': (['-m', 'a' * 4097], 'is not a template of at most 4096 characters'),
    'beyond-a-duration': (['-t', '87601h'], 'at most 87600h'),
    'no-root': (['-r', ''], '-r, --root'),
    'no-pidfile': (['-P', ''], '-P, --pidfile'),
}
SYSTEM = {
    'user': (['-u', 'no-such-user'], '(-u)'),
    'group': (['-u', 'root:no-such-group'], '(-u)'),
    'root': (['-r', '{folder}/missing'], '(-r)'),
    'root-file': (['-r', '{folder}/file'], '(-r)'),
    'root-below-file': (['-r', '{folder}/file/below'], '(-r)'),
    'pidfile-folder': (['-P', '{folder}/missing/pid'], '(-P)'),
    'pidfile-is-folder': (['-P', '{folder}'], '(-P)'),
    'pidfile-below-file': (['-P', '{folder}/file/pid'], '(-P)'),
    'pidfile-alien': (['-P', '{folder}/file'], '(-P)'),
    'address': (['-l', '192.0.2.1:7000'], '-l 192.0.2.1:7000'),
    'path': (['-l', '{folder}/missing/s'], '-l {folder}/missing/s'),
}
CASES = {**{name: (2, *case) for name, case in USAGE.items()},
         **{name: (1, *case) for name, case in SYSTEM.items()}}


def attempt(name, folder, *options, wrap=(), **settings):
    """Runs a start that has to fail."""
    return run_to_end([*wrap, program(name), *options], mark=str(folder),
                      env={**os.environ, **SANITIZERS}, **settings)


def assert_nothing(result, status, name, folder, named):
    """One line, the status, and nothing that was not there before."""
    assert (result.returncode, result.stdout) == (status, ''), result
    assert len(result.stderr.splitlines()) == 1, result.stderr
    assert result.stderr.startswith(f'{name}: ') and named in result.stderr
    eventually(lambda: not marked(folder), 'no process is left behind')
    assert [each.name for each in folder.iterdir()] == ['file']
    assert (folder / 'file').read_text() == 'not a pid\n'


@before_serving
@needs_root
@pytest.mark.parametrize('detached', [False, True], ids=['foreground', 'daemon'])
@pytest.mark.parametrize('case', CASES)
def test_a_bad_start_leaves_nothing_behind(server_name, folder, case, detached):
    """Catches a mistake that is found out too late: a Unix socket and a pidfile are left in the
    way of the next start, or with -d a process that nobody knows of."""
    status, options, named = CASES[case]
    (folder / 'file').write_text('not a pid\n')
    rest = [each.format(folder=folder) for each in options]
    others = ['-l', str(folder / 's'), *(['-P', str(folder / 'pid')] if '-P' not in rest else []),
              *(['-d'] if detached and '-i' not in rest else [])]
    assert_nothing(attempt(server_name, folder, *others, *rest), status, server_name, folder,
                   named.format(folder=folder))


@before_serving
@pytest.mark.parametrize('detached', [False, True], ids=['foreground', 'daemon'])
def test_an_address_in_use_leaves_nothing_behind(server_name, folder, detached):
    """Catches the sockets that were opened before the one that failed."""
    (folder / 'file').write_text('not a pid\n')
    with socket.create_server(('127.0.0.1', 0)) as taken:
        address = '{}:{}'.format(*taken.getsockname())
        result = attempt(server_name, folder, '-l', str(folder / 's'), '-l', address, '-P',
                         str(folder / 'pid'), *(['-d'] if detached else []))
    assert_nothing(result, 1, server_name, folder, f'-l {address}')


@before_serving
def test_sockets_that_are_none_leave_nothing_behind(server_name, folder):
    """Catches LISTEN_FDS that are found out after the pidfile was written."""
    (folder / 'file').write_text('not a pid\n')
    wrap = ['sh', '-c', 'exec 3<&0; LISTEN_FDS=1 LISTEN_PID=$$ exec "$@"', 'sh']
    result = attempt(server_name, folder, '-P', str(folder / 'pid'), wrap=wrap)
    assert_nothing(result, 1, server_name, folder, 'LISTEN_FDS')


@before_serving
def test_no_connection_leaves_nothing_behind(server_name, folder):
    """Catches -i at a shell, and a unit whose author is told of Accept=yes, which it has, and not
    of StandardInput=socket, which it lacks."""
    (folder / 'file').write_text('not a pid\n')
    result = attempt(server_name, folder, '-i')
    assert_nothing(result, 1, server_name, folder, '(-i)')
    assert 'StandardInput=socket' in result.stderr


def test_addresses_that_cannot_be_printed_leave_nothing_behind(server_name, folder):
    """Catches -1 into a full disk, after all listen and the pidfile is written."""
    (folder / 'file').write_text('not a pid\n')
    options = ['-1', '-l', str(folder / 's'), '-P', str(folder / 'pid')]
    with open('/dev/full', 'wb') as full:
        result = run_to_end([program(server_name), *options], mark=str(folder), stdout=full)
    result.stdout = ''
    assert_nothing(result, 1, server_name, folder, '(-1)')
