"""What ps(1) shows, and what the status line says about time and about why clients waited."""
import os
from pathlib import Path

import pytest

from harness import (AS_OURSELVES, concurrent, eventually, needs_ipv6, parent_accepts,
                     use_up_descriptors, with_processes)


def title(pid):
    """What ps shows: /proc/PID/cmdline, of which an old kernel leaves the arguments as they are."""
    return Path(f'/proc/{pid}/cmdline').read_bytes().rstrip(b'\0').decode()


def has_titles():
    """CONFIG_CHECKPOINT_RESTORE, which brings /proc/PID/children, brings titles as well."""
    return Path('/proc/self/task').joinpath(str(os.getpid()), 'children').exists()


needs_titles = pytest.mark.skipif(not has_titles(), reason='this kernel knows no titles')


def shows(pid, text):
    eventually(lambda: title(pid) == text, f'"{text}" instead of "{title(pid)}"')


@concurrent
@needs_titles
@needs_ipv6
def test_the_parent_tells_how_many_are_live(server):
    """Catches a count that is not renewed, in both directions, and the limit of -c left out."""
    srv = server('-c', '3', '-g', '1h', listen=['127.0.0.1:0', '[::1]:0'])
    where = ','.join(srv.addresses)
    shows(srv.pid, f'{srv.name}: 0 live of 3 on {where}')
    clients = [srv.connect() for _ in range(2)]
    for client in clients:
        client.echo(b'x')
    shows(srv.pid, f'{srv.name}: 2 live of 3 on {where}')
    clients[0].close()
    shows(srv.pid, f'{srv.name}: 1 live of 3 on {where}')
    srv.send_signal(15)
    shows(srv.pid, f'{srv.name}: 1 live, stopping')


@needs_titles
@with_processes
def test_a_child_tells_its_client(server, folder):
    """Catches children that all look like their parent, or show an earlier one's client."""
    path = str(folder / 's')
    srv = server(listen=['127.0.0.1:0', path])
    for address in [srv.address, path, srv.address]:
        client = srv.connect(address)
        assert client.echo(b'x') == b'x'
        shows(srv.accepted(client).number('pid'), f'{srv.name}: {client.address}')


@needs_titles
def test_a_long_title_is_cut(server, folder):
    """Catches a title that runs over what it is written into."""
    paths = [str(folder / ('x' * 60 + str(number))) for number in range(8)]
    srv = server(listen=paths)
    assert srv.connect(paths[-1]).echo(b'x') == b'x'
    assert title(srv.pid).startswith(f'{srv.name}: ') and len(title(srv.pid)) < 160


# ---- the status line ---------------------------------------------------------------------

@concurrent
def test_the_status_tells_times(server):
    """Catches an oldest child that is the youngest, and an uptime that begins with the epoch."""
    srv = server()
    first = srv.status()
    assert (first['oldest'], first['source-max']) == ('0.000', '0')
    old = srv.connect()
    old.echo(b'x')
    before = srv.status()
    young = srv.connect()
    young.echo(b'x')
    now = srv.status()
    uptimes = [float(each['uptime']) for each in (first, before, now)]
    assert 0 <= uptimes[0] <= uptimes[1] <= uptimes[2] < 60
    passed = uptimes[2] - uptimes[1]
    assert float(now['oldest']) == pytest.approx(float(before['oldest']) + passed, abs=0.002)
    old.close()
    srv.wait_line('^end ')
    assert float(srv.status()['oldest']) <= float(srv.status()['uptime']) - uptimes[1] + 0.002


@concurrent
def test_the_status_tells_the_busiest_source(server):
    """Catches a count that is of all sources, or never goes down again."""
    srv = server()
    clients = [srv.connect(source=source) for source in ('127.0.0.2', '127.0.0.3', '127.0.0.2')]
    for client in clients:
        client.echo(b'x')
    assert srv.status()['source-max'] == '2'
    clients[0].close()
    srv.wait_line('^end ')
    assert srv.status()['source-max'] == '1'


@parent_accepts
def test_who_waited_for_the_limit(server):
    """Catches waits for -c that are not distinguished from those for a failure."""
    srv = server('-c', '1')
    held = srv.connect()
    held.echo(b'x')
    waiting = srv.connect()
    held.close()
    assert waiting.echo(b'x') == b'x'
    status = srv.status()
    assert (status['deferred'], status['deferred-cap'], status['deferred-failure']) == ('1', '1', '0')


@parent_accepts
def test_who_waited_for_a_failure(server):
    """Catches waits for descriptors that look as if -c were too low."""
    srv = server(*AS_OURSELVES)
    give_back = use_up_descriptors(srv.pid)
    waiting = srv.connect()
    srv.wait_line('accept failed: .*RLIMIT_NOFILE')
    give_back()
    assert waiting.echo(b'x') == b'x'
    status = srv.status()
    assert (status['deferred'], status['deferred-cap'], status['deferred-failure']) == ('1', '0', '1')
