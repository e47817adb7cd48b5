"""The command line: every option, and every line of what bad input gets."""
import os
import re
import resource
import subprocess
from pathlib import Path

import pytest

from harness import TOP, before_serving, eventually, needs_root, program, run

NUMBERS = ['', 'x', '-1', '1x', ' 1', '+1', '1.5', '0x10', '99999999999999999999', '10000000']
DURATIONS = ['', 'x', '-1', '-1s', '1d', '1 s', 's', 'nan', 'inf', '1e3', '1.', '.5', '1ss',
             '99999999999999999999', '100000h']
TEMPLATES = ['', '%', 'x%', '%z', '\\', '\\y', '\\x', '\\xg', '\\400', '%m' * 5000]
# No lone word: that is a service.
ADDRESSES = ['', ':', ':7', '[::1', '[::1]', '[]:7', '::1', '1:2:3', '127.0.0.1:',
             '127.0.0.1:65536', '127.0.0.1:-1', 'host:7 7', '/' + 'x' * 200, 'x' * 300 + ':7',
             '99999']
BLOCKS = ['', '10', '10.0.0.0/33', '10.0.0.1/8', '::/129', 'name', '10.0.0.0/8/8', '/8']

# Letter (empty: there is only the long form), long name, a good value (None: takes none), and
# values that are no good.
OPTIONS = [
    ('1', 'print-address', None, []),
    ('b', 'backlog', '16', NUMBERS + ['0']),
    ('d', 'daemon', None, []),
    ('i', 'inetd', None, []),
    ('P', 'pidfile', 'pid', ['']),
    ('r', 'root', '/', ['']),
    ('u', 'user', str(os.getuid()), ['']),
    ('c', 'max-connections', '1', NUMBERS + ['0']),
    ('C', 'max-per-source', '5', NUMBERS),
    ('g', 'grace', '500ms', DURATIONS),
    ('G', 'greeting', r'hello\n', TEMPLATES + ['%m', '%q']),
    ('l', 'listen', '127.0.0.1:0', ADDRESSES),
    ('m', 'reply', '<%m>', TEMPLATES),
    ('S', 'status', '127.0.0.1:0', ADDRESSES),
    ('A', 'allow', '127.0.0.0/8', BLOCKS),
    ('X', 'deny', '10.0.0.0/8', BLOCKS),
    ('s', 'syslog', 'user', ['', 'kern', 'local8', '3']),
    ('t', 'idle', '2h', DURATIONS),
    ('T', 'lifetime', '0', DURATIONS),
    ('w', 'delay', '1.5s', DURATIONS),
    ('z', 'message-size', '100', NUMBERS + ['0']),
    ('', 'proxy', '10.0.0.0/8', BLOCKS),
    ('q', 'quiet', None, []),
    ('v', 'verbose', None, []),
    ('V', 'version', None, []),
    ('h', 'help', None, []),
]
WITH_VALUE = [(letter, name) for letter, name, value, _ in OPTIONS if value is not None]
BAD = {name: values for _, name, _, values in OPTIONS}


def forms(letter, name):
    """An option in its forms, and as messages name it."""
    return ([f'-{letter}', f'--{name}'] if letter else [f'--{name}'],
            f'-{letter}, --{name}' if letter else f'--{name}')


def assert_usage_error(result, name, *mentioned):
    """Exit 2, nothing on standard output, and one line that names what is wrong."""
    assert result.returncode == 2, result
    assert result.stdout == ''
    assert len(result.stderr.splitlines()) == 1, result.stderr
    assert result.stderr.startswith(f'{name}: ')
    assert result.stderr.endswith(f'(see {name} --help)\n')
    for word in mentioned:
        assert word in result.stderr


def assert_failed_start(result, name, *mentioned):
    """Exit 1 and one line that names the address and the way out."""
    assert result.returncode == 1, result
    assert result.stdout == ''
    assert len(result.stderr.splitlines()) == 1, result.stderr
    assert result.stderr.startswith(f'{name}: ')
    for word in mentioned:
        assert word in result.stderr


# ---- good ----

