"""-S: what monitors are told by HTTP, and that it costs clients nothing."""
import contextlib
import json
import os
import re
import shutil
import signal
import subprocess
import time
from http.client import HTTPConnection
from pathlib import Path
from urllib.parse import urlencode

import pytest

from daemons import environment, find, free_port, needs_daemon
from harness import (AS_OURSELVES, DEADLINE, TOP, Client, children, descriptors, eventually,
                     forks_only, in_time, long, process, program, use_up_descriptors, visit)
from test_upgrade import upgrade

pytestmark = forks_only
EXAMPLES = TOP / 'examples' / 'monitoring'
STATUS = ('-S', '127.0.0.1:0')
TEXT = 'text/plain; version=0.0.4; charset=utf-8'
OPENMETRICS = 'application/openmetrics-text; version=1.0.0; charset=utf-8'
MOST = 8  # that answer at once: src/fork/status.h


def monitor(srv, **options):
    """A connection to the address of -S, the last that is printed."""
    return srv.connect(srv.addresses[-1], **options)


def read_answer(client):
    """The status, the headers and the body of what comes until the connection ends."""
    return parts(client.receive_all())


def parts(answer):
    head, _, body = answer.partition(b'\r\n\r\n')
    first, *lines = head.decode().split('\r\n')
    found = re.fullmatch(r'HTTP/1\.1 (\d{3}) \S.*', first)
    assert found, (first, body)
    headers = dict(line.split(': ', 1) for line in lines)
    assert headers['Connection'] == 'close'
    return int(found[1]), headers, body.decode()


def ask(srv, path='/metrics', method='GET', accept='*/*', **options):
    client = monitor(srv, **options)
    client.sendall(f'{method} {path} HTTP/1.1\r\nHost: a\r\nAccept: {accept}\r\n\r\n'.encode())
    return read_answer(client)


def ask_in_turn(srv, **options):
    """The same for who comes again at once: on a busy machine those that have answered may not have
    ended yet, and there may be no room for another (503), who then may be reset."""
    def answer():
        with contextlib.suppress(ConnectionError):
            found = ask(srv, **options)
            return found[0] != 503 and found
    return eventually(answer, 'a monitor is answered')


def numbers(srv, **options):
    """{name with its labels: value} of GET /metrics."""
    status, headers, body = ask_in_turn(srv, **options)
    assert (status, headers['Content-Type']) == (200, TEXT)
    assert int(headers['Content-Length']) == len(body)
    return {name: float(value) for name, value in re.findall(r'^([^#\s]\S*) (\S+)$', body, re.M)}


def wait_for(srv, **wanted):
    """Waits until these numbers, without their beginning, are so, and returns all."""
    def found():
        now = numbers(srv)
        return all(now[f'forkecho_{name}'] == value for name, value in wanted.items()) and now
    return eventually(found, f'{wanted}')


# ---- what is told ------------------------------------------------------------------------

def test_the_numbers_are_those_of_the_clients(server):
    """Catches a number that is forgotten, counted twice, or stands under another's name."""
    srv = server(*STATUS, '-C', '2')
    held = [srv.connect() for _ in range(2)]
    for client in held:
        assert client.echo(b'abc') == b'abc'
    srv.connect().closed_by_server()
    now = wait_for(srv, live_children=2)
    assert now['forkecho_source_live_children_highest'] == 2
    assert now['forkecho_connections_refused_total{why="max-per-source"}'] == 1
    assert now['forkecho_connections_refused_total{why="denied"}'] == 0
    assert now['forkecho_connections_accepted_total'] == 3
    assert now['forkecho_live_children_max'] == 1024
    assert 0 < now['forkecho_oldest_connection_seconds'] < 600
    assert abs(now['process_start_time_seconds'] - time.time()) < 600
    held.pop().close()
    wait_for(srv, live_children=1)
    os.kill(int(srv.accepted(held[0])['pid']), signal.SIGKILL)
    now = wait_for(srv, live_children=0)
    assert now['forkecho_connections_ended_total{how="eof"}'] == 1
    assert now['forkecho_connections_ended_total{how="signal"}'] == 1
    assert now['forkecho_bytes_total{direction="in"}'] == 3
    assert now['forkecho_bytes_total{direction="out"}'] == 3
    assert now['forkecho_live_children_peak'] == 2
    assert now['forkecho_oldest_connection_seconds'] == 0
    assert now['process_cpu_seconds_total'] > 0
    assert now['forkecho_children_cpu_seconds_total'] >= 0


