"""The lab: what it measures, what it says of it, and the page that it draws."""
import contextlib
import csv
import html
import os
import pty
import re
import shutil
import signal
import socket
import subprocess
import sys
import uuid
from collections import Counter
from pathlib import Path

import pytest

from browser import INSTALLED, LOOK, SCREENS, Browser, contrast, inside, overlap
from daemons import free_port
from harness import BUILD, DEADLINE, TOP, eventually, in_time, long, marked, process

LAB = TOP / 'examples' / 'lab'
sys.path.insert(0, str(LAB))

import checks
import models
import plots
import report
import results
import stevens
import tables
import verdicts
import workloads
from clients import Clients
from verdicts import Spread
from workloads import FULL, QUICK, WAVE, WORKLOADS

# Programs of the hazards are not built with sanitizers, and need not be tested twice.
needs_mistakes = pytest.mark.skipif(not (BUILD / 'hazards').is_dir(),
                                    reason='the hazards are not built here')
needs_gnuplot = pytest.mark.skipif(not shutil.which('gnuplot'), reason='gnuplot is missing')
SMALL = ['--clients', '12', '--rounds', '1', '--seconds', '0.05']


# ---- running it --------------------------------------------------------------------------

class Run:
    """A run of the lab, with all that it starts marked."""

    def __init__(self, *arguments, stderr=subprocess.PIPE, **variables):
        self.mark = uuid.uuid4().hex
        environment = {**os.environ, 'BUILD': str(BUILD), 'FORKECHO_TEST': self.mark, **variables}
        if 'LAB' not in variables:
            environment.pop('LAB', None)
        self.process = subprocess.Popen(
            [sys.executable, LAB / 'run', *map(str, arguments)], stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE, stderr=stderr, text=True, env=environment,
            start_new_session=True)

    def finish(self, seconds=DEADLINE * 6):
        """Its exit status and what it said; nothing that it started may be left."""
        try:
            out, err = self.process.communicate(timeout=seconds)
        finally:
            self.process.kill()
        eventually(lambda: not marked(self.mark), 'nothing that the lab started is left')
        return self.process.returncode, out, err


def rows(folder, workload):
    with open(folder / f'{workload}.csv', newline='') as file:
        return list(csv.DictReader(file))


def measured(folder, workload):
    return {(row['model'], row[WORKLOADS[workload].step], row['round'])
            for row in rows(folder, workload)}


# What may be 0 in every row of a run that measures well; all else has to be more in one of them.
MAY_BE_NONE = {'failed', 'zombies_peak', 'zombies_left'}


@long
@needs_gnuplot
def test_a_small_run_measures_every_workload_and_draws_it(folder):
    """Catches a workload that measures nothing, a plot that the page lacks, a page that fetches,
    and anything that is left running."""
    output = folder / 'lab'
    status, out, err = Run('-o', output, '--models', 'forkecho,selectecho', *SMALL).finish()
    assert status == 0, err
    for name, workload in WORKLOADS.items():
        found = rows(output, name)
        assert {row['model'] for row in found} == {'forkecho', 'selectecho'}, name
        assert [row for row in found if row['note']] == [], name
        for column in set(workload.columns) - {'p99.9', 'p99.99'}:
            numbers = [float(row[column]) for row in found if row[column]]
            assert numbers and (any(numbers) or column in MAY_BE_NONE), (name, column)
    page = (output / 'report.html').read_text()
    assert len(page) < 2_000_000
    assert not re.findall(r'https?://|@import|url\((?!#)|<script|<link|<img|\bsrc=', page)
    for section in report.SECTIONS:
        for figure in section.figures:
            assert f'<svg id="plot-{figure.name}" role="img" aria-label="' in page, figure.name
            assert (output / f'{figure.name}.svg').read_text().startswith('<svg ')
    for claim in (row['claim'] for row in read(output / 'verdicts.csv')):
        assert claim in out and claim.replace("'", '&#x27;') in page
    assert verdicts.ONE_ROUND in out and verdicts.ONE_ROUND in page


    crashed = {row['model']: row for row in rows(output, 'misbehaviour') if row['kind'] == 'crash'}
    assert (crashed['forkecho']['lost'], crashed['forkecho']['welcome']) == ('0', '1')
    assert crashed['selectecho']['lost'] == crashed['selectecho']['others'] != '0'
    assert crashed['selectecho']['welcome'] == '0'


def read(path):
    with open(path, newline='') as file:
        return list(csv.DictReader(file))


@needs_gnuplot
def test_a_run_goes_on_where_it_was_interrupted(folder):
    """Catches a resumed run that measures again what it has, or leaves out what it lacks; and a
    terminal that is not told how far it is."""
    output, (terminal, end) = folder / 'lab', pty.openpty()
    command = ['-o', output, '--models', 'forkecho,threadecho', '--workloads', 'connect', *SMALL]
    assert Run(*command, stderr=end).finish()[0] == 0
    os.close(end)
    told = os.read(terminal, 65536)
    assert re.search(rb'\d+ %, \d+ s left: connect 8, round 1, threadecho', told)
    os.close(terminal)
    whole, path = rows(output, 'connect'), output / 'connect.csv'
    kept = [line for line in path.read_text().splitlines() if not line.startswith('threadecho,8')]
    path.write_text('\n'.join(kept) + '\n')
    status, _, err = Run(*command, '--resume').finish()
    assert status == 0, err
    assert path.read_text().splitlines()[:len(kept)] == kept
    assert len(rows(output, 'connect')) == len(whole)
    assert {('threadecho', '8', '1')} <= measured(output, 'connect')


CONNECT = ['--models', 'forkecho,threadecho', '--workloads', 'connect', *SMALL]


@needs_gnuplot
def test_what_failed_or_was_torn_is_measured_again(folder):
    """Catches a failure that --resume keeps for ever, a line that a full disk or a kill has cut, a
    run whose time is that of its last part, and programs that were built anew meanwhile."""
    output = folder / 'lab'
    command = ['-o', output, *CONNECT]
    assert Run(*command).finish()[0] == 0
    path, about, whole = output / 'connect.csv', output / 'machine.txt', rows(output, 'connect')
    lines = path.read_text().splitlines(keepends=True)
    failed = f'forkecho,8,1{"," * (lines[0].count(",") - 3)},did not start: no luck\n'
    lines = [failed if line.startswith('forkecho,8,') else line for line in lines]
    path.write_text(''.join(lines)[:-20])
    text = re.sub('took: .*', 'took: 1000 s', about.read_text())
    about.write_text(re.sub('build: .*', 'build: of yesterday', text))
    status, _, err = Run(*command, '--resume').finish()
    assert status == 0, err
    assert 'measured with another build: of yesterday; now' in err
    assert measured(output, 'connect') == {(row['model'], row['clients'], row['round'])
                                           for row in whole}
    assert [row for row in rows(output, 'connect') if row['note'] or not row['rate']] == []
    assert len(rows(output, 'connect')) == len(whole)
    told = about.read_text()
    assert re.search('^build: of yesterday, then ', told, re.M)
    assert int(re.search(r'^took: (\d+) s$', told, re.M)[1]) >= 1000


def test_what_is_not_measured_again_is_kept_as_it_is(folder):
    """Catches a section that a resumed run of other workloads drops from the report, or of which it
    drops what failed."""
    machine = {'run': 'quick', 'models': 'one', 'commit': '1', 'build': '1', 'when': 'now'}
    first, _ = results.open_folder(folder, machine, {'ping': WORKLOADS['ping']}, False)
    first['ping'].add('one', 1, 1, [{'rate': 5}])
    first['ping'].add('one', 8, 1, [{'note': 'did not start: no luck'}])
    text = first['ping'].path.read_text()
    again, _ = results.open_folder(folder, machine, {'stall': WORKLOADS['stall']}, True)
    assert sorted(again) == ['ping', 'stall']
    assert again['ping'].path.read_text() == text and len(again['ping'].rows) == 2
    once_more, _ = results.open_folder(folder, machine, {'ping': WORKLOADS['ping']}, True)
    assert len(once_more['ping'].rows) == 1


def test_a_measurement_is_kept_whole_or_not_at_all(folder):
    """Catches half of the rows of a measurement that count as all of it, and a truth about a model
    that is taken for a failure."""
    kept = results.Results(folder, WORKLOADS['held'], False)
    kept.add('one', '', 1, [{'clients': 0, 'rate': 5},
                            {'clients': 9, 'note': 'serves 1 at a time'}])
    kept.add('two', '', 1, [{'clients': 0, 'rate': 5}, {'clients': 9, 'rate': 5}])
    kept.add('bad', '', 1, [{'note': 'serves 0 at a time'}])
    again = results.Results(folder, WORKLOADS['held'], True)
    assert [row['model'] for row in again.rows] == ['one', 'one', 'two', 'two']
    text = again.path.read_text()
    again.path.write_text(text[:-4])
    assert [row['model'] for row in results.Results(folder, WORKLOADS['held'], True).rows] == \
        ['one', 'one']


