"""echoload(1): what it counts, what it times, and what it says about itself.

Where it has to be known what a client did, the server is one of our own that notes it; else it
is forkecho, which every other test holds to its promises.
"""
import contextlib
import csv
import io
import itertools
import json
import math
import os
import pty
import re
import resource
import select
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from harness import (DEADLINE, NO_LEAK_SEARCH, SANITIZERS, children, dead, eventually,
                     forks_only, in_time, needs_root, new_user, program, run, with_limit)

REQUESTS = ['connect', 'ping', 'reset', 'halfclose', 'dribble', 'storm']
KEEPS = ['ping', 'stream', 'hold', 'dribble', 'nonreading']
MODES = ['connect', 'ping', 'stream', 'hold', 'reset', 'halfclose', 'dribble', 'nonreading',
         'storm']
TIMES = ['p50', 'p90', 'p99', 'p99.9', 'p99.99', 'max']
KINDS = ['', 'connect-', 'first-', 'message-', 'service-']
FAILURES = ['connect', 'reset', 'early', 'wrong', 'timeout']


def load(*arguments):
    return run('echoload', *map(str, arguments), env={**os.environ, **SANITIZERS})


def text(result):
    """A report as text: {name: value}."""
    return dict(line.split(None, 1) for line in result.stdout.splitlines())


def unexpected(result):
    """What it said about --expect; a busy machine may have it say more."""
    return [line for line in result.stderr.splitlines() if line.startswith('echoload: expected ')]


def number(report, name):
    return float(report[name].split()[0])


def summary(*arguments):
    """What JSON says of a run that has to succeed, all rounds together. In the few milliseconds
    that it is given, a machine that is busy may do nothing at all: another run then."""
    def attempt():
        result = load('-o', 'json', *arguments)
        assert result.returncode == 0 and 'failure' not in result.stderr, result
        found = json.loads(result.stdout)['summary']
        return found if found['count'] + found['late'] > 0 else None

    return eventually(attempt, 'something is counted')


def failing(serve, *arguments):
    """The result of a run that has to fail, against a new peer each time: `serve()` is its address.
    In the few milliseconds a machine that is busy may do nothing: another run then."""
    def attempt():
        result = load(*arguments, serve())
        return result if result.returncode != 0 else None

    return eventually(attempt, 'something fails')


class Peer:
    """A server of our own: calls `serve(socket)` in a thread for each connection."""

    def __init__(self, serve):
        self.listener = socket.create_server(('127.0.0.1', 0), backlog=1000)
        self.serve, self.served = serve, []
        self.address = f'127.0.0.1:{self.listener.getsockname()[1]}'
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self):
        while True:
            try:
                client, _ = self.listener.accept()
            except OSError:
                return
            threading.Thread(target=self.run, args=(client,), daemon=True).start()

    def run(self, client):
        client.settimeout(DEADLINE)
        with client:
            self.served.append(self.serve(client))


@pytest.fixture
def peer():
    started = []

    def start(serve):
        started.append(Peer(serve))
        return started[-1]

    yield start
    for each in started:
        each.listener.shutdown(socket.SHUT_RDWR)  # wakes accept
        each.listener.close()


def echo(client):
    """Echoes to the end. Returns what came, and how it ended: '' or an error's name."""
    parts = []
    try:
        while part := client.recv(65536):
            parts.append(part)
            client.sendall(part)
        return parts, ''
    except OSError as error:
        return parts, type(error).__name__


# ---- rounds and reports ------------------------------------------------------------------

@forks_only
@pytest.mark.parametrize('mode', MODES)
def test_every_mode_reports_the_same_lines(server, mode):
    """Catches a figure that a mode leaves out: a script would take the one of another run."""
    srv = server(verbose=None)
    def report(mode):
        result = load(mode, '-d', '50ms', srv.address)
        assert result.returncode == 0 and 'failure' not in result.stderr
        report = text(result)
        assert report['mode'] == mode
        return report if number(report, 'count') + number(report, 'late') else None

    first, this = (eventually(lambda: report(each), 'something is counted')
                   for each in ('connect', mode))
    assert list(this) == list(first)


@forks_only
def test_text_csv_and_json_name_the_same_figures(server):
    """Catches a figure that one of them lacks, or calls otherwise; and a round too few."""
    srv = server(verbose=None)
    command = ['ping', '-R', '3', '-d', '50ms', '-w', '20ms', srv.address]
    names = list(text(load(*command)))
    rows = list(csv.DictReader(io.StringIO(load('-o', 'csv', *command).stdout)))
    whole = json.loads(load('-o', 'json', *command).stdout)
    assert [row['round'] for row in rows] == ['1', '2', '3']
    assert [each['round'] for each in whole['rounds']] == [1, 2, 3]
    assert all(None not in row and None not in row.values() for row in rows)
    spread = {'rate-min', 'rate-max'}
    assert [name for name in rows[0] if name not in ('round', 'elapsed')] == \
        [name for name in names if name not in spread]
    assert [*whole['settings'], *whole['summary']] == names
    assert set(whole['rounds'][0]) == set(whole['summary']) - spread - \
        {'opening', 'held', 'held-failed', 'held-lost', 'held-opening',
         'limited-by'} | {'round', 'elapsed'}


@forks_only
def test_csv_is_for_awk(server):
    """Catches a row that `awk -F,` takes apart wrongly."""
    srv = server(verbose=None)
    out = load('connect', '-R', '2', '-d', '50ms', '-o', 'csv', srv.address).stdout
    script = ('NR == 1 { for (i = 1; i <= NF; i++) at[$i] = i; n = NF; next }'
              'NF == n { print $at["mode"], $at["target"], $at["rate"] }')
    rows = subprocess.run(['awk', '-F,', script], input=out, text=True, capture_output=True,
                          timeout=DEADLINE, check=True).stdout.splitlines()
    assert rows == [f'connect {srv.address} {row["rate"]}'
                    for row in csv.DictReader(io.StringIO(out))]
    assert len(rows) == 2


@forks_only
def test_a_summary_is_of_all_rounds(server):
    """Catches a sum that leaves a round out, and a rate that is not the median."""
    srv = server(verbose=None)

    def whole_run():
        run = json.loads(load('ping', '-R', '4', '-d', '60ms', '-o', 'json', srv.address).stdout)
        return run if all(each['count'] for each in run['rounds']) else None

    whole = eventually(whole_run, 'each round counts something')
    rounds, total = whole['rounds'], whole['summary']
    rates = sorted(each['rate'] for each in rounds)
    assert total['count'] == sum(each['count'] for each in rounds)
    assert total['late'] == sum(each['late'] for each in rounds)
    assert total['seconds'] == pytest.approx(sum(each['seconds'] for each in rounds), abs=0.01)
    assert total['seconds'] >= 0.23
    assert total['rate'] == pytest.approx((rates[1] + rates[2]) / 2, abs=0.11)
    assert (total['rate-min'], total['rate-max']) == (rates[0], rates[3])
    assert total['max'] == max(each['max'] for each in rounds)
    assert min(each['p50'] for each in rounds) <= total['p50'] <= \
        max(each['p50'] for each in rounds)


def test_rounds_use_the_same_connections(peer):
    """Catches connections that are opened anew for each round: they would be measured cold."""
    own = peer(echo)
    result = load('ping', '-c', '3', '-R', '3', '-d', '40ms', '-w', '40ms', own.address)
    assert result.returncode == 0, result
    eventually(lambda: len(own.served) == 3, 'three connections have ended')


@with_limit(0.3, 3)
def test_a_warm_up_is_not_in_the_report(peer, limit):
    """Catches the slow beginning in the figures: here each message of it takes that long."""
    begin = time.monotonic()

    def slow_at_first(client):
        while part := client.recv(65536):
            if time.monotonic() - begin < 1.7 * limit:
                time.sleep(limit)
            client.sendall(part)

    own = peer(slow_at_first)
    times = ['-w', f'{2 * limit}s', '-d', '100ms']
    assert summary('ping', '-c', '1', *times, own.address)['max'] < limit * 1e6