def test_programs_are_told_by_their_exit_status(server):
    """Catches a program's end that is counted as an echo's."""
    srv = server(*STATUS, runs=['sh', '-c', 'read word; exit $word'])
    for status in (b'0\n', b'3\n', b'0\n'):
        client = srv.connect()
        client.sendall(status)
        assert client.receive_all() == b''
    now = wait_for(srv, live_children=0)
    assert now['forkecho_connections_ended_total{how="exit-0"}'] == 2
    assert now['forkecho_connections_ended_total{how="exit-other"}'] == 1
    assert now['forkecho_connections_ended_total{how="eof"}'] == 0


def test_a_full_server_says_that_the_gate_is_closed(server):
    """Catches a monitor that must wait with the clients, just when somebody should be called."""
    srv = server(*STATUS, '-c', '1')
    first, second = srv.connect(), srv.connect()
    assert first.echo(b'x') == b'x'
    now = wait_for(srv, live_children=1)
    assert now['forkecho_gate_closed{why="max-connections"}'] == 1
    assert now['forkecho_gate_closed{why="failure"}'] == 0
    first.close()
    assert second.echo(b'x') == b'x'
    second.close()
    now = wait_for(srv, live_children=0)
    assert now['forkecho_gate_closed{why="max-connections"}'] == 0
    assert now['forkecho_connections_deferred_total{why="max-connections"}'] == 1


def test_each_metric_is_in_the_man_page(server):
    """Catches a metric that nobody can look up, and one that is promised and not there."""
    page = (TOP / 'man' / 'forkecho-metrics.5').read_text()
    told = re.findall(r'^\.It Li ((?:forkecho|process)_\w+)', page, re.M)
    found = [re.sub(r'\{.*', '', name) for name in numbers(server(*STATUS))]
    assert told == list(dict.fromkeys(found))


def test_a_page_for_people_is_plain(server):
    """Catches a GET / that is for machines, and one whose numbers are others."""
    srv = server(*STATUS)
    visit(srv)
    wait_for(srv, live_children=0)
    status, headers, body = ask(srv, '/')
    assert (status, headers['Content-Type']) == (200, 'text/plain; charset=utf-8')
    assert re.search(r'^connections ended: eof +1$', body, re.M), body
    assert len({len(line) for line in body.splitlines()[2:]}) == 1


def test_openmetrics_is_for_who_asks_for_it(server):
    """Catches a content type that is not what follows, which a scraper then refuses."""
    srv = server(*STATUS)
    _, headers, body = ask(srv, accept='application/openmetrics-text;version=1.0.0,*/*;q=0.1')
    assert headers['Content-Type'] == OPENMETRICS and body.endswith('\n# EOF\n')
    assert '# TYPE forkecho_connections_accepted counter\n' in body
    _, headers, body = ask(srv)
    assert headers['Content-Type'] == TEXT and '# EOF' not in body


def test_head_has_no_body(server):
    """Catches a body where none may be."""
    srv = server(*STATUS)
    status, headers, body = ask(srv, method='HEAD')
    assert (status, body) == (200, '') and int(headers['Content-Length']) > 1000


def test_a_unix_socket_is_an_address_too(server, folder):
    """Catches -S that takes fewer forms than -l, and a file that stays behind."""
    path = folder / 'status'
    srv = server('-S', str(path))
    assert srv.addresses[-1] == str(path)
    assert numbers(srv)['forkecho_live_children'] == 0
    srv.stop(signal.SIGTERM)
    assert not path.exists()


def test_several_addresses_are_answered_at(server, folder):
    """Catches a second -S that replaces the first."""
    srv = server(*STATUS, '-S', str(folder / 'status'))
    for address in srv.addresses[1:]:
        with Client(address) as client:
            client.sendall(b'GET / HTTP/1.0\r\n\r\n')
            assert read_answer(client)[0] == 200
    assert len(srv.addresses) == 3