@needs_gnuplot
def test_a_new_run_leaves_nothing_of_an_old_one(folder):
    """Catches plots and numbers of yesterday beside those of today; and a run that removes what is
    not its own."""
    output = folder / 'lab'
    output.mkdir()
    (output / 'ping.csv').write_text('of somebody else')
    assert Run('-o', output, *CONNECT).finish()[0] == 0
    assert (output / 'ping.csv').exists() and (output / 'connect-rate.svg').exists()
    (output / 'notes').touch()
    status, _, err = Run('-o', output, '--models', 'forkecho', '--workloads', 'stall',
                         *SMALL).finish()
    assert status == 0, err
    assert not (output / 'connect.csv').exists() and not (output / 'connect-rate.svg').exists()
    assert not (output / 'ping.csv').exists() and (output / 'notes').exists()


@needs_gnuplot
@pytest.mark.parametrize('tell', [os.kill, os.killpg], ids=['alone', 'Ctrl-C'])
def test_an_interrupted_run_leaves_a_report_and_nothing_else(folder, tell):
    """Catches servers and clients that outlive an interrupt, and results that it throws away. From
    a terminal all of the foreground group has it: the load that is running, too."""
    output = folder / 'lab'
    run = Run('-o', output, '--models', 'forkecho', '--clients', '200', '--rounds', '50')
    eventually(lambda: (output / 'connect.csv').exists()
               and (output / 'connect.csv').read_text().count('\n') > 2, 'it measures')
    tell(run.process.pid, signal.SIGINT)
    status, _, err = run.finish()
    assert status == 130 and 'Traceback' not in err, err
    assert not [row for row in rows(output, 'connect') if row['note']]
    assert '--resume' in err
    page = (output / 'report.html').read_text()
    assert 'Connections a second' in page and 'Not measured' in page
    assert re.search(r'it took \d+ s until it was interrupted: not all was measured', page)
    assert 'until it was interrupted' in (output / 'machine.txt').read_text()


# ---- bad input ---------------------------------------------------------------------------

def refused(*arguments, **variables):
    """What a run says that ends before it has begun."""
    status, out, err = Run(*arguments, **variables).finish()
    assert status != 0 and out == ''
    return err


def test_what_is_not_there_is_said_at_the_start(folder):
    """Catches a misspelt name that costs minutes, or a message without what to do."""
    output = folder / 'lab'
    err = refused('-o', output, '--models', 'forkecho,thredecho')
    assert "unknown model 'thredecho'; did you mean 'threadecho'?" in err
    assert 'forkecho, ' in err and 'textbook' in err
    err = refused('-o', output, '--workloads', 'conect')
    assert "unknown workload 'conect'; did you mean 'connect'?" in err
    assert 'lifecycle, connect, ping' in err
    assert 'no model is named' in refused('-o', output, '--models', ',')
    assert 'quick or full' in refused('-o', output, LAB='half')
    assert refused('-o', output, '--seconds', '0') == (
        "lab: argument --seconds: '0' is no number from 0.05 to 60"
        ' (see examples/lab/run --help)\n')
    assert "'x' is no number from 1 to" in refused('-o', output, '--rounds', 'x')
    assert not output.exists()


def test_what_is_missing_is_said_at_the_start(folder):
    """Catches a run that measures for minutes and cannot draw, or has no server to measure."""
    tools = folder / 'tools'
    tools.mkdir()
    err = refused('-o', folder / 'lab', PATH=str(tools))
    assert 'gnuplot' in err and 'make deps' in err
    err = refused('-o', folder / 'lab', BUILD=str(tools))
    assert 'make lab' in err


@needs_gnuplot
def test_a_port_in_use_is_said_at_the_start(folder):
    """Catches servers that fail one after the other for a reason known before."""
    with socket.socket() as taken:
        taken.bind(('127.0.0.1', 0))
        taken.listen()
        port = taken.getsockname()[1]
        err = refused('-o', folder / 'lab', '--port', port)
    assert f'port {port} cannot be used: address already in use' in err
    assert 'leave --port away' in err


@needs_gnuplot
@pytest.mark.parametrize('script, words', [
    ('echo "cannot open display" >&2; exit 1', 'draws no SVG: cannot open display'),
    ('exit 0', 'draws no SVG: it ends with status 0')], ids=['fails', 'draws nothing'])
def test_a_gnuplot_that_does_not_draw_is_said_at_the_start(folder, script, words):
    """Catches minutes of measuring that end in a traceback of the first plot."""
    broken = folder / 'gnuplot'
    broken.write_text(f'#!/bin/sh\n{script}\n')
    broken.chmod(0o755)
    err = refused('-o', folder / 'lab', PATH=f'{folder}:{os.environ["PATH"]}')
    assert words in err and 'make deps' in err and 'Traceback' not in err
    assert not (folder / 'lab').exists()


# A user whom limits bind; where root runs the tests, one of whom nothing else runs.
ORDINARY = os.getuid() or 100000 + os.getpid()


@pytest.fixture(name='ordinary')
def fixture_ordinary(folder):
    """Runs a copy of the lab as a user whom limits bind: ordinary(*run's, limits=prlimit's)."""
    shutil.copytree(LAB, folder / 'examples' / 'lab')
    build = folder / 'build'
    build.mkdir()
    for each in ('echoload', 'forkecho'):
        shutil.copy2(BUILD / each, build)
    user = ['setpriv', f'--reuid={ORDINARY}', f'--regid={ORDINARY}', '--clear-groups'] \
        if os.geteuid() == 0 else []

    def ordinary(*arguments, limits=()):
        result = subprocess.run(
            [*user, 'prlimit', *limits, sys.executable, folder / 'examples' / 'lab' / 'run',
             *map(str, arguments)], capture_output=True, text=True, timeout=DEADLINE * 6,
            check=False, cwd='/', env={**os.environ, 'BUILD': str(build), 'HOME': str(folder)})
        assert 'Traceback' not in result.stderr
        return result
    return ordinary


@needs_gnuplot
def test_a_folder_that_cannot_be_written_is_said_at_the_start(ordinary, folder):
    """Catches a traceback, or one that comes when all is measured."""
    (folder / 'file').touch()
    (folder / 'closed').mkdir(mode=0o500)
    for output in ('/etc/passwd', '/proc/nope', folder / 'file', folder / 'file' / 'below',
                   folder / 'closed', folder / 'closed' / 'below'):
        done = ordinary('-o', output)
        assert done.returncode == 1 and done.stdout == '', output
        assert f'lab: {output} cannot be written to: ' in done.stderr
        assert 'another folder with -o' in done.stderr


@needs_gnuplot
def test_a_port_of_root_is_said_at_the_start(ordinary, folder):
    """Catches advice to stop a listener that does not exist."""
    first = int(Path('/proc/sys/net/ipv4/ip_unprivileged_port_start').read_text())
    if first < 2:
        pytest.skip('all ports are free here')
    done = ordinary('-o', folder / 'lab', '--port', first - 1)
    assert f'port {first - 1} cannot be used: permission denied' in done.stderr
    assert f'from {first} on' in done.stderr and 'stop what listens' not in done.stderr


@needs_gnuplot
def test_too_few_processes_are_said_at_the_start(ordinary, folder):
    """Catches a limit that is compared with what is needed as if the user ran nothing yet."""
    user = ['setpriv', f'--reuid={ORDINARY}'] if os.geteuid() == 0 else []
    others = [subprocess.Popen([*user, 'cat'], stdin=subprocess.PIPE) for _ in range(10)]
    try:
        eventually(lambda: checks.tasks_of(ORDINARY, Path('/proc')) >= 10, 'they are there')
        allowed = checks.tasks_of(ORDINARY, Path('/proc')) + 125
        done = ordinary('-o', folder / 'lab', '--clients', 12,
                        limits=[f'--nproc={allowed}:{allowed}'])
    finally:
        for each in others:
            each.communicate()
    assert done.returncode == 1 and done.stdout == ''
    found = re.search(rf'12 clients need 132 processes, (\d+) are left of the {allowed} that'
                      r' ulimit -u allows: (\d+) are there', done.stderr)
    assert found, done.stderr
    assert int(found[1]) + int(found[2]) == allowed
    assert int(found[2]) >= 10
    assert not (folder / 'lab').exists()


def test_every_limit_on_processes_is_seen(folder):
    """Catches a control group, ours or one above it, or a limit of the kernel that is left out."""
    files = {'proc/loadavg': '0.1 0.2 0.3 2/345 6789', 'proc/sys/kernel/pid_max': '32768',
             'proc/sys/kernel/threads-max': '1000',
             'proc/self/cgroup': '8:pids:/box\n1:name=systemd:/x\n0::/user/me',
             'cg/user/me/pids.max': 'max', 'cg/user/me/pids.current': '3',
             'cg/user/pids.max': '77', 'cg/user/pids.current': '5',
             'cg/pids/box/pids.max': '99', 'cg/pids/box/pids.current': '9'}
    for name, text in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text + '\n')
    found = {str(name).removeprefix(str(folder)): (allowed, used) for name, allowed, used
             in checks.task_limits(folder / 'proc', folder / 'cg')}
    found.pop('ulimit -u', None)
    assert found == {'kernel.pid_max': (32768, 345), 'kernel.threads-max': (1000, 345),
                     '/cg/user/pids.max': (77, 5), '/cg/pids/box/pids.max': (99, 9)}
    with pytest.raises(SystemExit, match='--clients 80'):
        checks.check_tasks(100, [checks.TaskLimit('it', 300, 100)])
    with pytest.raises(SystemExit, match='raise it, end some$'):
        checks.check_tasks(100, [checks.TaskLimit('it', 300, 200)])
    checks.check_tasks(80, [checks.TaskLimit('it', 300, 100)])