def test_what_fails_in_a_warm_up_is_not_hidden(peer):
    """Catches wrong bytes that nobody hears of, as the round had none."""
    def wrong_once():
        broken = threading.Event()

        def serve(client):
            client.sendall(client.recv(64))
            while part := client.recv(64):
                client.sendall(part if broken.is_set() else b'?' * len(part))
                broken.set()

        return peer(serve).address

    result = failing(wrong_once, 'ping', '-c', '1', '-w', '200ms', '-d', '50ms')
    assert result.returncode == 1 and result.stderr.endswith('the first: wrong bytes\n')
    assert text(result)['failed'] == '0'


@forks_only
def test_an_interruption_ends_the_rounds(server):
    """Catches a SIGINT after which the other rounds are measured all the same."""
    srv = server(verbose=None)
    busy = subprocess.Popen([program('echoload'), 'ping', '-R', '100', '-d', '10s', '-o', 'json',
                             srv.address], stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                            text=True, env={**os.environ, **SANITIZERS})
    eventually(lambda: srv.status().number('live') == 8, 'it is connected')
    busy.send_signal(signal.SIGINT)
    out, err = busy.communicate(timeout=DEADLINE)
    whole = json.loads(out)
    assert busy.returncode == 0 and 'failure' not in err and len(whole['rounds']) == 1
    assert whole['summary']['seconds'] < 10


# ---- times -------------------------------------------------------------------------------

@with_limit(0.1, 1, 5)
def test_each_time_is_of_its_part(peer, limit):
    """Catches a time that is taken between other events than its name says."""
    def in_parts(client):
        message = b''
        while len(message) < 64:
            message += client.recv(64)
        time.sleep(limit)
        client.sendall(message[:1])
        time.sleep(2 * limit)
        client.sendall(message[1:])
        client.recv(1)

    took = summary('connect', '-c', '1', '-d', '10ms', peer(in_parts).address)
    assert took['connect-max'] < limit * 1e6
    assert limit * 1e6 <= took['first-max'] < 3 * limit * 1e6
    assert 3 * limit * 1e6 <= took['message-max'] <= took['max'] < 6 * limit * 1e6
    assert took['service-max'] is None
    # From the start of connecting: the parts add up to the whole.
    assert took['connect-max'] + took['message-max'] == pytest.approx(took['max'], abs=1)


def test_a_server_that_writes_twice_need_not_wait(peer):
    """Catches acknowledgements that come later than those of other clients: for them Nagle's
    algorithm holds back what a server writes second, each time for 40 ms."""
    def in_two(client):
        message = client.recv(64)
        client.sendall(message[:32])
        client.sendall(message[32:])
        client.recv(1)  # or the end would take the second one with it

    own = peer(in_two)
    eventually(lambda: summary('connect', '-c', '1', '-d', '100ms', own.address)['p50'] < 30000,
               'half of them take less')


@forks_only
def test_times_are_where_the_mode_has_them(server):
    """Catches a time that is invented, or lost, for a mode."""
    srv = server(verbose=None)
    expected = {'connect': ['', 'connect-', 'first-', 'message-'],
                'ping': ['', 'first-', 'message-'], 'stream': [''],
                'hold': ['', 'connect-', 'first-', 'message-'], 'reset': ['', 'connect-'],
                'halfclose': ['', 'connect-', 'first-', 'message-'],
                'dribble': ['', 'first-', 'message-'], 'nonreading': ['', 'connect-'],
                'storm': ['', 'connect-']}
    for mode in MODES:
        took = summary(mode, '-d', '50ms', srv.address)
        given = [kind for kind in KINDS if took[f'{kind}p50'] is not None]
        assert given == expected[mode], mode
        for kind in given:
            times = [took[f'{kind}{each}'] for each in TIMES]
            assert times == sorted(times) and times[0] > 0, (mode, kind)


@forks_only
@pytest.mark.parametrize('mode', ['storm', 'reset'])
def test_what_begins_at_once_is_not_slept_over(server, mode):
    """Catches a sleep of the client, a millisecond before each request, that is told as latency."""
    srv = server(verbose=None)

    def connecting_is_nearly_all(seconds):
        took = summary(mode, '-c', '1', '-d', f'{seconds}s', srv.address)
        return took['p50'] < took['connect-p50'] + 500

    assert in_time(connecting_is_nearly_all, 0.2, 0.5, 1)


# ---- the schedule ------------------------------------------------------------------------

@forks_only
@pytest.mark.parametrize('mode', REQUESTS)
def test_a_schedule_begins_all_that_it_has(server, mode):
    """Catches a request that is skipped, or begun twice."""
    srv = server(verbose=None)
    got = summary(mode, '-r', '400', '-d', '250ms', '-R', '2', '-c', '4', '-s', '8', srv.address) \
        if mode != 'storm' else summary(mode, '-r', '400', '-d', '250ms', '-R', '2', srv.address)
    assert got['count'] + got['late'] == 200
    assert got['failed'] == 0 and got['service-p50'] is not None
    assert got['p50'] >= got['service-p50'] * 0.98


def bytes_read(srv):
    """What the children of a server have read until now: proc(5), io."""
    total = 0
    for each in children(srv.pid):
        with contextlib.suppress(OSError):
            total += int(re.search(r'^rchar: (\d+)', Path(f'/proc/{each.pid}/io').read_text(),
                                   re.M)[1])
    return total


def stalled(srv, stall, *arguments):
    """The summary of a run with two connections, of which the server is stopped for a third."""
    running = subprocess.Popen([program('echoload'), 'ping', '-c', '2', '-d', f'{3 * stall}s',
                                *arguments, '-o', 'json', srv.address],
                               stdout=subprocess.PIPE, text=True)
    eventually(lambda: running.poll() is not None or bytes_read(srv) > 100 * 64,
               'it is in the midst of it')
    os.killpg(srv.pid, signal.SIGSTOP)
    time.sleep(stall)  # which is what is to be measured
    os.killpg(srv.pid, signal.SIGCONT)
    out, _ = running.communicate(timeout=DEADLINE)
    assert running.returncode == 0
    return json.loads(out)['summary']


@forks_only
@with_limit(0.5, 1, 2, 4)
def test_a_schedule_sees_a_stall_that_a_closed_loop_does_not(server, limit):
    """Catches latency that is counted from the send: coordinated omission. A request takes far less
    than the stall, but where the server stood."""
    closed = stalled(server(), limit)
    asked = stalled(server(), limit, '-r', '400')
    assert asked['count'] + asked['late'] == 1200 * limit
    # A third of all was to begin while it stood.
    whole = limit * 1e6
    assert min(closed['max'], asked['max']) >= 0.8 * whole
    assert asked['p99'] >= 0.7 * whole and asked['p90'] >= 0.2 * whole
    assert closed['p99'] < 0.4 * whole and asked['service-p90'] < 0.18 * whole


def test_what_was_not_begun_in_time_is_waited_for(peer):
    """Catches work that is dropped at the end of a round: what the server kept waiting most."""
    def slowly(client):
        while part := client.recv(64):
            time.sleep(0.02)
            client.sendall(part)

    got = summary('ping', '-c', '1', '-r', '200', '-d', '100ms', peer(slowly).address)
    assert (got['count'] + got['late'], got['failed']) == (20, 0)
    assert got['late'] >= 15 and got['max'] >= 300000


def test_what_was_never_begun_has_failed(peer):
    """Catches what silently falls away when the server never answers again."""
    own = peer(lambda client: (client.recv(64), client.recv(1)))  # until the client gives up
    result = load('connect', '-r', '20', '-d', '500ms', '-t', '500ms', '-c', '2', own.address)
    report = text(result)
    assert result.returncode == 1
    assert report['failed'] == report['failed-timeout'] == '10'
    assert number(report, 'count') == number(report, 'late') == 0