def test_the_log_says_where_monitors_ask(server, folder):
    """Catches a port that the system has chosen and that only -1 tells."""
    srv = server(*STATUS, '-S', str(folder / 'status'), verbose='')
    assert srv.wait_line('^start ')['monitors'] == ','.join(srv.addresses[1:])


# ---- who asks in another way -------------------------------------------------------------

@pytest.mark.parametrize('request_, answer', [
    (b'GET /other HTTP/1.1\r\n\r\n', 404), (b'POST /metrics HTTP/1.1\r\n\r\n', 405),
    (b'\x16\x03\x01\x02\x00\x01', 400), (b'hello\n', 400), (b'\0' * 100, 400),
    (b'GET / HTTP/1.1\r\nX: ' + b'x' * 5000, 431), (b'GET /' + b'x' * 1000000, 431),
    (b'GET / HTTP/1.1\r\n', 408), (b'', 408)],
    ids=['404', '405', 'tls', 'text', 'zeros', '431', 'huge', 'cut', 'silent'])
def test_each_error_is_one_line(server, request_, answer):
    """Catches a reset in place of an answer, a request that is waited for without end, and a body
    that says nothing."""
    srv = server(*STATUS)
    client = monitor(srv)
    with contextlib.suppress(ConnectionError):
        client.sendall(request_)
    status, headers, body = read_answer(client)
    assert status == answer
    assert body.count('\n') == 1 and len(body) == int(headers['Content-Length']) > 20
    visit(srv)
    assert not srv.find('^forkecho: ')


def test_a_request_that_is_closed_is_an_error(server):
    """Catches a child that waits for more from who has half-closed."""
    srv = server(*STATUS)
    client = monitor(srv)
    client.sendall(b'GET / HTTP/1.1\r\n')
    client.half_close()
    assert read_answer(client)[0] == 400


def test_a_slow_request_has_two_seconds(server):
    """Catches a time that each byte begins anew."""
    srv = server(*STATUS)
    begun, got = time.monotonic(), b''
    client = monitor(srv)
    client.settimeout(0.1)
    while not got and time.monotonic() < begun + DEADLINE:
        with contextlib.suppress(TimeoutError):
            client.sendall(b'G')
            got = client.recv(1)
    assert time.monotonic() - begun > 1.5
    assert got + client.receive(11) == b'HTTP/1.1 408'


def test_more_than_a_few_are_told_so(server):
    """Catches children for as many as come, beside -c; and who is turned away without a word."""
    srv = server(*STATUS)

    def is_told_so():
        """False on a machine so busy that the first of them has ended before the last comes."""
        silent = [monitor(srv) for _ in range(MOST)]
        more, answer = monitor(srv), b''
        with contextlib.suppress(ConnectionError):  # the parent does not read what it is asked
            more.sendall(b'GET / HTTP/1.1\r\n\r\n')
            while part := more.recv(1000):
                answer += part
        is_told = parts(answer)[0] == 503
        assert not is_told or [read_answer(client)[0] for client in silent] == [408] * MOST
        for client in silent:
            client.close()
        eventually(lambda: not children(srv.pid), 'they are reaped')
        return is_told

    eventually(is_told_so, 'one more is told that there are too many')
    assert ask(srv)[0] == 200


def test_silent_monitors_do_not_keep_out_who_asks(server):
    """Catches silent ones that leave no room until their time is over. As their children are
    stopped, it never is; on a machine so busy that some had ended before, others come."""
    srv = server(*STATUS)
    silent, stopped = [], []

    def all_are_stopped():
        silent.append(monitor(srv))
        for child in children(srv.pid):
            with contextlib.suppress(ProcessLookupError):
                os.kill(child.pid, signal.SIGSTOP)
                stopped.append(child.pid)
        return sum(child.state == 'T' for child in children(srv.pid)) >= MOST

    try:
        eventually(all_are_stopped, 'as many are silent as there may be')
        assert ask_in_turn(srv)[0] == 200
    finally:
        for pid in stopped:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGCONT)