@needs_gnuplot
def test_too_few_descriptors_are_said_at_the_start(folder):
    """Catches a run that fails at its largest step, minutes later."""
    command = ['prlimit', '--nofile=500:500', sys.executable, LAB / 'run', '-o', folder / 'lab',
               '--clients', '1000']
    result = subprocess.run(command, capture_output=True, text=True, timeout=DEADLINE, check=False,
                            env={**os.environ, 'BUILD': str(BUILD)})
    assert result.returncode != 0
    assert '1000 clients need 1120 open files, allowed are 500' in result.stderr
    assert '--clients 380' in result.stderr


@needs_gnuplot
def test_other_settings_are_not_mixed_into_a_folder(folder):
    """Catches a resumed run whose medians mix two kinds of measurement."""
    output = folder / 'lab'
    output.mkdir()
    (output / 'machine.txt').write_text('run: full: 5 rounds of 1 s, at most 10000 clients\n')
    assert 'other settings' in refused('-o', output, '--resume')


@needs_gnuplot
def test_a_folder_in_which_no_run_was_is_not_gone_on_with(folder):
    """Catches a misspelt folder with --resume that begins a run of minutes, or is made."""
    (folder / 'empty').mkdir()
    for output in (folder / 'empty', folder / 'missing', folder / 'missing' / 'below'):
        assert refused('-o', output, '--resume', *CONNECT) == (
            f'lab: nothing to resume in {output}: no run has begun there\n'
            'lab: give the folder of that run with -o, or leave --resume away\n')
    assert [path.name for path in folder.iterdir()] == ['empty']
    assert list((folder / 'empty').iterdir()) == []


# ---- servers that fail -------------------------------------------------------------------

def build_with(folder, name, script):
    """A build folder with the load generator, forkecho, and a server of our own."""
    build = folder / 'build'
    (build / 'hazards').mkdir(parents=True)
    for each in ('echoload', 'forkecho'):
        (build / each).symlink_to(BUILD / each)
    server = build / name
    server.write_text(f'#!{sys.executable}\n{script}')
    server.chmod(0o755)
    return str(build)


BEGIN = '''import os, socket, sys
if '--help' in sys.argv:
    sys.exit()
listener = socket.create_server(('127.0.0.1', 0), backlog=100)
print('127.0.0.1:%d' % listener.getsockname()[1], flush=True)
'''


@needs_gnuplot
@pytest.mark.parametrize('script, note', [
    ("import sys\nsys.exit('no luck today')\n", 'did not start: no luck today'),
    (BEGIN + "listener.accept()\nsys.exit('had enough')\n",
     'the server died (status 1): had enough'),
    (BEGIN + 'while True:\n    listener.accept()[0].close()\n', 'answers nobody'),
], ids=['refuses', 'dies', 'answers nobody'])
def test_a_server_that_fails_is_a_row(folder, script, note):
    """Catches a server that stops the comparison of all others, or hangs it."""
    build = build_with(folder, 'badecho', script)
    output = folder / 'lab'
    status, _, err = Run('-o', output, '--workloads', 'connect', *SMALL, BUILD=build).finish()
    assert status == 1
    assert err.endswith('measurements failed, see above; --resume tries them again\n')
    found = rows(output, 'connect')
    assert {row['note'] for row in found if row['model'] == 'badecho'} == {note}
    assert {row['note'] for row in found if row['model'] == 'forkecho'} == {''}
    assert note in err
    assert f'badecho: {note}' in (output / 'report.html').read_text()


@pytest.mark.parametrize('words', ['fork: Resource temporarily unavailable',
                                   'mineecho: pthread_create failed: Resource temporarily ...'])
def test_a_server_that_is_short_of_processes_is_a_failed_row(folder, words):
    """Catches a limit of the machine that is told as a truth about the model."""
    build = build_with(folder, 'badecho', BEGIN + f"print('{words}', file=sys.stderr, flush=True)\n"
                       'listener.accept()\nlistener.accept()\n')
    with models.Server(models.find(Path(build))['badecho'], 1) as server:
        eventually(lambda: words in server.words(), 'it has said so')
        with pytest.raises(models.ServerFailed, match='^too few processes allowed: '):
            server.check()
        assert results.failed({'note': 'too few processes allowed: fork: '})


ONE_AT_A_TIME = BEGIN + '''while True:
    client = listener.accept()[0]
    try:
        while data := client.recv(4096):
            client.sendall(data)
    except ConnectionError:
        pass
    client.close()
'''


def fates(folder):
    return verdicts.fates([report.numeric(row) for row in rows(folder, 'misbehaviour')])


@long
@needs_gnuplot
def test_a_server_of_one_client_is_no_hang(folder):
    """Catches a comparison that waits for a server that never serves two clients at once."""
    build = build_with(folder, 'slowecho', ONE_AT_A_TIME)
    output = folder / 'lab'
    status, _, err = Run('-o', output, *SMALL, BUILD=build, **{}).finish()
    assert status == 0, err
    own = [row for row in rows(output, 'ping') if row['model'] == 'slowecho']
    assert [(row['clients'], bool(row['rate']), row['note']) for row in own] == \
        [('1', True, ''), ('8', False, 'serves 1 at a time'), ('12', False, 'serves 1 at a time')]
    words = fates(output)
    assert words['slowecho']['nonreading'] == 'starved'
    assert words['forkecho']['crash'] == 'served'

    def is_served(seconds):  # a twentieth of a second may go by on a busy machine
        again = folder / f'lab-{seconds}'
        command = ['--models', 'forkecho', '--workloads', 'misbehaviour', '--clients', '12',
                   '--rounds', '1', '--seconds', seconds]
        assert Run('-o', again, *command).finish()[0] == 0
        return fates(again)['forkecho']['nonreading'] == 'served'

    assert words['forkecho']['nonreading'] == 'served' or in_time(is_served, 0.5, 2, 5)


# ---- what is measured --------------------------------------------------------------------

def lab_of(clients=12):
    return workloads.Lab(BUILD, workloads.limited(QUICK, clients)._replace(seconds=0.1))


def family(name):
    return models.Model(name, BUILD / name, '')


def scripted(folder, script):
    """A server of our own, as a model."""
    return models.Model('badecho', Path(build_with(folder, 'badecho', script)) / 'badecho', '')


FORKS = BEGIN + '''while True:
    client = listener.accept()[0]
    if os.fork() == 0:
        while data := client.recv(4096):
            client.sendall(data)
        os._exit(0)
    client.close()
'''


def test_zombies_are_counted_from_when_they_can_be_reaped(folder):
    """Catches a reap delay of a moment in which there was no zombie, and one who never reaps shown
    as one who does."""
    found = workloads.measure_leaving(lab_of(), family('forkecho'))
    assert (found['zombies'], found['zombies_left']) == (12, 0)
    assert 0 < found['look_ms'] <= found['reap_ms']
    found = workloads.measure_leaving(lab_of(), scripted(folder, FORKS))
    assert found['zombies_left'] == found['zombies'] >= 12 and 'reap_ms' not in found


THREADS_FORK = BEGIN + '''import threading
def serve(client):
    if os.fork() == 0:
        while data := client.recv(4096):
            client.sendall(data)
        os._exit(0)
    client.close()
    os.wait()
while True:
    threading.Thread(target=serve, args=[listener.accept()[0]]).start()
'''


def test_children_of_threads_are_seen(folder):
    """Catches a server whose threads fork and of which only the first thread's children are counted:
    it seems to have none, and to leave no zombie."""
    with models.Server(scripted(folder, THREADS_FORK), 3) as server, Clients(server) as clients:
        assert clients.open_up_to(3) == 3
        assert len(models.children(server.pid)) == 3
        assert workloads.census(server)['processes'] == 4
        assert workloads.process_of(server, clients.sockets[1]) in models.children(server.pid)


CROWDED = BEGIN.replace('backlog=100', 'backlog=0') + '''import signal
client = listener.accept()[0]
while data := client.recv(4096):
    client.sendall(data)
stays = socket.create_connection(listener.getsockname())
signal.pause()
'''


def test_who_is_shut_out_by_a_full_backlog_has_starved(folder):
    """Catches a server whose misbehaving clients leave no room for others, shown as one that was
    not measured; and others that are there before those who misbehave, as on a busy machine."""
    model = scripted(folder, CROWDED)
    late = model.path.parent / 'late'
    late.mkdir()
    (late / 'echoload').write_text('#!/bin/sh\n[ "$1" != nonreading ] || sleep 0.3\n'
                                   f'exec {BUILD.resolve()}/echoload "$@"\n')
    (late / 'echoload').chmod(0o755)
    lab = lab_of()
    lab.build = late
    row, = workloads.measure_misbehaviour(lab, model, 'nonreading')
    assert verdicts.fate({'kind': 'nonreading', **row}) == 'starved'