def test_a_refused_schedule_fails_one_by_one():
    """Catches a spin, or a request that is lost, when nobody listens any more."""
    with socket.socket() as reserved:  # or another test's server could have the port next
        reserved.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        reserved.bind(('127.0.0.1', 0))
        with socket.create_server(reserved.getsockname()) as listener:
            running = subprocess.Popen(
                [program('echoload'), 'connect', '-r', '100', '-d', '1s', '-t', '5s',
                 f'127.0.0.1:{listener.getsockname()[1]}'],
                stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
            listener.accept()  # the one that found the server
        out, _ = running.communicate(timeout=DEADLINE)
    report = dict(line.split(None, 1) for line in out.splitlines())
    assert running.returncode == 1
    assert int(report['failed']) == 100, out
    assert number(report, 'client-busy') < 50


@forks_only
def test_an_interrupted_schedule_ends(server):
    """Catches a SIGINT that waits for all that the schedule has left."""
    srv = server()
    running = subprocess.Popen([program('echoload'), 'ping', '-r', '10', '-d', '1h', '-o', 'json',
                                srv.address], stdout=subprocess.PIPE, text=True)
    srv.wait_lines('^accept ', 8)
    running.send_signal(signal.SIGINT)
    out, _ = running.communicate(timeout=DEADLINE)
    got = json.loads(out)['summary']
    assert running.returncode == 0 and got['failed'] == 0
    assert got['count'] + got['late'] <= got['seconds'] * 10 + 1


def plotted(out):
    """(x, y) of each point that HdrHistogram's plotter has of a file: as in plotFiles.html of its
    repository, of each line with four words the fourth and the first, where both are numbers."""
    points = []
    for line in out.split('\n'):
        words = re.split(' +', line.strip())
        if line[:1] != '#' and len(words) == 4:
            with contextlib.suppress(ValueError):
                points.append((float(words[3]), float(words[0])))
    return points


@pytest.mark.parametrize('spread_over', ['1', '2'])
def test_the_latency_is_a_histogram_that_plotters_read(peer, spread_over):
    """Catches a histogram of another time, in another unit or of one process alone: here of twenty
    messages each fifth takes a tenth of a second."""
    served = itertools.count()

    def slow_now_and_then(client):
        while part := client.recv(64):
            if next(served) % 5 == 4:
                time.sleep(0.1)
            client.sendall(part)

    own = peer(slow_now_and_then)
    result = load('connect', '-j', spread_over, '-c', '2', '-r', '20', '-d', '1s', '-o', 'hdr',
                  own.address)
    points = plotted(result.stdout)
    assert result.returncode == 0 and len(points) >= 10
    assert points == sorted(points)
    assert 100 <= points[-1][1] < 10000  # milliseconds
    assert re.search(r'^ +[\d.]+ 1\.0{12} +20\n#\[Mean +=.*\n#\[Max +=.*, Total count +=  +20\]\n'
                     r'#\[Buckets += +\d+, SubBuckets += +\d+\]\n\Z', result.stdout, re.M)


# ---- ramps and intervals -------------------------------------------------------------------

def rows(*arguments):
    """The rows of CSV of a run that has to succeed."""
    result = load('-o', 'csv', *arguments)
    assert result.returncode == 0, result
    return list(csv.DictReader(io.StringIO(result.stdout)))


@forks_only
@pytest.mark.parametrize('spread_over', ['1', '3'])
@pytest.mark.parametrize('ramp', ['100..500', '500..100'])
def test_a_ramp_asks_for_more_in_each_interval(server, spread_over, ramp):
    """Catches a rate that stays, jumps or ends elsewhere, and rows of one process alone. Which
    interval has a request depends on when it is done; how many there are in all does not."""
    srv = server(verbose=None)
    got = rows('ping', '-j', spread_over, '--ramp', f'rate={ramp}', '-d', '1s', '-i', '250ms',
               srv.address)
    asked = [150, 250, 350, 450] if ramp == '100..500' else [450, 350, 250, 150]
    assert [float(row['rate-asked']) for row in got] == asked
    assert [row['elapsed'] for row in got] == ['0.250', '0.500', '0.750', '1.000']
    assert {(row['ramp'], row['round'], row['seconds']) for row in got} == \
        {(f'rate={ramp}', '1', '0.250')}
    assert sum(int(row['count']) + int(row['late']) for row in got) == 300
    assert all(row['failed'] == '0' for row in got)


def test_requests_of_a_ramp_come_when_they_are_due(peer):
    """Catches a ramp that has its requests, but not at its times."""
    came = []

    def note(client):
        while part := client.recv(64):
            came.append(time.monotonic())
            client.sendall(part)

    own = peer(note)

    def on_time(seconds):
        came.clear()
        got = summary('ping', '-c', '1', '--ramp', f'rate={20 / seconds:.0f}..{180 / seconds:.0f}',
                      '-d', f'{seconds}s', own.address)
        assert got['count'] + got['late'] == 100
        measured = came[-100:]  # behind the one that opened
        # After half of the time: 20 / 2 + 160 / 8 of them.
        return abs(sum(when < measured[0] + seconds / 2 for when in measured) - 30) <= 2

    assert in_time(on_time, 1, 1, 4, 10)


@pytest.mark.parametrize('spread_over', ['1', '2'])
@pytest.mark.parametrize('mode', ['ping', 'connect'])
@pytest.mark.parametrize('ramp, first, last', [('1..4', '1', '4'), ('4..1', '4', '1')])
def test_connections_come_or_go_one_by_one(peer, spread_over, mode, ramp, first, last):
    """Catches connections that work before or after their part of a ramp, or never. Each answer
    takes so long that a connection has ten an interval."""
    def slowly(client):
        while part := client.recv(64):
            time.sleep(0.01)
            client.sendall(part)

    own = peer(slowly)

    def does_more_with_more():  # on a machine with time
        got = rows(mode, '-j', spread_over, '--ramp', f'concurrency={ramp}', '-w', '50ms',
                   '-d', '800ms', '-i', '100ms', own.address)
        assert [got[0]['concurrency'], got[-1]['concurrency']] == [first, last]
        counts = [int(row['count']) for row in got]
        few, many = counts[::7] if first == '1' else counts[::-7]
        return 0 < few <= 12 and many >= 1.5 * few  # one connection has no more than twelve

    eventually(does_more_with_more, 'it goes as asked')


@forks_only
@pytest.mark.parametrize('mode', [mode for mode in MODES if mode not in ['hold', 'nonreading']])
def test_intervals_add_up_to_the_run(server, mode):
    """Catches what falls between two intervals, or is in both: requests, bytes, pauses, time."""
    srv = server(verbose=None)
    whole = json.loads(load(mode, '-o', 'json', '-d', '250ms', '-i', '100ms', srv.address).stdout)
    parts, total = whole['rounds'], whole['summary']
    assert [part['elapsed'] for part in parts] == [0.1, 0.2, 0.25]
    assert [part['seconds'] for part in parts] == [0.1, 0.1, 0.05]
    for name in 'count', 'late', 'failed', 'pauses':
        assert total[name] == sum(part[name] for part in parts), name
    unit = 1e6 if mode == 'stream' else 1
    assert total['rate'] == pytest.approx(total['count'] / unit / 0.25, rel=0.01, abs=0.11)
    assert (total['max'] or 0) == max(part['max'] or 0 for part in parts)


@forks_only
def test_an_interval_has_the_failures_of_its_time(peer):
    """Catches failures that all are in the first row, or the last."""
    met = itertools.count()

    def breaks_later(client):  # which is after half a second, and later on a busy machine
        while part := client.recv(64):
            client.sendall(part if next(met) < 25 else b'?' * len(part))

    result = load('connect', '-o', 'csv', '-r', '50', '-c', '8', '-d', '2s', '-i', '250ms',
                  peer(breaks_later).address)
    failed = [int(row['failed']) for row in csv.DictReader(io.StringIO(result.stdout))]
    assert result.returncode == 1 and len(failed) == 8
    assert failed[0] == 0 and sum(count > 0 for count in failed) > 1


@forks_only
@pytest.mark.parametrize('spread_over', ['1', '2'])
def test_an_interruption_leaves_the_intervals_that_were(server, spread_over):
    """Catches rows of time that never was."""
    srv = server(verbose=None)
    busy = subprocess.Popen([program('echoload'), 'ping', '-j', spread_over, '-c', '2',
                             '-d', '100s', '-i', '100ms', '-o', 'csv', srv.address],
                            stdout=subprocess.PIPE, text=True)
    eventually(lambda: srv.status().number('live') == 2, 'it is connected')
    busy.send_signal(signal.SIGINT)
    got = list(csv.DictReader(io.StringIO(busy.communicate(timeout=DEADLINE)[0])))
    assert busy.returncode == 0 and 1 <= len(got) < 1000
    elapsed = [float(row['elapsed']) for row in got]
    assert elapsed == sorted(elapsed) and elapsed[-1] <= len(got) * 0.1 + 0.001


# ---- clients that misbehave --------------------------------------------------------------

def wait_for_reset(client):
    """poll tells of an error without being asked."""
    reset = select.poll()
    reset.register(client, 0)
    reset.poll(DEADLINE * 1000)


def test_reset_sends_and_resets(peer):
    """Catches an end in order, or a message that is not sent."""
    def read_slowly(client):
        wait_for_reset(client)
        return echo(client)

    own = peer(read_slowly)
    got = summary('reset', '-d', '100ms', '-c', '2', own.address)
    eventually(lambda: len(own.served) >= got['count'] + got['late'], 'all have ended')
    assert {how for _, how in own.served} == {'ConnectionResetError'}


def test_halfclose_takes_all_back_and_waits_for_the_end(peer):
    """Catches an end that is not sent, and one that comes back too early and counts as well."""
    def after_the_end(client):
        message = b''
        while part := client.recv(65536):
            message += part
        client.sendall(message)
        return message

    own = peer(after_the_end)
    summary('halfclose', '-s', '100000', '-c', '2', '-d', '100ms', own.address)
    assert {len(message) for message in own.served} == {100000}
    cut = peer(lambda client: client.sendall(client.recv(1000)[:-1]))

    def lost():
        result = load('halfclose', '-s', '1000', '-c', '1', '-d', '50ms', cut.address)
        assert (result.returncode == 0) == (number(text(result), 'failed-early') == 0)
        return result.returncode

    assert eventually(lost, 'a connection is cut') == 1


def segments(client):
    """How many segments with data have come: tcpi_data_segs_in of <linux/tcp.h>."""
    info = client.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 160)
    return int.from_bytes(info[152:156], sys.byteorder)