def test_a_thousand_at_once_delay_no_client(server):
    """Catches monitors that take slots, or hold up the loop."""
    srv = server(*STATUS)
    client = srv.connect()
    assert client.echo(b'x') == b'x'

    def try_in(seconds):
        crowd = [Client(srv.addresses[-1]) for _ in range(1000)]
        begun = time.monotonic()
        for _ in range(10):
            visit(srv)
            assert client.echo(b'x') == b'x'
        took = time.monotonic() - begun
        for each in crowd:
            with contextlib.suppress(ConnectionError):
                each.receive_all()
            each.close()
        return took < seconds

    assert in_time(try_in, 1, 4, 16)
    eventually(lambda: len(children(srv.pid)) == 1, 'all have ended')
    now = wait_for(srv, live_children=1)
    assert now['forkecho_connections_accepted_total'] % 10 == 1


# ---- monitors are no clients -------------------------------------------------------------

def test_monitors_are_counted_and_logged_nowhere(server):
    """Catches a monitor that takes the slot of a client, or is one in the statistics."""
    srv = server(*STATUS, '-c', '1', '-C', '1', verbose='-vv')
    client = srv.connect()
    assert client.echo(b'x') == b'x'
    srv.accepted(client)
    srv.wait_line('^message ')
    silent = monitor(srv)
    eventually(lambda: len(children(srv.pid)) == 2, 'the monitor has a child')
    mark = srv.mark()
    for _ in range(20):
        assert numbers(srv)['forkecho_live_children'] == 1
    status = srv.status()
    told = [status[key] for key in ('live', 'accepted', 'refused', 'zombies')]
    assert told == ['1', '1', '0', '0']
    assert len(srv.lines) == mark + 1
    silent.close()
    client.close()
    srv.wait_line('^end ')
    assert srv.stop(signal.SIGTERM) == 0
    assert srv.wait_line('^stop ')['accepted'] == '1'


def test_access_lists_hold_for_monitors(server):
    """Catches a door that -A and -X do not guard."""
    srv = server(*STATUS, '-A', '127.0.0.2')
    assert ask(srv, source='127.0.0.2')[0] == 200
    with contextlib.suppress(ConnectionError):
        assert monitor(srv).receive_all() == b''
    assert not srv.find('^(refuse|accept) ')


def test_a_child_that_answers_has_its_monitor_alone(server):
    """Catches a listener, the ledger or a client's socket in a process that reads from anybody."""
    srv = server(*STATUS)
    held = srv.connect()
    assert held.echo(b'x') == b'x'
    echo, = children(srv.pid)

    def is_confined():
        """Once the child of a silent monitor has come so far, if it is looked at in its time."""
        with contextlib.suppress(OSError), monitor(srv):
            eventually(lambda: len(children(srv.pid)) == 2, 'the monitor has a child')
            for child in children(srv.pid):
                limits = Path(f'/proc/{child.pid}/limits').read_text()
                own = descriptors(child.pid)
                if child.pid != echo.pid and re.search(r'^Max open files +0 +0 ', limits, re.M):
                    return len(own) == 4 and own[3].startswith('socket:')
        return False

    eventually(is_confined, 'it has one socket, and may open nothing')


def test_its_children_are_reaped_at_once(server):
    """Catches zombies that nobody asks for, as they are in no table."""
    srv = server(*STATUS)

    def is_fast(seconds):
        """A sweep finds them too, but a second later, and there is no room meanwhile."""
        begun = time.monotonic()
        for _ in range(8 * MOST):
            assert ask_in_turn(srv)[0] == 200
        return time.monotonic() - begun < seconds

    assert in_time(is_fast, 1, 2, 4)
    eventually(lambda: not children(srv.pid), 'all are reaped')