@pytest.mark.skipif(not (BUILD / 'echo_program').exists(), reason='the program is not built here')
def test_exec_is_a_model_that_runs_a_program():
    """Catches a program that is not what is measured, or that goes on when the server is stopped or
    has ended, as it has a session of its own; and programs whose processor time is nobody's."""
    model = models.find(BUILD)['exec']
    with models.Server(model, 12) as server, Clients(server) as clients:
        assert clients.open_up_to(3) == 3
        programs = models.children(server.pid)
        assert [Path(f'/proc/{pid}/exe').resolve().name for pid in programs] == ['echo_program'] * 3
        server.signal_all(signal.SIGSTOP)
        eventually(lambda: all(process(pid).state == 'T' for pid in programs), 'all are stopped')
        server.signal_all(signal.SIGCONT)
        server.stop()
        assert [pid for pid in programs if Path(f'/proc/{pid}').exists()] == []
    row, = workloads.measure_connect(lab_of(), model, 8)
    assert row['rate'] > 0 and row['failed'] == 0
    echo, = workloads.measure_connect(lab_of(), family('forkecho'), 8)
    assert row['cpu_us'] > echo['cpu_us']


LATE = BEGIN + """import time
client = listener.accept()[0]
while time.process_time() < 0.5:
    pass
client.sendall(client.recv(10))
while True:
    time.sleep(1000)
"""


def test_who_answers_late_has_answered(folder, monkeypatch):
    """Catches a server that is said to serve none or few at once, as the machine was so busy that
    an answer took longer than a look at it; and a wait without end for one that sleeps."""
    monkeypatch.setattr('clients.SILENCE', 0.1)
    with models.Server(scripted(folder, LATE), 1) as server, Clients(server) as clients:
        assert clients.open_up_to(2) == 1


def test_the_crowd_is_counted_at_a_server_that_had_no_other():
    """Catches what 200 clients have left behind, shown as what one needs."""
    rows = workloads.measure_lifecycle(lab_of(), family('threadpoolecho'), '')
    counted = {row['clients']: row['threads'] for row in rows}
    assert counted[1] < counted[12] and counted[0] <= counted[1] <= 3


def test_the_process_that_crashes_is_the_one_that_serves():
    """Catches a crash of an idle process of a pool, which hurts nobody and shows nothing."""
    with models.Server(family('preforkecho'), 12) as server, Clients(server) as clients:
        assert clients.open_up_to(3) == 3
        serving = [workloads.process_of(server, client) for client in clients.sockets]
        assert len(set(serving)) == 3 and set(serving) <= set(models.children(server.pid))
        os.kill(serving[1], signal.SIGKILL)
        assert clients.still_served() == 2


DEAR_TO_START = BEGIN.replace("print(", """import time
while time.process_time() < 0.5:
    pass
print(""") + ONE_AT_A_TIME.removeprefix(BEGIN)


def test_a_message_costs_what_it_costs_amid_a_run(folder):
    """Catches the opening of a server and its clients in the cost of their messages: here half a
    second, which over the messages of the run is some 500 us each."""
    rows = workloads.measure_ping(lab_of(), scripted(folder, DEAR_TO_START), 1)
    assert 0 < rows[0]['cpu_us'] < 0.5 / (rows[0]['rate'] * 0.15) * 1e6


# ---- verdicts ----------------------------------------------------------------------------

def connect_rows(**rates):
    """Rows of the workload connect: each model's rates, a round each."""
    return [{'model': model, 'clients': 8, 'round': turn, 'rate': rate, 'cpu_us': 1e6 / rate}
            for model, values in rates.items() for turn, rate in enumerate(values)]


def test_spreads_that_overlap_are_no_difference():
    """Catches a verdict that is drawn from noise."""
    assert not verdicts.differ(Spread(100, 80, 120), Spread(200, 119, 230))
    assert not verdicts.differ(Spread(200, 119, 230), Spread(100, 80, 119))


def test_a_small_difference_is_no_difference():
    """Catches a verdict that the next run takes back."""
    near = 100 * (verdicts.CLEAR - 0.01)
    assert not verdicts.differ(Spread(100, 99, 101), Spread(near, near - 1, near + 1))
    far = 100 * (verdicts.CLEAR + 0.01)
    assert verdicts.differ(Spread(100, 99, 101), Spread(far, far - 1, far + 1))
    assert verdicts.differ(Spread(far, far - 1, far + 1), Spread(100, 99, 101))


def test_one_bad_round_of_five_changes_nothing():
    """Catches a spread that one slow moment of the machine widens over all others."""
    assert verdicts.spread([100, 101, 99, 5, 102]) == Spread(100, 99, 101)
    assert verdicts.spread([None, 3]) == Spread(3, 3, 3)
    assert verdicts.spread([None]) is None


def test_the_best_group_holds_all_that_do_not_differ_from_the_best():
    """Catches a winner that is none, and a winner of the wrong end."""
    spreads = {'a': Spread(100, 90, 110), 'b': Spread(95, 85, 105), 'c': Spread(10, 9, 11)}
    assert verdicts.best_group(spreads, True) == ['a', 'b']
    assert verdicts.best_group(spreads, False) == ['c']


WORDS = ('is faster than', 'is slower than')


def test_a_verdict_tells_numbers_spread_and_ratio():
    """Catches a claim without the numbers that it is drawn from, or with wrong ones."""
    rates = verdicts.column(connect_rows(forkecho=[9100, 8700, 9400], textbook=[3000, 3033, 3100]),
                            'rate')
    found = verdicts.compare(rates, 'forkecho', 'textbook', WORDS, '/s')[0]
    assert found.claim == 'forkecho is faster than textbook.'
    assert verdicts.in_words(found) == \
        'forkecho 9,100/s (8,700-9,400), textbook 3,030/s (3,000-3,100): 3 times'
    assert verdicts.compare(rates, 'textbook', 'forkecho', WORDS, '/s')[0].claim == \
        'textbook is slower than forkecho.'
    assert verdicts.compare(rates, 'forkecho', 'iterecho', WORDS, '/s') == []


def test_apart_but_near_is_a_note_and_another_build_is_said():
    """Catches a claim that the next run takes back, as whether two near spreads touch is chance;
    and that they do not touch, which the page's rule tells apart, said nowhere."""
    spreads = {'forkecho-static': Spread(110, 109, 111), 'textbook': Spread(100, 99, 101),
               'forkecho': Spread(100, 98, 109)}
    def of_pair(one, other):
        found, = verdicts.compare(spreads, one, other, WORDS, '')
        return found.claim, found.note
    assert of_pair('forkecho-static', 'textbook') == (
        'forkecho-static (another build: static, with musl) and textbook: no clear difference.',
        f'1.1 times; apart, but by less than {verdicts.CLEAR} times')
    assert of_pair('forkecho', 'textbook') == ('forkecho and textbook: no clear difference.',
                                               '1 times; the spreads overlap')
    best = verdicts.ranking(spreads, False, 'Least', '')[0]
    assert best.claim.endswith('none of them differs clearly from the best.')
    assert ('forkecho-static', '110 (109-111)', f'1.1 times; apart, but by less than {verdicts.CLEAR}'
            ' times') in best.numbers
    spreads['forkecho'] = Spread(129.9, 129, 131)
    assert of_pair('forkecho', 'textbook')[1].startswith('1.29 times; apart, but')  # not 1.3


def test_the_claims_of_two_noisy_runs_are_the_same():
    """Catches a claim that holds a number, or that noise turns round: also where the ratio is near
    what is the least that was seen of two designs, and the most that was seen of one."""
    runs = [dict(forkecho=[7000, 7100, 7200], threadecho=[18000, 18100, 17000],
                 textbook=[5000, 5080, 5200], selectecho=[31000, 33100, 33500],
                 epollecho=[34800, 36000, 35900]),
            dict(forkecho=[6100, 8100, 7700], threadecho=[16000, 18900, 19000],
                 textbook=[5500, 5480, 5520], selectecho=[36500, 36400, 36000],
                 epollecho=[34800, 36000, 35900])]
    claims = [[verdict.claim for verdict in verdicts.of_connect(connect_rows(**run))]
              for run in runs]
    assert claims[0] == claims[1]
    assert 'forkecho spends more processor time on a connection than threadecho.' in claims[0]
    assert 'forkecho spends less processor time on a connection than textbook.' in claims[0]
    assert 'epollecho and selectecho; none of them differs' in claims[0][0]