def test_dribble_sends_byte_by_byte(peer):
    """Catches bytes that travel together: so a server's read would have them at once."""
    def is_dribbled():  # a busy machine joins some on their way
        own = peer(lambda client: (echo(client), segments(client)))
        summary('dribble', '-s', '20', '-c', '1', '-d', '200ms', own.address)
        ((parts, how), came), = eventually(lambda: own.served, 'it has ended')
        bytes_sent = sum(map(len, parts))
        assert how == '' and bytes_sent % 20 == 0
        return came >= 0.5 * bytes_sent

    eventually(is_dribbled, 'they come one by one')


@with_limit(1, 10)
def test_nonreading_never_reads_and_stays(peer, limit):
    """Catches one that reads, so that the server never notices; and one that leaves early."""
    filled = []

    def fill(client):
        client.settimeout(0.2 * limit)
        sent = 0
        try:
            while part := client.recv(65536):
                client.sendall(part)
                sent += len(part)
        except TimeoutError:
            filled.append(sent)
        client.settimeout(DEADLINE)
        try:
            while client.recv(65536):
                pass
            return 'end'
        except OSError as error:
            return type(error).__name__

    own = peer(fill)
    got = summary('nonreading', '-c', '3', '-d', f'{limit}s', own.address)
    assert (got['count'], got['failed']) == (3, 0)
    assert len(filled) == 3 and min(filled) > 65536
    assert eventually(lambda: len(own.served) == 3 and own.served, 'all have ended') \
        == ['ConnectionResetError'] * 3


@with_limit(0.3, 3, 30)
def test_a_server_that_cuts_one_that_never_reads_is_noticed(peer, limit):
    """Catches one that counts as having stayed although the server has thrown it out."""
    cuts = peer(lambda client: client.recv(10))
    result = load('nonreading', '-c', '2', '-d', f'{limit}s', cuts.address)
    assert result.returncode == 1
    assert text(result)['failed-reset'] == '2' and number(text(result), 'count') == 0


def test_the_earlier_name_of_a_mode_is_taken_and_never_shown(peer):
    """Catches a script that a new name breaks, and an old name that somebody could still learn."""
    got = text(load('deaf', '-c', '1', '-d', '50ms', peer(echo).address))
    assert (got['mode'], got['count']) == ('nonreading', '1 connections')
    for arguments in ['--help'], [], ['pour'], ['deaf', '-R', '2', 'localhost:1']:
        shown = load(*arguments)
        assert 'deaf' not in shown.stdout + shown.stderr


def test_storm_sends_nothing_and_vanishes(peer):
    """Catches a byte that is sent, or an end that is none."""
    own = peer(echo)
    got = summary('storm', '-c', '4', '-d', '100ms', own.address)
    eventually(lambda: len(own.served) >= got['count'] + got['late'], 'all have ended')
    assert all(parts == [] and how == '' for parts, how in own.served)


@pytest.mark.parametrize('mode', ['connect', 'ping', 'stream', 'hold', 'halfclose', 'dribble'])
def test_every_mode_that_reads_checks_every_byte(peer, mode):
    """Catches a wrong last byte that counts as an echo. Of a stream, in which what came before it
    counts, it is the first."""
    def wrong(client):
        with contextlib.suppress(ConnectionError):  # echoload has seen enough
            while part := bytearray(client.recv(65536)):
                part[0 if mode == 'stream' else -1] ^= 1
                client.sendall(part)

    result = failing(lambda: peer(wrong).address, mode, '-c', '2', '-d', '100ms')
    assert result.returncode == 1
    assert number(text(result), 'failed-wrong') >= 1 and number(text(result), 'count') == 0


@pytest.mark.parametrize('mode', ['reset', 'storm', 'connect'])
def test_no_mode_has_more_under_way_than_asked(peer, mode):
    """Catches clients that are not bounded: descriptors would be gone in no time."""
    own = peer(echo)
    running = subprocess.Popen([program('echoload'), mode, '-c', '3', '-d', '500ms', own.address],
                               stdout=subprocess.DEVNULL)
    most = 0
    while running.poll() is None:
        try:
            most = max(most, len(os.listdir(f'/proc/{running.pid}/fd')))
        except OSError:
            break
    assert running.wait(DEADLINE) == 0
    assert 3 <= most <= 3 + 5  # the three standard ones, the mechanism's, and one that closes


# ---- what it says while it runs, and about itself ------------------------------------------

def on_a_terminal(*arguments):
    """Runs echoload with standard error on a terminal of its own. Returns the report and all
    that the terminal was sent."""
    master, slave = pty.openpty()

    def own_terminal():  # so that it is in the foreground there
        os.setsid()
        os.close(os.open(os.ttyname(2), os.O_RDWR))

    running = subprocess.Popen([program('echoload'), *arguments], stdin=subprocess.DEVNULL,
                               stdout=subprocess.PIPE, stderr=slave, preexec_fn=own_terminal)
    os.close(slave)
    shown = b''
    while True:
        try:
            part = os.read(master, 65536)
        except OSError:  # its last user is gone: EIO
            break
        shown += part
    os.close(master)
    out = running.communicate(timeout=DEADLINE)[0].decode()
    assert running.returncode == 0
    return out, shown.decode()


