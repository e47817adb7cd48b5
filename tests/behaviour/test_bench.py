"""The benches: what they do to the limits of the system. Theirs here are files in a folder."""
import os
import subprocess

import pytest

from harness import DEADLINE, TOP

LOW = {'proc/sys/kernel/pid_max': '32768', 'proc/sys/kernel/threads-max': '60000',
       'cg/user/pids.max': '2000'}
FILES = {**LOW, 'proc/sys/fs/file-max': '9223372036854775807', 'proc/sys/fs/nr_open': '1048576',
         'proc/sys/vm/max_map_count': '1048576', 'cg/user/me/pids.max': 'max',
         'cg/pids/box/pids.max': '4000000', 'proc/loadavg': '0.1 0.2 0.3 2/345 6789',
         'proc/self/cgroup': '8:pids:/box\n1:name=systemd:/x\n0::/user/me',
         'proc/self/uid_map': '0 0 4294967295', 'proc/self/stat': '9 (a (b) c) S 1 2 4711 0',
         'proc/self/limits': 'Max processes 99 unlimited processes\nMax open files 9 999999 files'}


@pytest.fixture(name='allow')
def fixture_allow(folder):
    for name, text in FILES.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text + '\n')

    def run(*arguments):
        environment = {**os.environ, 'PROC': str(folder / 'proc'), 'CGROUP': str(folder / 'cg')}
        return subprocess.run([TOP / 'tests' / 'bench' / 'allow', '100000', *arguments], text=True,
                              env=environment, capture_output=True, timeout=DEADLINE, check=False)
    return run


def limits(folder):
    return {name: (folder / name).read_text().strip() for name in FILES if name in LOW}


def test_a_bench_puts_back_the_limits_that_it_raised(allow, folder):
    """Catches a limit that stays raised, one that is not raised in time or that was high enough,
    and the status of what failed in between, lost."""
    done = allow('sh', '-c', 'cat "$@"; exit 3', 'sh', *(folder / name for name in LOW))
    assert done.returncode == 3
    assert done.stdout.split() == ['201290'] * 3, done.stderr  # twice 100,000 + 345 + 300
    assert len(done.stderr.splitlines()) == 3
    assert limits(folder) == LOW


def test_what_a_bench_may_not_raise_are_commands_that_work(allow, folder):
    """Catches commands that lack a limit, or do not raise it far enough."""
    done = allow()
    assert limits(folder) == LOW
    assert len(done.stdout.splitlines()) == 3, done.stdout
    subprocess.run(['sh', '-e', '-c', done.stdout], check=True)
    assert allow().stdout == ''


def test_an_ordinary_user_is_told_of_his_own_limit(allow, folder):
    """Catches RLIMIT_NPROC forgotten, as root of the whole system is not bound by it."""
    (folder / 'proc/self/uid_map').write_text('0 1000 1\n')
    (folder / 'proc/self/limits').write_text('Max processes 99 1000\nMax open files 9 999999\n')
    assert allow().stdout.splitlines()[-1] == '    prlimit --pid 4711 --nproc=201290:201290'