def test_one_rule_judges_whatever_is_compared():
    """Catches "less (1.2 times)" in one section of the page and "no clear difference (1.24)" in the
    next: whoever compares asks the same function, and its words stand beside the numbers."""
    def rounds(column, low, high, *keys):
        return [{'model': model, 'round': turn, key: step, column: value + turn}
                for turn in range(3) for key, models in keys
                for model, step, value in models(low, high)]
    two = ('clients', lambda low, high: [('forkecho', 8, low), ('textbook', 8, high)])
    held = ('clients', lambda low, high: [('forkecho', 0, low), ('forkecho', 2500, high)])
    loops = ('loop', lambda low, high: [('forkecho', 'closed', low), ('forkecho', 'schedule', high)])
    for high, clear in ((1290, False), (1310, True)):
        words = '1.3 times' if clear else '1.28 times; apart, but by less than 1.3 times'
        for found, differs in (
                (verdicts.of_connect(rounds('cpu_us', 1000, high, two))[-1], 'less processor'),
                (verdicts.of_figure_30_1(rounds('cpu_s', 1000, high, two))[0], 'less processor'),
                (verdicts.of_held(rounds('main_us', 1000, high, held))[0], 'costs more'),
                (verdicts.of_stall(rounds('p90', 1000, high, loops))[0], 'hides the stall')):
            assert (differs in found.claim) == clear, found
            assert words in verdicts.in_words(found), found
        rows = [*misbehaving('none', [high, high, high]), *misbehaving('reset', [1000] * 3)]
        assert verdicts.to_none(rows, 'forkecho', 'reset')[1] == clear


def test_what_a_busy_machine_can_turn_has_no_verdict():
    """Catches a claim that was drawn while other programs had the processors, and a page that does
    not say so where the reader begins."""
    rows = [{**row, 'taken': 100.0 / (1 + turn)} for turn, row in
            enumerate(connect_rows(forkecho=[9100, 8700, 9400], textbook=[3000, 3033, 3100]))]
    assert [each.claim for each in verdicts.of('connect', rows)] == [
        'No verdict: other programs took 41 % of the processors.']
    calm = [{**row, 'taken': verdicts.QUIET} for row in rows]
    assert 'forkecho spends less' in verdicts.of('connect', calm)[1].claim
    counts = [{'model': 'forkecho', 'clients': 1000.0, 'served': 500.0, 'taken': 90.0}]
    assert verdicts.of('lifecycle', counts)[0].claim == 'forkecho cannot serve all clients at once.'

    class Kept:
        def __init__(self, *shares):
            self.rows = [{'taken': str(share)} for share in shares]
    assert report.busy_words({'connect': Kept(7, 8), 'ping': Kept('', 3)}) == ''
    words = report.busy_words({'connect': Kept(70, 10), 'ping': Kept(3)})
    assert words.startswith('This machine was busy. Other programs took 40 % of its processors while'
                            ' "Connections" was measured.')
    words = report.busy_words({'connect': Kept(40), 'ping': Kept(13)})
    assert ' took 13 to 40 % of its processors while all of this was measured.' in words
    rows = [{**row, 'taken': 40.0} for row in misbehaving('reset', [0, 0, 0])]
    cell = tables.misbehaviour_cell(rows, 'reset', 'starved')
    assert 'not judged' in cell and 'starved' not in cell
    assert report.busy_html({'connect': Kept(40)}).startswith('<p class="busy"><strong>This machine')


def test_what_others_take_of_the_processors_is_seen():
    """Catches a busy machine that is taken for a quiet one: here one program spins for half a second
    of processor time."""
    before = models.worked_elsewhere()
    with subprocess.Popen([sys.executable, '-c', 'import time\nwhile time.process_time() < 0.5: pass\n'
                           'print(flush=True)\ninput()'], stdin=subprocess.PIPE,
                          stdout=subprocess.PIPE) as other:
        other.stdout.readline()  # it has not ended, so what it has worked is not ours
        assert models.worked_elsewhere() - before > 0.25


def test_a_cost_that_grows_with_the_held_is_told_from_one_that_does_not():
    """Catches a verdict that takes the noise of a round, or a few clients, for growth; one that
    denies what the medians beside it say; and a cost that shrinks shown as none."""
    def held(model, turn, *costs):
        return [{'model': model, 'clients': step, 'round': turn, 'main_us': cost}
                for step, cost in zip((0, 800, 2500), costs)]
    rows = [*held('flat', 1, 60, 61, 62), *held('flat', 2, 59, 62, 63),
            *held('loud', 1, 45, 61, 36), *held('loud', 2, 37, 62, 139),
            *held('loud', 3, 47, 61, 126), *held('less', 1, 20, 19, 18),
            *held('less', 2, 20, 19, 17),
            *held('rising', 1, 60, 120, 250), *held('rising', 2, 61, 130, 260)]
    flat, rising = verdicts.of_held(rows)
    assert flat.claim == ('Others held open make no clear difference to a connection of flat, loud'
                          ' and less.')
    assert rising.claim == 'A connection costs more beside others held open, with rising.'
    assert flat.numbers[1][4] == '2.8 times; the spreads overlap'
    assert rising.numbers == [('rising', '60.5 µs (60-61)', '255 µs (250-260)', '2,500',
                               '4.21 times', '77.8 ns')]
    assert flat.numbers[2][-1] == '-1 ns'
    assert verdicts.of_held([{'model': 'few', 'clients': step, 'main_us': 10.0 * step + 10}
                             for step in (0, 12)]) == []


def test_quick_runs_tell_the_same_of_the_held():
    """Catches a threshold amid what one server differs by from run to run. The costs are those of
    five runs, three of them on a busy machine, with none held and with 2500."""
    runs = [dict(forkecho=[(81, 70), (80, 91), (88, 89)], threadecho=[(49, 114), (53, 106), (48, 153)],
                 threadpoolecho=[(36, 83), (28, 37), (35, 101)],
                 textbook=[(76, 330), (85, 214), (98, 225)]),
            dict(forkecho=[(75, 89), (97, 121), (73, 87)], threadecho=[(35, 74), (38, 84), (38, 95)],
                 threadpoolecho=[(37, 59), (26, 55), (26, 67)],
                 textbook=[(100, 218), (93, 214), (79, 214)]),
            dict(forkecho=[(64, 84), (80, 77), (63, 87)], threadecho=[(42, 113), (50, 169), (50, 80)],
                 threadpoolecho=[(37, 103), (29, 107), (35, 84)],
                 textbook=[(84, 217), (61, 165), (61, 167)]),
            dict(forkecho=[(86, 86), (87, 95), (89, 101)], threadecho=[(39, 83), (41, 88), (42, 97)],
                 threadpoolecho=[(29, 69), (30, 90), (38, 96)],
                 textbook=[(95, 210), (96, 227), (98, 241)]),
            dict(forkecho=[(66, 69), (67, 75), (84, 95)], threadecho=[(29, 46), (33, 57), (34, 62)],
                 threadpoolecho=[(20, 23), (21, 28), (26, 47)],
                 textbook=[(68, 171), (77, 173), (82, 195)])]
    claims = [[verdict.claim for verdict in verdicts.of_held(
        [{'model': model, 'clients': step, 'round': turn, 'main_us': cost}
         for model, pairs in run.items() for turn, pair in enumerate(pairs)
         for step, cost in zip((0, 2500), pair)])] for run in runs]
    assert all(each == claims[0] for each in claims)
    flat, rising, unsettled = claims[0]
    assert flat.endswith('to a connection of forkecho.') and rising.endswith('open, with textbook.')
    assert unsettled.startswith('No verdict on threadecho and threadpoolecho')


def misbehaving(kind, rates, failed=0, model='forkecho'):
    return [{'model': model, 'kind': kind, 'round': turn, 'rate': rate, 'failed': failed,
             'note': None} for turn, rate in enumerate(rates)]


def test_others_are_slowed_only_where_that_is_clear():
    """Catches a claim of what one round says, and a slow service that is shown as a full one."""
    rows = [*misbehaving('none', [50, 90, 60]), *misbehaving('reset', [55, 45, 12]),
            *misbehaving('nonreading', [10, 9, 12]), *misbehaving('dribble', [0, 70, 80], 2)]
    assert verdicts.to_none(rows, 'forkecho', 'reset') == (Spread(0.5, 0.2, 1.1), False)
    assert verdicts.to_none(rows, 'forkecho', 'nonreading')[1]
    assert verdicts.to_none(rows, 'forkecho', 'storm') == (None, False)
    assert set(verdicts.fates(rows[:9])['forkecho'].values()) == {'served'}
    assert 'in every round' in verdicts.of_misbehaviour(rows[:9])[0].claim
    assert '– slowed' in tables.misbehaviour_cell(rows, 'nonreading', 'served')
    assert 'in 2 of 3 rounds' in tables.misbehaviour_cell(rows, 'dribble', 'cut')


def test_what_succeeds_in_part_is_no_success():
    """Catches a server that is green, or said to be safe, which served the others in two rounds of
    three."""
    rows = [*misbehaving('none', [50, 90, 60]), *misbehaving('reset', [55, 45, 0])]
    cell = tables.misbehaviour_cell(rows, 'reset', 'served')
    assert '"served partly"' in cell and 'in 2 of 3 rounds' in cell
    assert '.served:not(.partly) { color' in (LAB / 'page.html').read_text()
    claim, = verdicts.of_misbehaviour(rows)
    assert claim.claim == 'Resetting connections starves the other clients of forkecho.'
    assert verdicts.in_words(claim) == 'forkecho in 1 of 3 rounds'


