"""A small soak (tests/soak/run): random loads, children killed at random, upgrades, limits reached,
and every count right in between."""
import os
import re
import signal
import subprocess
import sys

import pytest

from harness import BUILD, DEADLINE, SERVERS, TOP, Process, concurrent, forks_only, only_for

sys.path.append(str(TOP / 'tests' / 'soak'))
import watch


@pytest.fixture
def start():
    """A function that starts a soak: of which server, and the variables."""
    started = []

    def begin(server_name, **variables):
        variables = {name: str(value) for name, value in variables.items()}
        soak = subprocess.Popen([sys.executable, '-B', TOP / 'tests' / 'soak' / 'run'], text=True,
                                stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                                stderr=subprocess.STDOUT,
                                env={**os.environ, 'SERVERS': server_name, **variables})
        started.append(soak)
        return soak

    yield begin
    for each in started:  # a test that failed left it, and it has a server and loads
        if each.poll() is None:
            each.terminate()
            each.communicate()


# Each takes some seconds of two processors, so make check asks one of each kind: children, children
# that accept, and all in one process. SOAK=rest asks the others, SOAK=all every one.
FEW = ['forkecho', 'preforkecho', 'threadecho']
ASKED = {'few': FEW, 'rest': [name for name in SERVERS if name not in FEW], 'all': SERVERS}


def holds(server_name, soak):
    said, _ = soak.communicate(timeout=10 * DEADLINE)
    assert soak.returncode == 0, f'{said.splitlines()[-1:]}\n{said}'  # the verdict first
    assert re.search(rf'^soak: {server_name}: held', said, re.M)


@only_for(*ASKED[os.environ.get('SOAK', 'few')])
@concurrent
def test_a_small_soak(server_name, start):
    """Catches what only a mixture shows: a count that drifts, a zombie, a descriptor or memory that
    stays, a wrong byte, a line of the log that nobody expects. Its seed is in what it says."""
    holds(server_name, start(server_name, CONNECTIONS=3000))


@forks_only
@pytest.mark.skipif(not (BUILD / 'echo_program').exists(), reason='the program is not built here')
def test_a_small_soak_of_programs(server_name, start):
    """Catches the same where a program serves each client, whose end nothing but the kernel tells:
    a zombie that stays, a place that is lost."""
    holds(server_name, start(server_name, CONNECTIONS=3000, PROGRAM=BUILD / 'echo_program'))


@forks_only
def test_a_soak_that_is_interrupted_tells_what_it_has_seen(server_name, start):
    """Catches Ctrl-C that leaves a server behind, or loses the table."""
    soak = start(server_name, CONNECTIONS=1000000)
    first = soak.stdout.readline()
    soak.send_signal(signal.SIGINT)
    said, _ = soak.communicate(timeout=DEADLINE)
    assert soak.returncode == 130, first + said
    assert re.search(r'^  connections +[\d,]+ ', said, re.M) and 'interrupted' in said


@pytest.mark.parametrize('words, is_client', [
    (['forkecho: 127.0.0.1:4000'], True), (['preforkecho: idle'], True),
    (['/build/echo_program'], True), (['/build/forkecho', '-c', '64'], False),
    (['/build/forkecho', '-c', '64', '--', '/build/echo_program'], False)])
def test_children_that_serve_clients_are_hit_alone(words, is_client):
    """Catches a soak that kills the program under test in an upgrade, whose command line ends with
    the program that serves clients: that upgrade failed, now and then."""
    command_line = ''.join(f'{word}\0' for word in words).encode()
    assert bool(watch.CLIENT_TITLE.match(command_line)) == is_client


# What a parent does in each second of five in which a child of it is dead, what of that the kernel
# has told of so far, what it ran and what it waited for a processor, and how long it left the child.
LIVES = {
    'sleeps': ('SSSSSS', [0, 0, 0, 0, 0, 0], [0, 0, 0, 0, 0, 0], 5),
    'runs': ('RRRRRR', [0, 1, 2, 3, 4, 5], [0, 0, 0, 0, 0, 0], 5),
    'waits': ('SRRRRS', [0, 0, 0, 0, 0, 0], [0, 0, 0, 0, 0, 5], 0),
    'sleeps and waits': ('SSSRRS', [0, 0, 0, 0, 0, 0], [0, 0, 0, 0, 0, 2], 3),
}


@pytest.mark.parametrize('life', LIVES)
def test_a_parent_answers_for_its_own_time(monkeypatch, life):
    """Catches a soak that is broken by a zombie whose parent could not reap it, for want of a
    processor, on a machine with a load of 1000; and one that spares a parent which could have."""
    states, ran, waited, age = LIVES[life]
    second, parent, child = 0, 1, 2
    monkeypatch.setattr(watch, 'LOOK_GAP', 1)
    monkeypatch.setattr(watch, 'children_of', lambda pid: [child])
    monkeypatch.setattr(watch, 'process', lambda pid: Process(
        pid, states[second] if pid == parent else 'Z', 0, 0, 0))
    # Both began long before.
    monkeypatch.setattr(watch, 'scheduled', lambda pid: (7 + ran[second], 9 + waited[second]))
    zombies = watch.Zombies(parent)
    for second in range(len(states)):
        zombies.look(1000 + second)
    assert (zombies.most, zombies.oldest) == (1, age)