@pytest.mark.parametrize('form', ['short', 'joined', 'long', 'equals'])
def test_every_option_has_a_short_and_a_long_form(server, server_name, form, tmp_path):
    """Catches an option that one of the two tables knows and the other does not."""
    written = {'short': lambda letter, name, value: [f'-{letter}', value],
               'joined': lambda letter, name, value: [f'-{letter}{value}'],
               'long': lambda letter, name, value: [f'--{name}', value],
               'equals': lambda letter, name, value: [f'--{name}={value}']}
    arguments = []
    for letter, name, value, _ in OPTIONS:
        if (letter == 'r' and os.getuid() != 0) or (letter == 'S' and server_name != 'forkecho'):
            continue
        if letter == 'P':
            value = str(tmp_path / value)
        if value is not None:
            arguments += written[form if letter else 'long'](letter, name, value)
        elif letter not in 'hVqdi':
            arguments.append(f'-{letter}' if form in ('short', 'joined') else f'--{name}')
    srv = server(*arguments, '-w', '0', listen=[], verbose='')
    assert len(srv.addresses) == (2 if server_name == 'forkecho' else 1)
    client = srv.connect()
    assert client.receive(6) == b'hello\n'
    client.sendall(b'x')
    assert client.receive(3) == b'<x>'


def test_short_options_can_be_joined(server):
    """Catches -1v taken for an unknown option."""
    assert server('-vv1', listen=['127.0.0.1:0']).connect().echo(b'x') == b'x'


@pytest.mark.parametrize('option', ['-h', '--help'])
def test_help_names_every_option(server_name, option):
    """Catches an option that --help forgets, or one that it invents; and help that is an error."""
    result = run(server_name, option)
    assert (result.returncode, result.stderr) == (0, '')
    assert result.stdout.startswith(f'usage: {server_name}')
    told = re.findall(r' +(?:-(.), )?--([\w-]+)', result.stdout)
    assert sorted(told) == sorted((letter, name) for letter, name, _, _ in OPTIONS), \
        'each option of --help has a row in OPTIONS, and the reverse'
    for letter, name, value, _ in OPTIONS:
        line = re.search(rf' +{forms(letter, name)[1]}( [A-Z]+)? +\S', result.stdout)
        assert line and (line[1] is not None) == (value is not None)


@pytest.mark.parametrize('option', ['-V', '--version'])
def test_version(server_name, option):
    """Catches a version that differs from the Makefile's."""
    version = re.search(r'^VERSION = (\S+)', (TOP / 'Makefile').read_text(), re.M)[1]
    result = run(server_name, option)
    assert (result.returncode, result.stdout, result.stderr) == \
           (0, f'{server_name} {version}\n', '')


# ---- bad usage ----

@before_serving
@pytest.mark.parametrize('letter, name', WITH_VALUE, ids=[name for _, name in WITH_VALUE])
def test_bad_values_are_usage_errors(server_name, letter, name, folder):
    """Catches junk that is taken for 0, and numbers that wrap around."""
    path = folder / 's'
    for value in BAD[name]:
        for arguments in [[forms(letter, name)[0][0], value], [f'--{name}={value}']]:
            result = run(server_name, '-l', str(path), *arguments)
            assert_usage_error(result, server_name, forms(letter, name)[1])
    assert not path.exists()


@before_serving
@pytest.mark.parametrize('letter, name', WITH_VALUE, ids=[name for _, name in WITH_VALUE])
def test_missing_values_are_usage_errors(server_name, letter, name):
    """Catches an option at the end that is taken without its value."""
    options, named = forms(letter, name)
    for option in options:
        assert_usage_error(run(server_name, option), server_name, named)


@before_serving
@pytest.mark.parametrize('option', ['-Z', '--no-such-option', '--help=me', '-1Z', '--backlogs', '-?',
                                    '--max-c0nnections=5'])
def test_unknown_options_are_usage_errors(server_name, option):
    """Catches an unknown option that is passed over."""
    named = option.split('=')[0] if option.startswith('--') else f'-{option[-1]}'
    assert_usage_error(run(server_name, option), server_name, named)