def test_who_has_no_others_loses_none():
    """Catches a server of one client of which the page says that 0 of 0 others were lost."""
    assert tables.losses(Spread(0, 0, 0), {'others': 0, 'welcome': 0}) == \
        'no others, all that come later lost'
    assert tables.losses(Spread(4, 4, 4), {'others': 4, 'welcome': 0}) == \
        '4 of 4 others lost, and all that come later'
    assert tables.losses(Spread(0, 0, 0), {'others': 4, 'welcome': 1}) == '0 of 4 others lost'


def test_a_column_has_its_unit():
    """Catches numbers of which only the source knows whether they are microseconds, ms or a count, and "us", which is a word."""
    counts = {'failed', 'served', 'processes', 'threads', 'descriptors', 'wave', 'zombies_peak',
              'zombies', 'zombies_left', 'connections', 'count', 'others', 'lost', 'welcome'}
    for workload in WORKLOADS.values():
        for name in workload.columns:
            unit = re.search(r' \((µs|ms|s|KiB|1/s|%)\)$', tables.with_unit(name))
            assert (unit is None) == (name in counts), name
    assert tables.with_unit('cpu_us') == 'cpu (µs)' and tables.with_unit('p99.9') == 'p99.9 (µs)'


def test_a_time_below_what_a_look_takes_is_told_as_such():
    """Catches a zombie of age 0, which is one that was not measured."""
    seen = {'zombies': 9.0, 'zombies_left': 0.0, 'look_ms': 0.8, 'reap_ms': 0.8}
    assert verdicts.reaping(seen) == '< 0.8 ms'
    assert verdicts.reaping({**seen, 'reap_ms': 4.0}) == 'at most 4 ms'
    assert verdicts.reaping({**seen, 'zombies': 0.0, 'reap_ms': None}) == 'none to reap'
    assert tables.reaped([seen, {**seen, 'reap_ms': 0.6}, {**seen, 'reap_ms': 0.7}]) == \
        '&lt; 0.7 ms (0.6-0.8)'


def test_his_order_is_that_of_all_his_hosts():
    """Catches a verdict on two designs that his own machines disagree about, and a server that is
    cheaper than the iterative one shown as equal."""
    pairs = [(one[0], other[0]) for one, other in stevens.ordered_pairs()]
    assert pairs == [('fork', 'prefork'), ('fork', 'thread'), ('fork', 'thread pool'),
                     ('prefork', 'thread')]
    rows = [{'model': model, 'round': turn, 'cpu_s': cost + turn / 100} for turn in (1, 2, 3)
            for model, cost in (('forkecho', 0.7), ('preforkecho', 0.15), ('threadecho', 0.24),
                                ('iterecho', 0.2))]
    claim = verdicts.of_figure_30_1(rows)[-1].claim
    assert claim == ('As on all of his machines: fork takes more than prefork, fork takes more than'
                     ' thread. Unlike on his machines: prefork takes less than thread.')
    assert [round(value, 6) for value in stevens.above(rows)['preforkecho']] == [-0.05] * 3
    assert stevens.above([row for row in rows if row['model'] != 'iterecho']) == {}


def test_every_workload_has_verdicts_also_of_nothing():
    """Catches a report that an empty or failed workload breaks."""
    for name in WORKLOADS:
        failed = {'model': 'forkecho', 'note': 'died', WORKLOADS[name].step: None,
                  **dict.fromkeys(WORKLOADS[name].columns)}
        assert verdicts.OF[name]([]) == []
        assert [each.claim for each in verdicts.of(name, [failed])] == [
            'No verdict: no server could be measured.']


def test_where_no_verdict_is_drawn_is_said_why():
    """Catches a workload that was measured and of which the page says nothing."""
    few = [{'model': 'forkecho', 'clients': step, 'round': 1, 'note': None, 'main_us': 60.0,
            'cpu_us': 60.0, 'cpu_s': 0.3} for step in (0, 100)]
    claim = verdicts.of('held', few)[0].claim
    assert 'No verdict' in claim and '500 clients or more' in claim
    for name in ('connect', 'ping', 'figure-30.1'):
        assert verdicts.of(name, few)[0].claim == \
            'No verdict: there is no other server to compare with.'
    assert verdicts.of('held', []) == []


# ---- the page in a browser ---------------------------------------------------------------

NAMES = ['epollecho', 'exec', 'exec-static', 'forkecho', 'forkecho-static', 'iterecho', 'pollecho',
         'preforkecho', 'selectecho', 'threadecho', 'threadecho-static', 'threadpoolecho', 'textbook']


def test_no_two_models_look_the_same():
    """Catches two lines that cannot be told apart, and looks that change with what is built."""
    style = plots.Style([*NAMES, 'mineecho', 'mineecho-static'])
    looks = {name: style.of(name) for name in style.place}
    looks |= {name: style.of(name) for name in [*NAMES, 'mineecho-static']}
    assert len({(look.colour, look.shape) for look in looks.values()}) == len(looks) == 15
    for name in ('forkecho', 'exec', 'threadecho', 'mineecho'):
        static = style.of(f'{name}-static')
        assert static.colour == looks[name].colour and static.dash != looks[name].dash
    assert looks['textbook'].colour == 'black'
    assert all(plots.Style(NAMES).of(name) == looks[name] for name in NAMES)
    many = plots.Style([f'{number}echo' for number in range(51)])
    assert len({many.of(name)[:2] for name in many.place}) == 60


@pytest.mark.parametrize('low, high', [(-3200, 9800), (0, 1), (0.03, 0.07), (-1e-4, 9.99e5), (2, 2)])
def test_labels_of_an_axis_have_room(low, high):
    """Catches labels that stand in each other where a font is wide or an axis goes below zero, and an
    axis with hardly any."""
    steps = (high - low) / plots.round_ticks(low, high)
    assert low == high or 1.6 <= steps <= 4


def height_of_data(plot):
    """How many of the units of a plot its axis goes up."""
    drawn = plots.svg('some', plot, plots.Style(NAMES), 'A title', 'a text')
    borders = re.findall(r"d='M([\d.]+),([\d.]+) L([\d.]+),([\d.]+) L", drawn)
    return max(abs(float(y) - float(to_y)) for x, y, to_x, to_y in borders if x == to_x)


@needs_gnuplot
@pytest.mark.parametrize('busy', ['', f'busy client ({verdicts.BUSY} %)', 'a client ' * 4])
def test_a_legend_takes_nothing_of_the_data(busy):
    """Catches lines that are squashed by a legend of more rows than the plot has room for: many
    models, or an entry so long that all are below one another."""
    line = [(1, Spread(5, 4, 6)), (8, Spread(50, 40, 60))]
    heights = [height_of_data(plots.Lines('clients', 'us', True, True, dict.fromkeys(names, line),
                                          rings=[(names[0], 1, 5)] if busy else [], ring=busy.strip()))
               for names in (NAMES[:1], NAMES)]
    assert min(heights) >= 220 and max(heights) - min(heights) < 1, heights


@needs_gnuplot
def test_a_point_hides_nothing_of_its_error_bar():
    """Catches the white disc that gnuplot 6 draws behind each point: a short bar is not seen, and
    the disc glares on black."""
    line = [(1, Spread(5, 4, 6)), (8, Spread(50, 40, 60))]
    plot = plots.Lines('clients', 'us', True, True, {'forkecho': line})
    assert "'white'" not in plots.svg('some', plot, plots.Style(NAMES), 'A title', 'a text')


def test_no_label_of_an_axis_touches_the_next():
    """Catches two numbers of clients that are read as one, as 1000 and 2500 are near on an axis of
    ratios; and a label that is dropped where there is room."""
    def shown(log, *points):
        axis = plots.x_axis(plots.Lines('', '', log, log, {'one': [(x, None) for x in points]}))
        return re.findall(r'"(\d+)"', axis)
    assert shown(True, 1, 10, 100, 1000, 2500) == ['1', '10', '100', '2500']
    assert shown(True, 1, 10, 100, 1000, 10000) == ['1', '10', '100', '1000', '10000']
    assert shown(False, 0, 800, 2000, 5000, 10000) == ['0', '800', '2000', '5000', '10000']
    assert shown(True, 8) == ['8']


class Rows:
    """Made-up results of one workload: what a run of all models has, in full width."""

    def __init__(self, workload):
        steps = {'connect': QUICK.calling, 'ping': QUICK.talking, 'held': QUICK.held,
                 'lifecycle': [0, 1, 10, 100, 1000, 2500]}.get(workload.name) \
            or workload.steps(QUICK)
        self.rows = [
            {'model': model, workload.step: str(step), 'round': str(turn), 'note': '',
             **{column: str(1234.56 * (place + 1 + turn / 9)) for column in workload.columns}}
            for place, model in enumerate(NAMES) for turn in (1, 2, 3) for step in steps]
        self.rows.append({**dict.fromkeys(self.rows[0], ''), 'model': 'iterecho', 'note':
                          'the server died (status 1): a long story about what went wrong in it'})


class Busy:
    """Results of a busy machine."""
    rows = [{'taken': '70'}]


