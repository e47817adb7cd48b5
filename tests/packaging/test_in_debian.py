"""The Debian packages, from their installation to their purge, under the systemd of a release."""
import contextlib
import os
import re
import threading
from pathlib import Path

from harness import DEADLINE, eventually

SERVICE, SOCKET = 'forkecho.service', 'forkecho.socket'
HERE = '127.0.0.1:7'
TURNS, CONNECTIONS = 6, 50_000
# What dpkg, apt, systemd and whoever changes users write beside what is installed.
NOT_OURS = re.compile(r'/(proc|sys|dev|run|tmp|packages)(/|$)|/var/(log|lib/dpkg|lib/systemd|cache|tmp)(/|$)|'
                      r'/etc/(passwd|group|shadow|gshadow|subuid|subgid)-?$|/etc/\.(pwd\.lock|updated)$')
# The packages may be of a release where /lib is a folder of its own.
ODD = "warning: (?!downgrading|while removing forkecho, directory '/lib/)"
USERS = ['/etc/passwd', '/etc/group', '/etc/shadow', '/etc/gshadow']


def files(machine):
    found = machine.run('find', '/', '-xdev', timeout=10 * DEADLINE).stdout.splitlines()
    return {path for path in found if not NOT_OURS.match(path)}


def users(machine):
    return [sorted(machine.path(path).read_text().splitlines()) for path in USERS]


def dpkg(machine, *words):
    done = machine.run('dpkg', *words, timeout=10 * DEADLINE)
    assert not re.search(ODD, done.stderr), done.stderr
    return done.stdout


def package(machine, name, revision):
    folder = machine.path(f'/packages/{revision}')
    return f'/packages/{revision}/{next(folder.glob(f"{name}_*.deb")).name}'


def install(machine, revision):
    dpkg(machine, '-i', *(package(machine, name, revision) for name in ('forkecho', 'forkecho-tools')))


def takeovers(machine):
    return len([1 for entry in machine.journal(SERVICE) if entry['MESSAGE'].startswith('takeover ')])


def commands(machine):
    """The names of all that runs."""
    found = []
    for pid, _ in machine.processes():
        with contextlib.suppress(OSError):
            found.append(Path(f'/proc/{pid}/comm').read_text().strip())
    return found


def server(machine):
    with machine.connect(HERE) as client:
        assert client.echo(b'hello') == b'hello'
    return machine.main_pid(SERVICE)


def test_upgrades_of_the_package_cost_no_client(machine):
    """Catches a package whose upgrade refuses or cuts a client, or leaves the old program running."""
    install(machine, 1)
    machine.systemctl('enable', '--now', SOCKET)
    pid = server(machine)
    load = machine.load('connect', '-d', '1h', '-H', '50', HERE)
    for turn in range(1, TURNS + 1):
        before = os.stat(f'/proc/{pid}/exe').st_ino
        install(machine, 1 + turn % 2)
        eventually(lambda: takeovers(machine) == turn, 'the program on disk has taken over')
        assert os.stat(f'/proc/{pid}/exe').st_ino != before
    load.wait_for(lambda: int(re.search(r'(\d+) ended', machine.show(SERVICE, 'StatusText'))[1]), CONNECTIONS)
    report = load.report()
    assert report['failed'] == report['held-failed'] == report['held-lost'] == '0', report
    assert int(report['count']) + int(report['late']) >= CONNECTIONS
    assert machine.main_pid(SERVICE) == pid and machine.show(SERVICE, 'NRestarts') == '0'
    print(f'\n{machine.suite}: {TURNS} upgrades of the package, {report["count"]} connections, '
          f'{report["failed"]} failed')


def test_nothing_is_left_behind(machine):
    """Catches a package that serves without being asked, a removal that cuts a client or leaves a
    process, and a purge that leaves a file, a link, a unit or a user."""
    had, had_users = files(machine), users(machine)
    install(machine, 1)
    dpkg(machine, '-i', package(machine, 'forkecho-lab', 1))
    for unit in (SOCKET, SERVICE, 'forkecho-standalone.service'):
        assert machine.show(unit, 'ActiveState') == 'inactive', unit
    machine.run('forkecho-lab', 'timeline', '-o', '/tmp/drawn', 'forkecho', timeout=10 * DEADLINE)
    machine.systemctl('enable', '--now', SOCKET, 'forkecho@7008.socket', 'forkecho-standalone.service')
    server(machine)
    install(machine, 2)
    assert 'forkecho' in commands(machine)
    with machine.connect(HERE) as client:
        assert client.echo(b'before') == b'before'
        removal = threading.Thread(target=dpkg, args=(machine, '--remove', 'forkecho-lab', 'forkecho'))
        removal.start()
        eventually(lambda: machine.show(SERVICE, 'ActiveState') == 'deactivating', 'the drain has begun')
        assert client.echo(b'still here') == b'still here'
        client.half_close()
        assert client.receive_all() == b''
    removal.join()
    assert 'forkecho' not in commands(machine)
    dpkg(machine, '--purge', 'forkecho', 'forkecho-tools')
    assert files(machine) - had == set() == had - files(machine)
    assert users(machine) == had_users
    assert machine.systemctl('list-unit-files', '--no-legend', 'forkecho*', check=False) == ''


def test_lintian_finds_nothing_that_is_not_answered(machine):
    """Catches what the lintian of another release finds."""
    found = machine.run('sh', '-c', 'lintian --allow-root --pedantic /packages/1/*.changes',
                        check=False, timeout=10 * DEADLINE)
    assert (found.stdout, found.returncode) == ('', 0), found.stderr


def test_the_packages_pass_their_own_tests(machine):
    """Catches a test of the package that does not run, and what it would find."""
    done = machine.run('sh', '-c', 'autopkgtest --no-built-binaries /packages/1/*.deb /packages/source -- null',
                       check=False, timeout=20 * DEADLINE)
    print(f'\n{machine.suite}:', *re.findall(r'^\S+ +(?:PASS|FAIL|SKIP).*', done.stdout + done.stderr, re.M))
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-4000:]
    reported = re.search(r'^count +(\d+)', done.stdout, re.M)
    print(f'{machine.suite}: {reported[0] if reported else "no report"}')