@before_serving
def test_operands_are_usage_errors(server_name):
    """Catches `forkecho 7007`, which would serve another port than the one meant."""
    assert_usage_error(run(server_name, '7007'), server_name, '7007', '-l')


@pytest.mark.but('forkecho', 'it answers monitors')
def test_others_refuse_an_address_for_monitors(server_name):
    """Catches an option that is taken and does nothing."""
    result = run(server_name, '-S', '127.0.0.1:0')
    assert_usage_error(result, server_name, '-S, --status', 'only forkecho', 'a forked child')


@before_serving
def test_a_usage_error_binds_nothing(server_name, folder):
    """Catches options that take effect as they are read."""
    path = folder / 's'
    assert_usage_error(run(server_name, '-1', '-l', str(path), '-c', 'x'), server_name)
    assert not path.exists()


@before_serving
def test_too_many_listeners_are_a_usage_error(server_name):
    """Catches a table of listeners that overflows."""
    assert_usage_error(run(server_name, *['-l', '127.0.0.1:0'] * 1000), server_name, '--listen')


# ---- failed starts ----

@before_serving
def test_a_name_that_does_not_resolve(server_name):
    """Catches a start that hangs, or fails without saying which of several names it was."""
    assert_failed_start(run(server_name, '-l', 'name.invalid:7000'), server_name,
                        'name.invalid:7000')


@before_serving
def test_a_service_that_does_not_exist(server_name):
    """Catches an unknown service taken for port 0."""
    assert_failed_start(run(server_name, '-l', 'localhost:nosuchservice'), server_name,
                        'nosuchservice')


def test_an_address_in_use(server):
    """Catches SO_REUSEPORT, and a message that does not say which of several addresses it was."""
    first = server()
    assert_failed_start(run(first.name, '-1', '-l', '127.0.0.1:0', '-l', first.address), first.name,
                        first.address, 'in use', '-l')


@before_serving
def test_an_address_of_another_machine(server_name):
    """Catches a failure without the address: 192.0.2.0/24 is nobody's (RFC 5737)."""
    assert_failed_start(run(server_name, '-l', '192.0.2.1:7000'), server_name, '192.0.2.1:7000')


def privileged_from():
    return int(Path('/proc/sys/net/ipv4/ip_unprivileged_port_start').read_text())


@before_serving
@needs_root
@pytest.mark.skipif(privileged_from() <= 7, reason='any user may bind port 7 here')
@pytest.mark.parametrize('arguments', [[], ['-l', '127.0.0.1:7'], ['-l', 'localhost:echo']],
                         ids=['default', 'number', 'service'])
def test_port_7_as_an_ordinary_user(server_name, arguments, folder):
    """Catches "Permission denied" and no more: the line names the ways out."""
    copy = folder / server_name
    copy.write_bytes(Path(program(server_name)).read_bytes())
    copy.chmod(0o755)
    result = subprocess.run([copy, *arguments], user=65534, group=65534, extra_groups=[],
                            stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=20,
                            check=False)
    assert_failed_start(result, server_name, ':7', 'root', 'CAP_NET_BIND_SERVICE',
                        'ip_unprivileged_port_start')


@before_serving
def test_a_unix_path_in_a_missing_folder(server_name, folder):
    """Catches a message without the path."""
    path = str(folder / 'missing' / 's')
    assert_failed_start(run(server_name, '-l', path), server_name, path)


@pytest.mark.parametrize('limit', range(4, 12))
def test_a_start_with_few_descriptors(server, limit):
    """Catches a server that says it listens and then fails to start."""
    srv = server(listen=['127.0.0.1:0', '127.0.0.1:0'], limits={resource.RLIMIT_NOFILE: limit})
    if srv.addresses:
        assert srv.status()['live'] == '0'
    else:
        srv.expected = 1
        assert srv.wait() == 1
        eventually(lambda: srv.ended, 'the log is at its end')
        assert len(srv.lines) == 1 and srv.lines[0].startswith(f'{srv.name}: ')