@pytest.fixture(scope='module')
def page(tmp_path_factory):
    """A report of all models with every plot."""
    output = tmp_path_factory.mktemp('lab')
    known = {name: models.Model(name, None, 'What it is, in one sentence.') for name in NAMES}
    machine = {'when': '2026-01-01', 'processor': 'A Processor With A Long Name', 'cores': '2',
               'kernel': 'Linux', 'run': 'quick', 'took': '180 s'}
    report.write(output, machine, known, known, {name: Rows(each)
                                                 for name, each in WORKLOADS.items()})
    return output / 'report.html'


@pytest.fixture(scope='module')
def browser():
    with Browser() as running:
        yield running


@needs_gnuplot
@pytest.mark.skipif(not INSTALLED, reason='chromium and chromedriver are missing')
def test_every_plot_can_be_read(page, browser):
    """Catches a plot that is missing, cut off, too small, or drawn over itself, and words or lines
    that do not stand out, on a phone and on a desk, by day and by night. One test, as a browser
    takes longer to start than to show all four."""
    for width, scheme in SCREENS:
        browser.show(page, width, scheme)
        check_plots(browser)


def check_plots(browser):
    seen = browser.run(LOOK)
    assert seen['page'][0] <= seen['page'][1], 'the page is wider than the screen'
    names = [f'plot-{figure.name}' for section in report.SECTIONS for figure in section.figures]
    def figure_of(plot):  # one of several panels has a number behind its figure's name
        return next(name for name in names if re.fullmatch(rf'{name}(-\d)?', plot['name']))
    assert list(dict.fromkeys(map(figure_of, seen['plots']))) == names
    for plot in seen['plots']:
        frame = plot['box']
        assert frame['width'] > 250 and frame['height'] > 150, plot['name']
        assert frame['left'] >= 0 and frame['right'] <= seen['page'][1], plot['name']
        assert len(plot['words']) > 5, plot['name']
        for word in plot['words']:
            assert inside(word['box'], frame), (plot['name'], word)
            assert word['size'] >= 9.5, (plot['name'], word)
            assert contrast(word['colour'], plot['behind']) >= 4.5, (plot['name'], word)
        pairs = [(one['text'], other['text']) for place, one in enumerate(plot['words'])
                 for other in plot['words'][place + 1:] if overlap(one['box'], other['box'])]
        assert pairs == [], plot['name']
        assert plot['lines'], plot['name']
        for colour in plot['lines']:
            assert contrast(colour, plot['behind']) >= 3, (plot['name'], colour)
    for text in seen['prose']:
        assert text['size'] >= 12, text
        assert contrast(text['colour'], text['behind']) >= 4.5, text


@needs_gnuplot
@pytest.mark.skipif(not INSTALLED, reason='chromium and chromedriver are missing')
def test_a_sheet_of_paper_is_wide_enough(page, browser):
    """Catches a table or a plot of which the printer cuts off the right, as paper does not scroll:
    A4 is 794 px wide, and 718 between the margins."""
    browser.show(page, 718, media='print')
    wide = browser.run('''return [...document.querySelectorAll('table, svg, h2')]
        .filter((e) => !e.closest('details') &&
                       e.getBoundingClientRect().right > document.documentElement.clientWidth)
        .map((e) => `${e.closest('section').id} ${e.tagName}`)''')
    assert wide == []
    small, cell = browser.run('''return ['#misbehaviour td small', '#misbehaviour td'].map(
        (name) => parseFloat(getComputedStyle(document.querySelector(name)).fontSize))''')
    assert small < cell


@needs_gnuplot
@pytest.mark.skipif(not INSTALLED, reason='chromium and chromedriver are missing')
def test_no_table_is_cut_on_a_desk(page, browser):
    """Catches cells that do not wrap, so that the last columns are off the screen, and a row without
    its name where a phone shows those."""
    browser.show(page, 1280)
    browser.run('document.querySelectorAll("details").forEach((e) => { e.open = true; })')
    assert browser.run('''return [...document.querySelectorAll('.wide')]
        .filter((e) => e.scrollWidth > e.clientWidth)
        .map((e) => [e.getAttribute('aria-label'), e.scrollWidth, e.clientWidth])''') == []
    browser.show(page, 390)
    assert browser.run('''const wide = document.querySelector('#misbehaviour .wide');
        wide.scrollLeft = 1000;
        return [wide.scrollLeft > 0, wide.querySelector('tbody th').getBoundingClientRect().left
                                     - wide.getBoundingClientRect().left]''') == [True, 0]


@needs_gnuplot
@pytest.mark.skipif(not INSTALLED, reason='chromium and chromedriver are missing')
def test_every_part_of_the_page_has_a_name_of_its_own(page, browser):
    """Catches what axe-core and html-validate find: an id that two elements have, or that is none,
    text outside all landmarks, and regions that a reader who jumps cannot tell apart."""
    browser.show(page, 1280)
    found = browser.run('''const all = (name) => [...document.querySelectorAll(name)];
        return {ids: all('[id]').map((e) => e.id), mains: all('main').length,
                outside: all('body > :not(main)').map((e) => e.outerHTML.slice(0, 40)),
                roles: all('[role=region]').length,
                regions: all('section[aria-label]').map((e) => e.getAttribute('aria-label'))}''')
    for names in found['ids'], found['regions']:
        assert [name for name, times in Counter(names).items() if times > 1 or not name] == []
    assert len(found['ids']) > 20 and all(re.fullmatch(r'[A-Za-z][\w-]*', name)
                                          for name in found['ids'])
    assert (found['mains'], found['outside'], found['roles']) == (1, [], 0)
    assert len(found['regions']) > 10


@needs_gnuplot
def test_a_plot_has_five_lines_at_most_and_says_what_its_axes_are(page):
    """Catches thirteen lines in one plot, panels whose axes differ, a model that is in none of them,
    and an axis that does not say its unit in words, or that it is logarithmic."""
    text = page.read_text()
    drawn = re.findall(r'<svg id="plot-([\w-]+?)(-\d)?" role="img".*?</svg>', text, re.S)
    assert len(drawn) > 30
    ranges = {}
    for svg in re.findall(r'<svg id="plot-.*?</svg>', text, re.S):
        name = re.search('id="plot-(.*?)"', svg)[1]
        titles = re.findall(r'<title>((?:[a-z]*echo|exec)(?:-static)?|textbook)(?:, \w+)?</title>', svg)
        assert len(titles) <= plots.MOST, name
        words = re.findall(r'<text[^>]*>\s*<tspan[^>]*>([^<]*)', svg)
        if len(titles) > 2 and not name.startswith('stall'):
            panel = name.rpartition('-')
            ranges.setdefault(panel[0], []).append(
                ([word for word in words if re.fullmatch(r' *[\d.]+', word)], set(titles)))
        log = [word for word in words if 'logarithmic' in word]
        assert len(log) == (2 if name.startswith(('connect-p', 'ping-p', 'memory', 'descriptors'))
                            else 0 if name.startswith(('held', 'figure')) else 1), (name, words)
    assert len(ranges) >= 11
    for name, parts in ranges.items():
        assert len(parts) == 3 and all(numbers == parts[0][0] for numbers, _ in parts), name
        assert set.union(*(titles for _, titles in parts)) == set(NAMES), name
    assert not re.search(r'(?:>| )(?:\w+/s|us|µs)(?:<| )', ''.join(re.findall(r'<tspan.*?</tspan>', text)))


@needs_gnuplot
def test_a_model_has_one_colour_in_all_plots(page):
    """Catches a reader who follows the wrong line from one plot to the next."""
    colours = {}
    for name, colour in re.findall(r'<title>((?:[a-z]*echo|exec)(?:-static)?|textbook)</title>.*?'
                                   r"<path [^>]*stroke\s*=\s*['\"]([^'\"]*)['\"]",
                                   page.read_text(), re.S):
        colours.setdefault(name, set()).add(re.sub(r'\s', '', colour))
    assert set(colours) == set(NAMES)
    assert all(len(found) == 1 for found in colours.values()), colours
    assert colours['forkecho-static'] == colours['forkecho']
    assert colours['textbook'] == {'currentColor'}
    assert len(set.union(*colours.values())) == len(NAMES) - 3  # the static ones share theirs


@needs_gnuplot
def test_the_page_says_how_it_judges_and_what_is_not_there(page):
    """Catches a rule that only the source knows, a busy client that looks like a slow server, a
    model that is missing without a word, long rows of numbers in a sentence, and a table or column
    that has no name where the page is read aloud."""
    text = page.read_text()
    assert 'aria-label=""' not in text and '<th scope="col"></th>' not in text
    for rule in verdicts.RULES:
        assert html.escape(rule) in text
    assert 'No verdict is drawn from rates and waits' in text
    assert text.count('>busy client (') >= 4 and '(> ' not in text  # gnuplot does not encode it
    assert 'The client was more than 90 % busy' in text
    assert '<caption' not in text
    assert all(part.count('</') <= 12 or '<table>' in part
               for part in re.findall('<li><p><strong>.*?</li>', text))
    assert 'scaled to 5,000' in text
    assert verdicts.ONE_ROUND not in text