def test_without_descriptors_nothing_spins(server):
    """Catches a listener that stays ready while accept fails: the loop would never sleep again."""
    srv = server(*STATUS, *AS_OURSELVES)
    give_back = use_up_descriptors(srv.pid)
    client = monitor(srv)
    client.sendall(b'GET /metrics HTTP/1.1\r\n\r\n')

    def idles(seconds):
        before = process(srv.pid).cpu
        time.sleep(seconds)  # what does not happen meanwhile is no event
        return process(srv.pid).cpu - before < 0.2 * seconds

    assert in_time(idles, 1, 2)
    give_back()
    assert read_answer(client)[0] == 200
    assert not srv.find('^forkecho: ')


# ---- stops and upgrades ------------------------------------------------------------------

def test_a_drain_is_told(server):
    """Catches a monitor that is refused while clients are still served."""
    srv = server(*STATUS)
    client = srv.connect()
    assert client.echo(b'x') == b'x'
    assert numbers(srv)['forkecho_stopping'] == 0
    srv.send_signal(signal.SIGTERM)
    srv.wait_line('^drain ')
    assert numbers(srv)['forkecho_stopping'] == 1
    client.close()
    assert srv.wait() == 0


def test_an_end_leaves_nobody_behind(server):
    """Catches a child that outlives the server, which a service manager then says it had to kill."""
    srv = server(*STATUS)
    begun = time.monotonic()
    silent = monitor(srv)
    eventually(lambda: children(srv.pid), 'the monitor has a child')
    assert srv.stop(signal.SIGTERM) == 0
    has_ended = time.monotonic() > begun + 2  # by itself, for all that is known
    assert has_ended or silent.closed_by_server() == b''


def test_an_upgrade_keeps_listeners_and_numbers(server, folder):
    """Catches a counter that begins anew, which is a fall to whoever draws it, and a monitor that
    is refused meanwhile."""
    path = folder / 'status'
    srv = server(*STATUS, '-S', str(path), '-C', '1', copy=True)
    visit(srv)
    held = srv.connect()
    assert held.echo(b'x') == b'x'
    srv.connect().closed_by_server()
    before = wait_for(srv, live_children=1)
    for number in (1, 2):
        upgrade(srv)
        now = wait_for(srv, upgrades_total=number, live_children=1)
        changing = re.compile(r'seconds|upgrades')
        assert {name: value for name, value in now.items() if not changing.search(name)} == \
               {name: value for name, value in before.items() if not changing.search(name)}
        assert now['process_start_time_seconds'] == before['process_start_time_seconds']
        assert now['process_cpu_seconds_total'] >= before['process_cpu_seconds_total']
        with Client(srv.addresses[1]) as client:
            client.sendall(b'GET / HTTP/1.0\r\n\r\n')
            assert read_answer(client)[0] == 200
    held.close()
    assert srv.stop(signal.SIGTERM) == 0
    assert not path.exists()


MESSAGE = 50  # bytes of one connection


def start_load(srv):
    """echoload, one message each connection, for a while."""
    return subprocess.Popen([program('echoload'), 'connect', '-w', '0', '-d', '1s', '-s',
                             str(MESSAGE), '-o', 'json', srv.address], stdout=subprocess.PIPE)


def counted(load):
    """How many connections it has made, at its end."""
    summary = json.loads(load.communicate(timeout=DEADLINE)[0])['summary']
    assert load.returncode == 0 and summary['failed'] == 0, summary
    return summary['count'] + summary['late']


def assert_told(now, connections):
    assert connections > 0
    assert now['forkecho_connections_accepted_total'] == connections
    assert now['forkecho_connections_ended_total{how="eof"}'] == connections
    for direction in ('in', 'out'):
        assert now[f'forkecho_bytes_total{{direction="{direction}"}}'] == MESSAGE * connections


def test_answers_equal_what_echoload_counted(server):
    """Catches a connection or a byte that is lost between the two ends."""
    srv = server(*STATUS, copy=True, verbose='')
    with start_load(srv) as load:
        for _ in range(3):
            upgrade(srv)
        connections = counted(load)
    assert_told(wait_for(srv, live_children=0), connections)


# ---- Prometheus --------------------------------------------------------------------------