@forks_only
@with_limit(0.9, 0.9, 3)
def test_progress_is_one_line_that_is_erased(server, limit):
    """Catches lines that scroll, a figure that is missing, and one that is left behind."""
    srv = server(verbose=None)
    out, shown = on_a_terminal('ping', '-c', '3', '-H', '2', '-R', '2', '-d', f'{limit}s', srv.address)
    assert out.startswith('mode ') and 'left' not in out
    start, *lines, end = shown.split('\r\033[K')
    assert (start, end) == ('', '') and '\n' not in shown
    for line in lines:
        assert re.fullmatch(r'(opening: [\d.]+ connections/s, [0-5] live, 0 failed|'
                            r'(round [12] of 2|closing): [\d.]+ messages/s, [0-5] live, 0 failed'
                            r'(, [\d.]+ s left)?)', line), line
    lines = [line for line in lines if line.startswith('round')]
    assert {line.split(':')[0] for line in lines} == {'round 1 of 2', 'round 2 of 2'}
    assert all('5 live' in line for line in lines)
    assert len(lines) <= 11 * limit  # five times a second, on a busy machine maybe less
    assert all(float(re.search(r': ([\d.]+) ', line)[1]) > 0 for line in lines)


@forks_only
def test_there_is_no_progress_in_a_pipe(server):
    """Catches a log or a script that gets the line."""
    srv = server(verbose=None)
    result = load('ping', '-d', '700ms', '-c', '1', srv.address)
    assert '\r' not in result.stdout + result.stderr and 'left' not in result.stderr


