"""The units of examples/systemd: what systemd-analyze thinks of them, and that their numbers
agree. Nothing runs here; tests/systemd is for that, and tests/lint asks whether systemd knows
every key."""
import json
import re
import shlex
import shutil
import subprocess

import pytest

from harness import DEADLINE, TOP, run

UNITS = TOP / 'examples' / 'systemd'
SERVICES = ['forkecho.service', 'forkecho-standalone.service', 'forkecho@.service']
OFFLINE = 250  # the release of systemd-analyze that judges a unit without a running systemd
OTHERS = 8  # tasks beside a child for each client: the parent, and a new program that is tried


def has_analyze():
    if shutil.which('systemd-analyze') is None:
        return False
    done = subprocess.run(['systemd-analyze', '--version'], text=True, capture_output=True,
                          timeout=DEADLINE, check=False)
    return int(re.match(r'systemd (\d+)', done.stdout)[1]) >= OFFLINE


needs_analyze = pytest.mark.skipif(not has_analyze(), reason=f'needs systemd-analyze {OFFLINE}')


def analyze(*words):
    done = subprocess.run(['systemd-analyze', *words], text=True, capture_output=True,
                          timeout=DEADLINE, check=False, stdin=subprocess.DEVNULL)
    return done.returncode, done.stdout + done.stderr


def settings(unit):
    """{key: last value} of a unit."""
    return dict(re.findall(r'^(\w+)=(.*)$', (UNITS / unit).read_text(), re.M))


def options(unit):
    """The options of a unit's command line, without the program."""
    return shlex.split(settings(unit)['ExecStart'].replace('%i', '1'))[1:]


@needs_analyze
@pytest.mark.parametrize('unit, most', [('forkecho.service', 0.5), ('forkecho@.service', 0.5),
                                        ('forkecho-standalone.service', 1.5)])
def test_exposure(unit, most):
    """Catches a unit that was given back a right which it does not need."""
    status, text = analyze('security', '--offline=true', '--no-pager', str(UNITS / unit))
    found = re.search(r'Overall exposure level for \S+: ([\d.]+)', text)
    assert found, text
    assert float(found[1]) <= most, '\n'.join(line for line in text.splitlines() if '✗' in line)


@pytest.mark.parametrize('unit', SERVICES)
def test_the_command_line_is_one(unit):
    """Catches a unit with an option that the program does not take any more."""
    done = run('forkecho', *options(unit), '--help')
    assert (done.returncode, done.stderr) == (0, '')


@pytest.mark.parametrize('unit', ['forkecho.service', 'forkecho-standalone.service'])
def test_limits_agree_with_the_maximum(unit):
    """Catches a -c that was raised alone: fork fails before it is reached."""
    words = options(unit)
    most = int(words[words.index('-c') + 1])
    for key in ('TasksMax', 'LimitNPROC'):
        assert int(settings(unit)[key]) == most + OTHERS, key


@pytest.mark.parametrize('unit', ['forkecho.service', 'forkecho-standalone.service'])
def test_systemd_waits_for_the_drain(unit):
    """Catches a time for a stop that ends before the grace does: clients would be killed."""
    words = options(unit)
    grace = int(words[words.index('-g') + 1].rstrip('s'))
    assert int(settings(unit)['TimeoutStopSec'].rstrip('s')) >= grace + 5
    assert settings(unit)['KillMode'] == 'mixed'


@pytest.mark.parametrize('unit', ['forkecho.service', 'forkecho-standalone.service'])
def test_a_child_that_is_killed_for_memory_is_one(unit):
    """Catches systemd's own choice, by which the service is stopped, with all other clients, where
    the kernel kills one of its processes for want of memory (systemd/systemd#39187)."""
    assert settings(unit)['OOMPolicy'] == 'continue'


def test_units_differ_only_in_what_they_say():
    """Catches hardening that was added to one unit and forgotten in the others."""
    def hardening(unit):
        text = (UNITS / unit).read_text()
        keys = re.findall(r'^((?:Protect|Private|Restrict|Capability|Ambient|NoNew|System|Lock|'
                          r'Memory|Keyring|Remove|Dynamic|UMask|Proc|Device|Secure)\w*=.*)$',
                          text, re.M)
        return {key for key in keys
                if not key.startswith(('RestrictAddressFamilies=', 'PrivateNetwork='))}
    assert hardening(SERVICES[0]) == hardening(SERVICES[1]) == hardening(SERVICES[2])


@pytest.mark.parametrize('path, patience', [
    ('openrc/forkecho', r'^retry=.*TERM/(\d+)'), ('runit/run', r'`sv -w (\d+) stop'),
    ('init/forkecho', r'^STOP_SECONDS=(\d+)')])
def test_other_inits_wait_for_the_drain(path, patience):
    """Catches a time for a stop that ends before the grace does: OpenRC and sv by themselves give up
    after 5 and 7 s. tests/inits does it for real."""
    text = (TOP / 'examples' / path).read_text()
    default = re.search(r'^Default: (\d+)s', (TOP / 'man/forkecho.8').read_text().split('.It Fl g ')[1], re.M)
    grace = re.search(r'^[^#].* -g (\d+)s', text, re.M) or default
    assert int(re.search(patience, text, re.M)[1]) >= int(grace[1]) + 2


def test_the_container_drains_before_it_is_killed():
    """Catches a Containerfile with an option that the program does not take any more, or with a
    grace that outlives the patience of podman and docker: clients would be killed."""
    text = (TOP / 'examples' / 'container' / 'Containerfile').read_text()
    words = [word for each in ('ENTRYPOINT', 'CMD')
             for word in json.loads(re.search(rf'^{each} (.*)', text, re.M)[1])]
    done = run('forkecho', *words[1:], '--help')
    assert (done.returncode, done.stderr) == (0, '')
    assert float(words[words.index('-g') + 1].removesuffix('s')) < 10
    port = re.search(r'^EXPOSE (\d+)', text, re.M)[1]
    assert words[words.index('-l') + 1] == f'*:{port}'