def query(port, expression):
    """The values that Prometheus knows now, none while it starts: [(labels, value)]."""
    with contextlib.closing(HTTPConnection('127.0.0.1', port, timeout=DEADLINE)) as connection:
        connection.request('GET', f'/api/v1/query?{urlencode({"query": expression})}')
        response = connection.getresponse()
        if response.status == 503:
            return []
        answer = json.loads(response.read())
    assert answer['status'] == 'success', answer
    return [(each['metric'], float(each['value'][1])) for each in answer['data']['result']]


def value(port, expression):
    found = query(port, expression)
    return found[0][1] if len(found) == 1 else None


def promtool(*words, **options):
    return subprocess.run([find('promtool'), *words], capture_output=True, text=True,
                          env=environment(), timeout=DEADLINE, check=False, **options)


def start_prometheus(daemon, folder, srv):
    """Prometheus with the shipped settings, but for the address, and how often it asks."""
    shutil.copy(EXAMPLES / 'rules.yml', folder)
    text = (EXAMPLES / 'prometheus.yml').read_text()
    assert "'localhost:9107'" in text and 'scrape_interval: 15s' in text
    text = text.replace('localhost:9107', srv.addresses[-1]).replace('15s', '1s')
    (folder / 'prometheus.yml').write_text(text)
    port = free_port()
    prometheus = daemon(find('prometheus'), f'--config.file={folder}/prometheus.yml',
                        f'--storage.tsdb.path={folder}/data',
                        f'--web.listen-address=127.0.0.1:{port}')
    prometheus.wait_for(port)
    return port


@long
@needs_daemon('prometheus')
def test_prometheus_counts_what_the_clients_did(server, daemon, folder):
    """Catches a page that Prometheus does not take, a counter that falls at an upgrade, and a scrape
    that fails meanwhile or is counted as a client."""
    srv = server(*STATUS, copy=True, verbose='')
    port = start_prometheus(daemon, folder, srv)
    eventually(lambda: value(port, 'up{job="forkecho"}') == 1, 'it has asked')
    with start_load(srv) as load:
        for _ in range(2):
            upgrade(srv)
        connections = counted(load)
    assert_told(wait_for(srv, live_children=0), connections)
    eventually(lambda: value(port, 'forkecho_connections_ended_total{how="eof"}') == connections and
               value(port, 'forkecho_upgrades_total') == 2, 'it has asked since')
    # On a busy machine a scrape may need more than its second, and tells nothing then.
    assert value(port, 'last_over_time(forkecho_bytes_total{direction="out"}[1h])') == \
        MESSAGE * connections
    failed = 'up{job="forkecho"} == 0 and scrape_duration_seconds < 1'
    assert query(port, f'last_over_time(({failed})[1h:100ms])') == []
    assert value(port, 'resets(forkecho_connections_accepted_total[1h])') == 0
    assert value(port, 'changes(process_start_time_seconds{job="forkecho"}[1h])') == 0
    labels, one = query(port, 'last_over_time(forkecho_build_info[1h])')[0]
    assert one == 1 and labels['model'] == 'forkecho' and labels['libc'] and labels['version']


@needs_daemon('promtool')
def test_promtool_finds_nothing(server):
    """Catches a name, a type or a help that breaks Prometheus's conventions, and rules it rejects."""
    result = promtool('check', 'metrics', input=ask(server(*STATUS))[2])
    assert (result.returncode, result.stdout, result.stderr) == (0, '', '')
    result = promtool('check', 'rules', EXAMPLES / 'rules.yml')
    assert result.returncode == 0 and 'SUCCESS' in result.stdout and not result.stderr, result
    result = promtool('check', 'config', EXAMPLES / 'prometheus.yml')
    assert result.returncode == 0, result


def test_the_examples_name_what_there_is(server):
    """Catches an alert that never fires, and a panel that stays empty, for a name that has changed."""
    known = {re.sub(r'\{.*', '', name) for name in numbers(server(*STATUS))}
    json.loads((EXAMPLES / 'dashboard.json').read_text())
    for name in ('rules.yml', 'dashboard.json'):
        used = set(re.findall(r'\b(?:forkecho|process)_\w+', (EXAMPLES / name).read_text()))
        assert used and used <= known, (name, used - known)