@with_limit(0.6, 3, 15)
def test_client_busy_is_the_processor_that_it_used(peer, limit):
    """Catches a share that is of something else: of the server, or of all processors. The system
    counts the same, and the opening and closing besides."""
    running = subprocess.Popen([program('echoload'), 'ping', '-d', f'{limit}s', peer(echo).address],
                               stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    out, err = running.stdout.read(), running.stderr.read()
    _, status, usage = os.wait4(running.pid, 0)
    running.returncode = status
    report = dict(line.split(None, 1) for line in out.splitlines())
    used = number(report, 'client-busy') / 100 * number(report, 'seconds')
    assert status == 0 and 0 < used <= usage.ru_utime + usage.ru_stime
    assert used >= (usage.ru_utime + usage.ru_stime) / 2 - 0.02
    assert ('this client was busy' in err) == (number(report, 'client-busy') > 90)


# ---- what is expected ----------------------------------------------------------------------

@forks_only
@pytest.mark.parametrize('spread_over', ['1', '3'])
def test_what_is_as_expected_changes_nothing(server, spread_over):
    """Catches a status or a line where all is well, and a figure that --expect does not know."""
    srv = server(verbose=None)
    command = ['ping', '-j', spread_over, '-r', '100', '-d', '100ms']
    report = text(load(*command, srv.address))
    numbers = [name for name in report if name not in ('mode', 'target') and report[name] != '-']
    for some in numbers[::2], numbers[1::2]:
        all_of_them = [word for name in some for word in ('--expect', f'{name}>=0')]
        result = load(*command, *all_of_them, '--expect', 'max<1h', srv.address)
        assert (result.returncode, unexpected(result)) == (0, []), result


@forks_only
@pytest.mark.parametrize('form', ['text', 'csv', 'json'])
@pytest.mark.parametrize('spread_over', ['1', '3'])
def test_what_is_not_as_expected_is_said_with_its_distance(server, form, spread_over):
    """Catches a CI job that stays green, and a report that is lost for the verdict. Three processes
    are judged by what they did together: each alone did fewer than 12 messages."""
    srv = server(verbose=None)
    result = load('ping', '-j', spread_over, '-o', form, '-c', '3', '-r', '100', '-d', '200ms',
                  '--expect', 'p50<=1h', '--expect', 'max<0.1us', '--expect', 'seconds<0.1s',
                  '--expect', 'connect-p99<1s', srv.address)
    assert result.returncode == 4
    longest, *others = unexpected(result)
    assert re.fullmatch(r'echoload: expected max<0\.1us, got ([\d.]+) us, [\d.]+ us more', longest)
    assert others == ['echoload: expected seconds<0.1s, got 0.200 s, 0.1 s more',
                      'echoload: expected connect-p99<1s, got none']
    assert len(result.stdout.splitlines()) >= 2


def test_expected_failures_are_none(peer):
    """Catches a status that cannot be told: failures that are allowed, and others that are not."""
    own = peer(lambda client: client.sendall(client.recv(64)[:-1]))
    command = ['connect', '-c', '1', '-r', '20', '-d', '100ms']
    assert load(*command, own.address).returncode == 1
    assert load(*command, '--expect', 'failed<=2', own.address).returncode == 0
    # How many may fail in all is not said by this:
    assert load(*command, '--expect', 'failed-early=2', own.address).returncode == 1
    result = load(*command, '--expect', 'failed=0', own.address)
    assert (result.returncode, unexpected(result)) == \
        (4, ['echoload: expected failed=0, got 2, 2 more'])
    held = load('storm', '-H', '1', '-r', '20', '-d', '100ms', '--expect', 'failed=0', own.address)
    assert held.returncode == 1 and text(held)['held-failed'] == '1'


# ---- the highest rate ----------------------------------------------------------------------

STEP = r'echoload: (\d+) (connections|messages)/s (hold|do not hold): (.*)'


def found(*arguments):
    """What a search says: (its result, [(rate, whether it holds, why)], what was found)."""
    result = load(*arguments)
    first, *steps = result.stderr.splitlines()
    last = next(line for line in steps if line.startswith('echoload: found '))
    assert re.fullmatch(r'echoload: as fast as \d+ connections go: '
                        r'[\d.]+ (connections|messages)/s', first)
    steps = [re.fullmatch(STEP, line) for line in steps if ' hold: ' in line]
    return result, [(int(step[1]), step[3] == 'hold', step[4]) for step in steps], last


def one_at_a_time(seconds):
    turn = threading.Lock()

    def serve(client):
        while part := client.recv(64):
            with turn:
                time.sleep(seconds)
                client.sendall(part)
    return serve


@pytest.mark.parametrize('spread_over', ['1', '2'])
def test_a_search_finds_what_the_server_can_do(peer, spread_over):
    """Catches a rate that does not hold, and a search that looks where it has been. The server
    cannot do more than 200 messages a second, whatever the machine does meanwhile."""
    result, steps, last = found('ping', '-j', spread_over, '-c', '4', '-d', '400ms',
                                '--find', 'p99=40ms', peer(one_at_a_time(0.005)).address)
    held = {rate for rate, holds, _ in steps if holds}
    failed = {rate for rate, _, _ in steps} - held
    assert 2 <= len(steps) <= 20
    if not held:  # a machine without time
        assert result.returncode == 4
        return
    report = text(result)
    assert result.returncode == 0 and number(report, 'rate-asked') == max(held) <= 230
    assert number(report, 'p99') <= 40000 and report['failed'] == '0'
    if failed:
        assert max(held) < min(failed)
        assert min(failed) <= max(held) * 1.03 + 1 or len(steps) == 20
    assert re.fullmatch(rf'echoload: found {max(held)} messages/s; stopped by the '
                        rf'{report["limited-by"]}: .*', last), last
    assert report['limited-by'] in ('client', 'machine', 'server')
    if idle := re.search(r'(?:were|was) idle for (\d+) %', last):
        assert int(idle[1]) <= 15 if report['limited-by'] == 'machine' else int(idle[1]) >= 15


@with_limit(0.02, 0.2, 2)
def test_a_search_that_finds_nothing_says_so(peer, limit):
    """Catches one that never ends, reports what does not hold, or asks for less than one a
    second."""
    result, steps, last = found('ping', '-d', f'{limit}s', '--find', 'max<0us', peer(echo).address)
    assert (result.returncode, result.stdout) == (4, '')
    assert 2 <= len(steps) <= 20 and not any(holds for _, holds, _ in steps)
    assert last.startswith('echoload: found no rate that holds; stopped by the ')
    assert re.fullmatch(r'max [\d.]+ us, [\d.]+ us more; failed 0', steps[0][2].split('done; ')[-1])


@with_limit(0.1, 1)
def test_a_rate_at_which_requests_fail_does_not_hold(peer, limit):
    """Catches a latency that looks well because what fails has none."""
    one_short = peer(lambda client: client.sendall(client.recv(64)[:-1]))
    result, steps, _ = found('connect', '-d', f'{limit}s', '--find', 'p99=1h', one_short.address)
    assert result.returncode == 4 and not any(holds for _, holds, _ in steps)
    met = itertools.count()

    def now_and_then(client):
        client.sendall(client.recv(64)[next(met) % 10 == 0:])

    command = ['connect', '-d', f'{4 * limit}s', '-c', '2']
    result, steps, _ = found(*command, '--find', 'failed=1000000', peer(now_and_then).address)
    assert result.returncode == 0 and number(text(result), 'failed') > 0 and steps


@pytest.mark.parametrize('spread_over', ['1', '2'])
def test_an_interrupted_search_gives_what_is_known(peer, spread_over):
    """Catches a SIGINT that is waited out, or that loses what was found; and the run that it has
    cut short among those that hold."""
    own = peer(one_at_a_time(0.001))

    def found_one():
        busy = subprocess.Popen([program('echoload'), 'ping', '-j', spread_over, '-c', '2',
                                 '-d', '200ms', '--find', 'max=1h', own.address],
                                text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                                env={**os.environ, **SANITIZERS})
        lines = []
        for line in busy.stderr:
            lines.append(line)
            if '/s hold: ' in line:
                return busy, lines
        busy.communicate()  # a machine without time

    busy, lines = eventually(found_one, 'a rate holds')
    busy.send_signal(signal.SIGINT)
    out, err = busy.communicate(timeout=DEADLINE)
    report = dict(line.split(None, 1) for line in out.splitlines())
    held = [int(line.split()[1]) for line in [*lines, *err.splitlines()] if '/s hold: ' in line]
    assert busy.returncode == 0 and number(report, 'rate-asked') == max(held)
    if report['limited-by'] == '-':  # or it came behind the last step
        assert f'echoload: found {max(held)} messages/s until it was interrupted' in \
            err.splitlines()


# ---- several processes -------------------------------------------------------------------

@forks_only
@pytest.mark.parametrize('mode', MODES)
def test_every_mode_can_be_spread(server, mode):
    """Catches a mode that lacks what another process has of it: connections, counts, rounds."""
    srv = server(verbose=None)
    rounds = ['-R', '2'] if mode not in ['hold', 'nonreading'] else []

    def whole_run():
        whole = json.loads(load(mode, '-j', '3', '-c', '7', '-H', '5', '-d', '100ms', '-o', 'json',
                                *rounds, srv.address).stdout)
        return whole if whole['summary']['count'] > 0 else None  # on a machine without time

    whole = eventually(whole_run, 'something is counted')
    got = whole['summary']
    assert whole['settings']['processes'] == 3 and whole['settings']['concurrency'] == 7
    assert len(whole['rounds']) == (2 if rounds else 1)
    assert (got['held'], got['held-failed'], got['held-lost'], got['failed']) == (5, 0, 0, 0)
    assert got['count'] == 7 or mode not in ['hold', 'nonreading']
    assert got['seconds'] == pytest.approx(0.1 * len(whole['rounds']), rel=0.8)  # once, not thrice
    assert got['p50'] is not None


def test_several_processes_have_all_connections_and_no_more(peer):
    """Catches a share that is begun twice, the connection that found the server included."""
    own = peer(echo)
    assert load('ping', '-j', '3', '-c', '5', '-H', '3', '-d', '100ms', own.address).returncode == 0
    eventually(lambda: len(own.served) == 8, 'eight connections have ended')
    few = load('ping', '-j', '100', '-c', '2', '-d', '50ms', own.address)
    assert text(few)['processes'] == '2'
    eventually(lambda: len(own.served) == 10, 'two more have ended')


@forks_only
def test_a_schedule_is_spread_without_a_rest(server):
    """Catches a request that no process begins, or two."""
    got = summary('ping', '-j', '3', '-c', '5', '-r', '399', '-d', '500ms', server().address)
    assert got['count'] + got['late'] == 200 and got['failed'] == 0


class Slow:
    """Serves an echo; the first connection's message of this number, from 0, takes half a second.
    Notes when each message is answered: (connection, number, time)."""

    def __init__(self, number, connection=0):
        self.number, self.connection, self.notes = number, connection, []
        self.met = itertools.count()

    def __call__(self, client):
        connection = next(self.met)
        messages = 0
        while part := client.recv(64):
            if (connection, messages) == (self.connection, self.number):
                time.sleep(0.5)
            self.notes.append((connection, messages, time.monotonic()))
            client.sendall(part)
            messages += 1

    def answered(self, connection, number):
        """When; infinity: never."""
        return next((when for *which, when in self.notes if which == [connection, number]),
                    math.inf)


def test_rounds_begin_together(peer):
    """Catches a process that measures while another still opens: its rate would be of other
    circumstances than the report tells."""
    connections, met_early = itertools.count(), []
    other_is_open, other_measures = threading.Event(), threading.Event()

    def serve(client):
        if next(connections) == 0:
            part = client.recv(64)
            assert other_is_open.wait(DEADLINE)
            met_early.append(other_measures.wait(0.5))
            client.sendall(part)
        else:
            client.sendall(client.recv(64))
            other_is_open.set()
            part = client.recv(64)
            other_measures.set()
            client.sendall(part)
        return echo(client)

    assert load('ping', '-j', '2', '-c', '2', '-d', '50ms', peer(serve).address).returncode == 0
    assert met_early == [False]


def test_nobody_closes_before_all_have_measured(peer):
    """Catches held connections that are asked a last time, and closed, while others measure."""
    def waits():
        slow = Slow(1)
        assert load('ping', '-j', '2', '-c', '1', '-H', '1', '-d', '20ms',
                    peer(slow).address).returncode == 0
        return slow.answered(0, 1) < slow.answered(1, 1) < math.inf

    # Nearly always the first is the one that measures; with the defect it is never so.
    assert any(waits() for _ in range(4))


@pytest.fixture
def spread():
    """A function that starts echoload with workers, and returns it and their ids once all are
    there."""
    started = []

    def start(*arguments, **options):
        running = subprocess.Popen([program('echoload'), *map(str, arguments)], text=True,
                                   stdout=subprocess.PIPE, stderr=subprocess.PIPE, **options,
                                   env={**os.environ, **SANITIZERS})
        started.append(running)
        count = int(arguments[arguments.index('-j') + 1])
        return running, eventually(lambda: len(children(running.pid)) == count and
                                   [each.pid for each in children(running.pid)], 'they are there')

    yield start
    for each in started:  # a test that failed left it
        if each.poll() is None:
            each.kill()
            each.communicate()


def all_gone(workers):
    """But for the dead that are waited for by nobody, where process 1 is no init."""
    return all(map(dead, workers))


@forks_only
@pytest.mark.parametrize('number', [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize('to_all', [False, True], ids=['parent', 'group'])
def test_an_interruption_ends_all_workers(server, spread, number, to_all):
    """Catches processes that measure on, or die of the signal that a terminal sends to each; and
    rounds that not all of them have."""
    srv = server(verbose=None)
    running, workers = spread('ping', '-j', '3', '-R', '100', '-d', '1h', '-o', 'json', srv.address,
                              start_new_session=True)
    eventually(lambda: srv.status().number('live') == 8, 'it is connected')
    if to_all:
        os.killpg(running.pid, number)
    else:
        running.send_signal(number)
    out, err = running.communicate(timeout=DEADLINE)
    whole = json.loads(out)
    assert (running.returncode, err) == (0, '') and len(whole['rounds']) == 1
    assert whole['summary']['seconds'] < 3600 and all_gone(workers)


@forks_only
def test_a_second_interruption_does_not_wait(server, spread):
    """Catches one that is obeyed only where it is of the same kind as the first."""
    srv = server('-w', '1h', verbose=None)  # nobody is answered
    running, workers = spread('connect', '-j', '2', '-d', '1h', srv.address)
    eventually(lambda: srv.status().number('live') == 8, 'it is connected')
    running.send_signal(signal.SIGINT)
    eventually(lambda: running.poll() is not None or running.send_signal(signal.SIGTERM), 'its end')
    assert running.returncode == -signal.SIGTERM
    eventually(lambda: all_gone(workers), 'they are gone')


@forks_only
@with_limit(1, 10)
def test_an_interruption_that_is_sent_twice_is_one(server, limit):
    """Catches a report that is lost under timeout(1), which sends SIGTERM to the process and at
    once to its group."""
    srv = server(verbose=None)
    timed = subprocess.run(['timeout', str(limit), program('echoload'), 'ping', '-d', '1h',
                            srv.address], stdout=subprocess.PIPE, text=True, timeout=DEADLINE, check=False)
    assert timed.returncode == 124 and number(text(timed), 'count') > 0


@forks_only
def test_one_worker_is_not_interrupted_alone(server, spread):
    """Catches a report of a full round of which one process has measured a part, as somebody has
    sent a signal to it."""
    srv = server(verbose=None)
    running, workers = spread('ping', '-j', '2', '-c', '2', '-r', '100', '-d', '2s', '-o', 'json',
                              srv.address)
    eventually(lambda: srv.status().number('live') == 2, 'it is connected')
    for number in (signal.SIGTERM, signal.SIGINT):
        os.kill(workers[0], number)
    out, _ = running.communicate(timeout=DEADLINE)
    got = json.loads(out)['summary']
    assert running.returncode == 0 and got['count'] + got['late'] == 200


@forks_only
@pytest.mark.parametrize('place', [0, 2])
def test_a_worker_that_dies_ends_the_run(server, spread, place):
    """Catches a parent that waits for the dead, and a report of those that are left."""
    srv = server(verbose=None)
    running, workers = spread('ping', '-j', '3', '-d', '1h', srv.address)
    os.kill(sorted(workers)[place], signal.SIGKILL)
    out, err = running.communicate(timeout=DEADLINE)
    assert (running.returncode, out) == (1, '')
    assert re.fullmatch(r'echoload: cannot run: process [123] of 3 was ended by signal 9\n', err)
    assert all_gone(workers)


@forks_only
def test_workers_end_with_their_parent(server, spread):
    """Catches processes that put a server under load for nobody."""
    running, workers = spread('ping', '-j', '3', '-d', '1h', server(verbose=None).address)
    running.kill()
    running.communicate(timeout=DEADLINE)
    eventually(lambda: all_gone(workers), 'they are gone')


@needs_root
def test_workers_that_cannot_be_started_are_told_of(peer, folder):
    """Catches a report of those that could be started, and a parent that waits for the others. An
    ordinary user may have two processes: the parent and the first."""
    result = subprocess.run(
        [shutil.copy(program('echoload'), folder), 'ping', '-j', '3', peer(echo).address],
        user=new_user(), group=0, extra_groups=[], text=True, capture_output=True, check=False,
        timeout=DEADLINE, env={**os.environ, **NO_LEAK_SEARCH},
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_NPROC, (2, 2)))
    assert (result.returncode, result.stdout) == (1, '')
    assert result.stderr == \
        'echoload: cannot run: process 2 of 3: Resource temporarily unavailable\n'


def test_what_fails_in_one_process_is_a_failure(peer):
    """Catches an exit status and a line that are those of the first process alone."""
    def wrong_for_one():
        met = itertools.count()

        def serve(client):
            spoils = next(met) == 2
            with contextlib.suppress(ConnectionError):
                while part := client.recv(65536):
                    client.sendall(b'?' * len(part) if spoils else part)

        return peer(serve).address

    result = failing(wrong_for_one, 'ping', '-j', '3', '-c', '3', '-d', '100ms')
    assert result.returncode == 1 and number(text(result), 'failed-wrong') == 1
    assert result.stderr == 'echoload: 1 failure, the first: wrong bytes\n'


@forks_only
@with_limit(1, 1, 4)
def test_several_processes_have_one_line_of_progress(server, limit):
    """Catches a line for each process, or one that is of the first alone."""
    srv = server(verbose=None)
    _, shown = on_a_terminal('ping', '-j', '2', '-c', '3', '-H', '2', '-d', f'{limit}s', srv.address)
    assert '\n' not in shown
    lines = [line for line in shown.split('\r\033[K') if line.startswith('round')]
    assert 1 <= len(lines) <= 6 * limit and all('5 live' in line for line in lines[1:])


def limited(limit, *arguments):
    return subprocess.run(['sh', '-c', f'ulimit -n {limit}; exec "$@"', 'sh',
                           program('echoload'), *map(str, arguments)], text=True,
                          capture_output=True, timeout=DEADLINE, check=False)


@forks_only
def test_too_few_descriptors_in_one_process_are_found_in_several(server):
    """Catches a client that ends, or fails in the midst, where one process cannot have as many
    descriptors as it was asked for connections."""
    srv = server(verbose=None)
    result = limited(50, 'connect', '-c', '8', '-H', '92', '-d', '100ms', srv.address)
    report = text(result)
    assert result.returncode == 0 and (report['processes'], report['held']) == ('3', '92')


def test_an_interruption_while_the_server_is_looked_for_ends_it():
    """Catches a client that tries for the whole timeout to reach a server that is stuck, whatever
    the user sends it."""
    with contextlib.ExitStack() as crowd:
        stuck = crowd.enter_context(socket.create_server(('127.0.0.1', 0), backlog=0))
        for _ in range(4):  # more than its backlog holds
            waits = crowd.enter_context(socket.socket())
            waits.setblocking(False)
            waits.connect_ex(stuck.getsockname())
        running = subprocess.Popen([program('echoload'), 'ping', '-t', '1h',
                                    f'127.0.0.1:{stuck.getsockname()[1]}'],
                                   stderr=subprocess.PIPE, text=True)

        def has_socket():
            with contextlib.suppress(OSError):  # one may be closed meanwhile
                return any(os.readlink(each).startswith('socket:')
                           for each in Path(f'/proc/{running.pid}/fd').iterdir())

        eventually(has_socket, 'it connects')
        running.send_signal(signal.SIGINT)
        assert running.communicate(timeout=DEADLINE)[1] == ''
        assert running.returncode == -signal.SIGINT


# ---- bad input ---------------------------------------------------------------------------

BAD = [
    (['-R', '0', 'ping', 'HERE'], r"option -R, --rounds: '0' is not a whole number from 1 to 1000"),
    (['-j', '0', 'ping', 'HERE'],
     r"option -j, --processes: '0' is not a whole number from 1 to 256"),
    (['-r', '0', 'ping', 'HERE'],
     r"option -r, --rate: '0' is not a whole number from 1 to 10000000"),
    (['-r', '1.5', 'ping', 'HERE'], r"option -r, --rate: '1.5' is not a whole number"),
    (['-w', 'x', 'ping', 'HERE'], r"option -w, --warm-up: 'x' is not a duration such as 500ms"),
    (['-o', 'xml', 'ping', 'HERE'],
     r"option -o, --output: 'xml' is not a form of report: text, csv, json or hdr"),
    (['-o', '', 'ping', 'HERE'], r'option -o, --output takes a value'),
    (['-r', '5', 'stream', 'HERE'], r'option -r, --rate: stream has no requests'),
    (['hold', '-r', '5', 'HERE'], r'option -r, --rate: hold has no requests'),
    (['nonreading', '-r', '5', 'HERE'], r'option -r, --rate: nonreading has no requests'),
    (['hold', '-R', '2', 'HERE'], r'option -R, --rounds: hold opens its connections once'),
    (['nonreading', '-R', '2', 'HERE'],
     r'option -R, --rounds: nonreading opens its connections once'),
    (['hold', '-w', '1s', 'HERE'], r'option -w, --warm-up: hold has no work to warm up with'),
    (['storm', '-s', '5', 'HERE'], r'option -s, --size: storm sends nothing'),
    (['stream', '-s', '65537', 'HERE'],
     r'option -s, --size: stream writes at most 65536 bytes at once'),
    (['nonreading', '-s', '65537', 'HERE'],
     r'option -s, --size: nonreading writes at most 65536 bytes at once'),
    *((['ping', '--ramp', ramp, 'HERE'],
       rf"option --ramp: '{re.escape(ramp)}' is not rate=FROM\.\.TO or "
       r'concurrency=FROM\.\.TO, as in rate=100\.\.5000')
      for ramp in ['1..5', 'rate=5', 'rate=0..5', 'rate=5..', 'rate=..5', 'rate=1..5..9',
                   'rate=1..2s', 'rate=1...5', 'size=1..5', 'rate=1..10000001',
                   'concurrency=1..1000001', 'rate=' + '1' * 90]),
    (['hold', '--ramp', 'rate=1..5', 'HERE'], r'option --ramp: hold has no requests'),
    (['ping', '-r', '5', '--ramp', 'rate=1..5', 'HERE'],
     r'option --ramp: -r, --rate has set that; leave out one of the two'),
    (['ping', '--ramp', 'rate=5..5', '-r', '5', 'HERE'],
     r'option -r, --rate: --ramp has set that; leave out one of the two'),
    (['ping', '-c', '5', '--ramp', 'concurrency=1..5', 'HERE'],
     r'option --ramp: -c, --concurrency has set that; leave out one of the two'),
    (['ping', '--ramp', 'rate=1..5', '--ramp', 'concurrency=1..5', 'HERE'],
     r'option --ramp: with a rate requests begin on a schedule'),
    (['stream', '--ramp', 'concurrency=1..5', 'HERE'],
     r'option --ramp: the connections of stream do not work one after another'),
    (['ping', '-r', '5', '--ramp', 'concurrency=1..5', 'HERE'],
     r'option --ramp: with a rate requests begin on a schedule'),
    (['hold', '-i', '1s', 'HERE'], r'option -i, --interval: hold opens its connections once'),
    (['ping', '-i', '1s', '-R', '2', 'HERE'],
     r'option -i, --interval: with -R there is a row for each round; leave out one of the two'),
    (['ping', '-i', '4999us', 'HERE'], r"option -i, --interval: '4999us' is not a duration"),
    (['ping', '-i', '4ms', 'HERE'], r'option -i, --interval: there may be 1000 in the duration'),
    (['--expect', 'p99', 'ping', 'HERE'],
     r"option --expect: 'p99' is not a figure of the report, one of "
     r'< <= = >= >, and a value: p99<5ms or failed=0'),
    (['ping', '--expect', 'p98<5ms', 'HERE'],
     r"option --expect: 'p98<5ms' begins with no figure of the report, as p99, max, failed or "
     r'rate are'),
    (['--expect', 'p99<5xs', 'ping', 'HERE'],
     r"option --expect: 'p99<5xs' does not end in a time such as 500us or 5ms; a number alone is "
     r'of us'),
    (['--expect', 'mode=5', 'ping', 'HERE'], r"option --expect: 'mode=5' is of no number"),
    (['ping', *['--expect', 'failed=0'] * 33, 'HERE'], r'option --expect: there may be 32'),
    (['--find', 'p99', 'ping', 'HERE'],
     r"option --find: 'p99' is not a figure of the report, one of"),
    (['--find', 'p99=5ms,', 'ping', 'HERE'],
     r"option --find: '' is not a figure of the report, one of"),
    (['--find', 'p99=5ms,,failed=0', 'ping', 'HERE'], r"option --find: '' is not a figure"),
    (['--find', 'p99=5ms,failed=x', 'ping', 'HERE'],
     r"option --find: 'failed=x' does not end in a number"),
    (['--find', 'p99=5ms', 'hold', 'HERE'],
     r'option --find: hold has no requests whose rate could be'),
    (['--find', 'p99=5ms', 'ping', '-r', '5', 'HERE'],
     r'option --find: it sets the rate itself; leave out'),
    (['--find', 'p99=5ms', 'ping', '--ramp', 'concurrency=1..5', 'HERE'],
     r'option --find: it sets the rate itself; leave out -r and --ramp'),
    (['--find', 'p99=5ms', 'ping', '-R', '2', 'HERE'],
     r'option --find: each rate is measured for the dur'),
    (['--find', 'p99=5ms', 'ping', '-i', '1s', 'HERE'],
     r'option --find: each rate is measured for the dur'),
    (['flood', 'HERE'], r"'flood' is not a mode: connect, ping, stream or hold, or reset, "
     r'halfclose, dribble, nonreading or storm'),
    ([], r'a mode is missing: connect, ping'),
    (['ping'], r"the server's address is missing: host:port or /path"),
    (['ping', 'HERE', 'HERE'], r"'\S+' is one operand too many"),
    (['ping', '127.0.0.1:99999'], r"'127.0.0.1:99999' is not host:port or /path"),
    (['-c', '0', 'ping', 'HERE'], r"option -c, --concurrency: '0' is not a whole number"),
    (['-t', '0', 'ping', 'HERE'], r"option -t, --timeout: '0' is not a duration above 0"),
    (['-d', '0', 'ping', 'HERE'], r"option -d, --duration: '0' is not a duration above 0"),
]


@pytest.mark.parametrize('words, expected', BAD, ids=[' '.join(words) for words, _ in BAD])
def test_bad_input_gets_one_line_that_says_what_is_right(words, expected):
    """Catches bad input that is taken for something else, or a message that does not help."""
    with socket.create_server(('127.0.0.1', 0)) as listener:
        here = f'127.0.0.1:{listener.getsockname()[1]}'
        result = load(*[here if word == 'HERE' else word for word in words])
        assert (result.returncode, result.stdout) == (2, '')
        assert re.match(rf'echoload: {expected}', result.stderr), result.stderr
        assert result.stderr.count('\n') == 1
        listener.settimeout(0)
        with pytest.raises(BlockingIOError):  # nothing was begun
            listener.accept()


def test_a_name_that_does_not_resolve_is_shown_as_it_was_typed():
    """Catches a message that leaves out the part that is wrong."""
    result = load('ping', 'localhost:nosuch')
    assert result.returncode == 3
    assert result.stderr.startswith('echoload: cannot resolve localhost:nosuch: there is no such ')


@pytest.mark.parametrize('arguments, problem', [
    (['-j', '1', '-c', '100'], '-c 100 and -H 0 in 1 process need 116 descriptors in one; '
                               'the limit is 50 (ulimit -n)'),
    (['-j', '2', '-H', '100'], '-c 8 and -H 100 in 2 processes need 70 descriptors in one; '
                               'the limit is 50 (ulimit -n)'),
    (['-c', '2000'], '-c 2000 and -H 0 are too many for the descriptors of 256 processes; '
                     'the limit is 50 in each (ulimit -n)'),
])
def test_too_few_descriptors_are_said_before_anything_begins(peer, arguments, problem):
    """Catches a run that fails in the middle because it cannot open any more."""
    result = limited(50, 'reset', *arguments, peer(echo).address)
    assert (result.returncode, result.stderr) == (2, f'echoload: {problem}\n')