def test_a_model_that_is_not_in_a_plot_is_named():
    """Catches a row that is missing silently."""
    class Kept:
        rows = [{'model': 'iterecho', 'clients': '8', 'note': 'serves 1 at a time'},
                {'model': 'forkecho', 'clients': '8', 'note': ''}]
    data = report.Data({'ping': Kept}, ['forkecho', 'iterecho'])
    dots = plots.Dots('us', {'a message': {'forkecho': Spread(1, 1, 1)}})
    assert report.absent('ping', dots, data) == \
        ' Not in this plot: iterecho (serves 1 at a time).'


def test_a_point_is_at_the_clients_that_were_served():
    """Catches a server that is drawn with more clients than it ever had, and one number of clients
    that it has twice."""
    def row(model, asked, served, descriptors):
        return {'model': model, 'clients': str(asked), 'served': str(served), 'round': '1',
                'descriptors': str(descriptors), 'note': ''}
    class Kept:
        rows = [row('selectecho', 0, 0, 4), row('selectecho', 100, 100, 104),
                row('selectecho', 1000, 880, 884), row('iterecho', 0, 0, 4),
                row('iterecho', 1, 1, 5), row('iterecho', 10, 1, 5)]
    data = report.Data({'lifecycle': Kept}, ['iterecho', 'selectecho'])
    series = data.lines('lifecycle', 'descriptors', above=0)
    points = {model: [(x, found.median) for x, found in line] for model, line in series.items()}
    assert points == {'iterecho': [(1, 5)], 'selectecho': [(100, 104), (880, 884)]}
    assert data.ticks('lifecycle', series) == {1: '1', 100: '100', 880: '880'}


# ---- the lab sheet -----------------------------------------------------------------------

def sheet_commands():
    lines = (LAB / 'README').read_text().splitlines()
    return [line.strip() for line in lines if re.match(
        r'    (make|build|examples|cp|sed|SERVERS|for|until|rm|ps|ls|ss|kill|wait)\b', line)]


def block_with(command, folder):
    """The block of the sheet that has this command, for ports and files of the test."""
    blocks = re.findall(r'(?:^    .*\n)+', (LAB / 'README').read_text(), re.M)
    [block] = [block for block in blocks if command in block]
    for port in set(re.findall(r'\b70\d\d\b', block)):
        block = block.replace(port, str(free_port()))
    return re.sub(r'build/(?=log|nonreading)', f'{folder}/', block).replace(' build/', f' {BUILD}/')


def paste(block):
    """What a shell prints that reads the block, as if it was typed; nothing of it is left."""
    mark = uuid.uuid4().hex
    shell = subprocess.Popen(['sh'], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                             stderr=subprocess.STDOUT, text=True, start_new_session=True,
                             env={**os.environ, 'FORKECHO_TEST': mark})
    try:
        out, _ = shell.communicate(block, timeout=DEADLINE * 3)
        eventually(lambda: not marked(mark), 'nothing of the block runs any more')
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(shell.pid, signal.SIGKILL)
    return out


@needs_mistakes
def test_the_zombies_of_the_sheet_are_seen(folder):
    """Catches a block whose clients come before the server listens, and an exercise with nothing
    to watch."""
    out = paste(block_with('hazards/no_reaping', folder))
    assert out.splitlines()[:5] == ['hello'] * 5, out
    assert len(re.findall(r'^ *\d+ +\d+ Z', out, re.M)) == 5, out
    assert re.search(r'^\d+$', out, re.M), out  # others of that name may run here


@needs_mistakes
def test_the_leak_of_the_sheet_is_found(folder):
    """Catches the same, and descriptors that were counted before the server had its own."""
    out = paste(block_with('hazards/parent_keeps', folder))
    before, *hellos, after, _, one, two, three, four, five = [
        line for line in out.splitlines()
        if not line.startswith(('FIN-WAIT', 'UNCONN'))]  # of the clients; of these tests (free_port)
    assert hellos == ['hello'] * 5
    assert int(after) - int(before) == 5 and int(before) == 4
    for row in one, two, three, four, five:
        assert row.startswith('CLOSE-WAIT') and '"parent_keeps' in row, row


@pytest.mark.parametrize('name, starves', [('iterecho', True), ('forkecho', False)])
def test_the_starving_of_the_sheet_is_seen(folder, name, starves):
    """Catches an honest client that is there before the one that never reads, or before the server."""
    if not (BUILD / 'iterecho').exists():
        pytest.skip('the variants are not built here')
    out = paste(block_with('echoload nonreading', folder).replace('iterecho', name))
    assert 'refused' not in out and 'nonreading' not in out
    assert (re.search(r'^count +0 messages$', out, re.M) is not None) == starves, out


def test_the_sheet_asks_for_what_is_measured():
    """Catches a question to which the report has no answer: a number of clients that is no step of
    the quick run."""
    text = (LAB / 'README').read_text()
    callers = re.findall(r'connections a second from (\d+) clients', text)
    talkers = re.findall(r'messages a second on (\d+) open connections', text)
    leavers = re.findall(r'when (\d+) clients leave at once', text)
    assert callers and set(map(int, callers)) <= set(QUICK.calling)
    assert talkers and set(map(int, talkers)) <= set(QUICK.talking)
    assert leavers and set(map(int, leavers)) == {WAVE}
    assert f'--clients {WAVE} ' in text
    assert f'goes on to {FULL.clients:,} clients' in text


@needs_gnuplot
def test_the_sheet_sends_to_what_the_page_has(page):
    """Catches a section, a plot or a table that the page calls otherwise than the sheet."""
    sheet = re.sub(r'\s+', ' ', (LAB / 'README').read_text())
    text = html.unescape(page.read_text()) + report.busy_words({'connect': Busy})
    names = set(re.findall(r'"([A-Za-z][^"`]+)"', sheet))
    assert len(names) >= 9 and [name for name in names if name not in text] == []


def test_the_sheet_has_six_exercises_with_blanks():
    """Catches an exercise without a command, a prediction, a place to look, or a blank."""
    parts = re.split(r'^\d\. .*\n-+$', (LAB / 'README').read_text(), flags=re.M)[1:]
    assert len(parts) == 6
    for part in parts:
        for word in ('\n    ', 'Predict:', 'Look at:', 'I saw:', '____'):
            assert word in part


@long
@needs_gnuplot
def test_the_runs_of_the_sheet_work(folder):
    """Catches a command of the sheet that the runner refuses; each is run in a small way, with
    two of its servers."""
    commands = [line.split()[1:] for line in sheet_commands()
                if line.startswith('examples/lab/run ')]
    assert len(commands) >= 5
    known = models.find(BUILD)
    for number, words in enumerate(commands):
        given = dict(zip(words[::2], words[1::2]))
        assert given.pop('-o').startswith('build/lab-')
        some = [name for name in given.pop('--models', 'forkecho').split(',') if name in known][:2]
        given.pop('--clients', None)
        command = [part for pair in given.items() for part in pair]
        status, _, err = Run('-o', folder / str(number), '--models', ','.join(some), *command,
                             *SMALL).finish()
        assert status == 0, (words, err)


@pytest.mark.skipif(not (TOP / 'examples' / 'hazards' / 'expose').exists(),
                    reason='the hazards are not here')
def test_the_sheet_names_what_there_is():
    """Catches a hazard, server or file that was renamed and is still on the sheet."""
    text = '\n'.join(sheet_commands())
    assert '(' not in text
    for name in re.findall(r'build/hazards/(\w+)', text) + [
            name for line in re.findall(r'hazards/expose(?: -u)?(?: -n \d+)?(?: -s --)? (.*)', text)
            for name in line.split()]:
        assert (TOP / 'examples' / 'hazards' / f'{name}.c').exists(), name
    for name in re.findall(r'build/(\w+echo|echo\w+)\b', text):
        source = TOP / 'examples' / 'variants' / f'serve_{name[:-4]}.c'
        assert name == 'mineecho' or source.exists() or list((TOP / 'src').rglob(f'{name}.c')) \
            or name == 'forkecho', name
    for path in re.findall(r'(?:src|tests|examples)/[\w./]+\w', (LAB / 'README').read_text()):
        assert (TOP / path).exists() or 'mine' in path, path


def test_a_copied_serve_becomes_a_server(folder):
    """Catches a last exercise that does not build from a fresh checkout."""
    for part in ('src', 'examples'):
        shutil.copytree(TOP / part, folder / part)
    shutil.copy2(TOP / 'Makefile', folder)
    shutil.copytree(BUILD / 'obj', folder / 'build' / 'obj')  # the library is compiled already
    shutil.copy2(BUILD / 'libecho.a', folder / 'build')
    shutil.copy2(BUILD / 'libparts.a', folder / 'build')
    for line in sheet_commands():
        if line.startswith(('cp ', 'sed ', 'make build/mineecho', 'build/mineecho')):
            result = subprocess.run(['sh', '-ec', line], cwd=folder, capture_output=True, text=True,
                                    timeout=DEADLINE * 6, check=False,
                                    env={**os.environ, 'MAKEFLAGS': '', 'BUILD': 'build'})
            assert result.returncode == 0, (line, result.stderr)
    assert 'usage: mineecho' in result.stdout
