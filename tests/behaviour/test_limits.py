"""-c, -C, -t and -T: how many clients there may be, and for how long."""
import contextlib
import os
import re
import select
import signal
import threading
import time
from pathlib import Path

import pytest

import sockets
from harness import (DEADLINE, Client, NamespacedServer, children, concurrent, eventually, forks_only,
                     in_time, long, needs_ipv6, needs_root, new_user, only_for, parent_accepts,
                     with_limit, with_processes)


@concurrent
def test_clients_over_the_cap_are_deferred_and_then_served(server):
    """Catches a cap that loses clients, one that is only the backlog, and one that leaks a slot."""
    srv = server('-c', '2')
    first, second = srv.connect(), srv.connect()
    assert first.echo(b'1') + second.echo(b'2') == b'12'
    third, fourth = srv.connect(), srv.connect()  # the kernel completes these
    third.sendall(b'3')
    fourth.sendall(b'4')
    for _ in range(20):
        assert first.echo(b'go on') == b'go on'
    status = srv.status()
    assert (status['live'], status['accepted']) == ('2', '2')
    first.close()
    assert third.receive(1) == b'3'
    second.close()
    assert fourth.receive(1) == b'4'
    status = srv.status()
    assert (status['peak'], status['accepted'], status['refused']) == ('2', '4', '0')
    if srv.name != 'preforkecho':  # whose parent does not see them
        assert status['deferred'] == '2'


def test_at_the_cap_no_listener_starves_another(server):
    """Catches a gate that opens for one client at a time, always to those of the first listener."""
    srv = server('-c', '1', listen=['127.0.0.1:0', '127.0.0.1:0'])
    first, second = srv.addresses
    holder = srv.connect(first)
    assert holder.echo(b'x') == b'x'
    waiting = {srv.connect(address): name for name, address in
               [('a', first), ('b', first), ('c', first), ('other', second)]}
    for client in waiting:
        client.sendall(b'x')
    served = []
    holder.close()
    while waiting:
        ready, _, _ = select.select(list(waiting), [], [], DEADLINE)
        assert len(ready) == 1
        served.append(waiting.pop(ready[0]))
        assert ready[0].receive(1) == b'x'
        ready[0].close()
    assert served.index('other') < 2


def test_a_cap_of_one_serves_in_turn(server):
    """Catches a slot that is not given back: twenty clients pass through a single one."""
    srv = server('-c', '1')
    clients = [srv.connect() for _ in range(20)]
    for client in clients:
        client.sendall(b'x')
    for client in clients:
        assert client.receive(1) == b'x'
        client.close()
    srv.wait_lines('^end ', 20)
    status = srv.status()
    assert (status['peak'], status['accepted'], status['ended']) == ('1', '20', '20')


@concurrent
def test_one_client_too_many_of_a_source_is_refused(server):
    """Catches a limit for each source that counts wrongly, or counts all sources as one."""
    srv = server('-C', '1')
    first = srv.connect(source='127.0.0.1')
    assert first.echo(b'1') == b'1'
    second = srv.connect(source='127.0.0.1')
    assert second.receive_all() == b''
    refused = srv.wait_line('^refuse ')
    assert (refused['from'], refused['why']) == (second.address, 'max-per-source')
    assert srv.connect(source='127.0.0.2').echo(b'other') == b'other'
    name = first.address
    first.close()
    srv.end_of(name)
    assert srv.connect(source='127.0.0.1').echo(b'again') == b'again'
    status = srv.status()
    assert (status['accepted'], status['refused']) == ('4', '1')


@concurrent
@parent_accepts
def test_one_too_many_of_a_source_is_served_when_another_ends(server):
    """Catches a client that is refused for the one before it, which is about to end: its own client
    has closed, and been faster than the server."""
    def is_served():
        srv = server('-C', '1')
        first = srv.connect()
        assert first.echo(b'1') == b'1'
        second = srv.connect()
        second.sendall(b'2')
        eventually(lambda: sockets.tcp_socket(srv.address).queue == 0, 'it is accepted')
        first.close()
        with contextlib.suppress(ConnectionError):
            return second.receive(1) == b'2'

    assert any(is_served() for _ in range(20))  # in the tenth of a second that it waits


def test_who_comes_again_at_once_is_not_one_too_many(server):
    """Catches a source whose connection is over for the client and still counted for the server."""
    def is_never_refused(count):
        srv = server('-C', '1')
        for _ in range(count):
            with srv.connect() as client, contextlib.suppress(ConnectionError):
                client.echo(b'x')
                client.half_close()
                client.receive_all()
        return srv.status()['refused'] == '0'

    # On a busy machine a child may need longer for its end than the server waits for that.
    assert in_time(is_never_refused, 300, 300, 100, 100, 100)


@concurrent
@needs_ipv6
def test_an_ipv6_source_is_counted(server):
    """Catches a table of sources that knows IPv4 only."""
    srv = server('-C', '1', listen=['[::1]:0', '127.0.0.1:0'])
    assert srv.connect().echo(b'1') == b'1'
    assert srv.connect().receive_all() == b''
    assert srv.connect(srv.addresses[1]).echo(b'other') == b'other'


@concurrent
def test_unix_clients_of_a_user_are_one_source(server, folder):
    """Catches Unix clients that pass every limit because they have no address, or one user whose
    clients keep out those of all others (systemd/systemd#31242)."""
    srv = server('-C', '2', listen=[folder / 's'])
    first, second = srv.connect(), srv.connect()
    assert first.echo(b'1') + second.echo(b'2') == b'12'
    assert srv.connect().receive_all() == b''
    assert srv.wait_line('^refuse ')['from'] == 'local'
    if os.geteuid() == 0:
        os.chmod(srv.address, 0o666)
        os.seteuid(65534)
        try:
            other = srv.connect()
        finally:
            os.seteuid(0)
        assert other.echo(b'3') == b'3'


@with_limit(0.3, 3, 30)
def test_an_idle_client_is_ended(server, limit):
    """Catches a client that stays for ever and says nothing."""
    srv = server('-t', f'{limit}s')
    start = time.monotonic()
    client = srv.connect()
    assert client.echo(b'hello') == b'hello'
    assert client.receive_all() == b''
    assert time.monotonic() - start >= limit
    end = srv.end_of(client)
    assert (end['how'], end['in'], end['out']) == ('idle', '5', '5')


@concurrent
def test_a_byte_starts_the_idle_time_anew(server):
    """Catches an idle limit that is a lifetime."""
    def outlives(limit):
        srv = server('-t', f'{limit}s')
        client = srv.connect()
        with contextlib.suppress(ConnectionError):
            for _ in range(2):
                idle = srv.connect()  # when it is ended, as much time is over
                while not select.select([idle], [], [], limit / 5)[0]:
                    client.echo(b'.')
                assert idle.receive_all() == b''
            client.half_close()
            client.receive_all()
        return srv.end_of(client)['how'] == 'eof'

    assert in_time(outlives, 0.5, 2, 8)


@pytest.mark.parametrize('lifetime', [lambda limit: [], lambda limit: ['-T', f'{limit * 1.9}s']],
                         ids=['idle', 'idle before lifetime'])
def test_a_client_that_never_reads_is_ended(server, lifetime):
    """Catches an idle limit that only reading obeys, so that the server waits in a write for ever;
    one that begins anew for a write that had written something before it waited; and one that is
    over too early, or that a lifetime has taken over."""
    def ends_in_time(limit):
        srv = server('-t', f'{limit}s', *lifetime(limit))
        begun = time.monotonic()
        client = srv.connect(receive_buffer=4096)
        client.fill()
        full = time.monotonic()
        end = srv.end_of(client)
        assert time.monotonic() - begun >= limit
        return end['how'] == 'idle' and time.monotonic() - full < limit * 1.6

    assert in_time(ends_in_time, 0.5, 1, 4, 12)


def test_a_client_that_reads_now_and_then_is_not_idle(server):
    """Catches waits that are added up although the client reads in between."""
    def lives(limit):
        srv = server('-t', f'{limit}s')
        client = srv.connect(receive_buffer=4096)
        name = client.address
        sent, read = len(client.fill()), 0
        with contextlib.suppress(OSError):  # it has lost its patience
            for _ in range(4):
                time.sleep(limit * 0.4)
                read += len(client.receive((sent - read) // 3))  # as much as wakes a writer
                sent += len(client.fill())
            client.half_close()
            read += len(client.receive_all())
        return (srv.end_of(name)['how'], read) == ('eof', sent)

    assert in_time(lives, 0.5, 2, 8)


@pytest.mark.parametrize('busy', [False, True], ids=['silent', 'busy'])
@with_limit(0.5, 2, 8)
def test_a_lifetime_ends_every_client(server, busy, limit):
    """Catches a client that stays for ever by one byte now and then (libevent#593)."""
    srv = server('-T', f'{limit}s', '-t', '1h')
    start = time.monotonic()
    client = srv.connect()
    try:
        while busy and client.echo(b'busy' * 100):
            pass
        client.receive_all()
    except (BrokenPipeError, ConnectionResetError):
        pass  # what it sends behind the server's close is answered so
    assert limit <= time.monotonic() - start < 5 * limit
    assert srv.end_of(client)['how'] == 'lifetime'


def test_a_lifetime_ends_a_client_that_never_reads(server):
    """Catches a lifetime that is asked for only between two writes."""
    srv = server('-T', '500ms', '-t', '0')
    client = srv.connect(receive_buffer=4096)
    client.fill()
    assert srv.end_of(client)['how'] == 'lifetime'


# What LIMITS says that a connection may occupy in the kernel on the server's side.
CONNECTION_MEMORY = 1000 * 1024


def test_a_client_that_never_reads_costs_a_bounded_memory(server):
    """Catches buffers that the kernel lets grow for a client that sends and does not read, to 6.6 MB
    on the server's side alone, of which 1024 clients are more than most machines have. They grow
    while the client still reads: the server then has to be faster than the network."""
    srv = server('-t', '0')
    client = srv.connect()
    block = bytes(1 << 20)
    for _ in range(32):
        sender = threading.Thread(target=client.sendall, args=(block,))
        sender.start()
        assert client.receive(len(block)) == block
        sender.join()
    client.fill()
    assert 100 * 1024 < client.server_end().memory <= CONNECTION_MEMORY


# More than the client's kernel takes of it, and less than the server's does.
OWED = 100_000


def expect_freed(srv, client):
    name = client.address
    assert srv.end_of(name)['how'] in ('idle', 'lifetime')
    eventually(lambda: sockets.tcp_socket(srv.address, name) is None, 'the memory is free')


def test_a_flood_that_is_ended_leaves_no_memory_behind(server):
    """Catches what is owed to a client that never reads, and stays with the kernel for minutes after
    its time is over, in a socket of no process, which no limit counts."""
    srv = server('-t', '500ms')
    client = srv.connect(receive_buffer=4096)
    client.fill()
    expect_freed(srv, client)


@long
@only_for('forkecho', 'epollecho')
@with_limit(0.5, 5, 30)
def test_what_nobody_reads_is_given_up_soon(server, limit):
    """Catches the same where the server owes nothing any more, as all of it is in the kernel's
    buffers, and where the client might be about to read: after its idle time, after its lifetime,
    and after the lifetime of a flood. Ten seconds are waited for each, and so for all at once."""
    waiting = []
    for option, fills in ('-t', False), ('-T', False), ('-T', True):
        srv = server('-t', '0', option, f'{limit}s')
        client = srv.connect(receive_buffer=4096)
        if fills:
            client.fill()
        else:
            client.sendall(bytes(OWED))
        waiting.append((srv, client))
    for srv, client in waiting:
        expect_freed(srv, client)


@with_limit(0.5, 5, 30)
def test_a_client_that_reads_late_gets_what_it_is_owed(server, limit):
    """Catches a connection that is reset at the end of its time though its client, slower than the
    server, has only begun to read what was echoed."""
    srv = server('-t', f'{limit}s')
    client = srv.connect(receive_buffer=4096)
    client.sendall(bytes(OWED))
    assert srv.end_of(client)['how'] == 'idle'
    assert client.receive_all() == bytes(OWED)


def test_an_idle_time_of_zero_is_none(server):
    """Catches 0 taken for "at once" rather than for "never"."""
    srv = server('-t', '0', '-T', '700ms')
    client = srv.connect()
    assert client.receive_all() == b''
    assert srv.end_of(client)['how'] == 'lifetime'


def test_a_lifetime_of_zero_is_none(server):
    """Catches 0 taken for "at once" rather than for "never"."""
    srv = server('-T', '0', '-t', '300ms')
    client = srv.connect()
    assert client.receive_all() == b''
    assert srv.end_of(client)['how'] == 'idle'


@concurrent
def test_caps_hold_under_a_crowd(server):
    """Catches counts that drift when clients come and go at once."""
    srv = server('-c', '5')

    def visit():
        for _ in range(10):
            with Client(srv.address) as client:
                assert client.echo(b'hello') == b'hello'

    crowd = [threading.Thread(target=visit) for _ in range(20)]
    for each in crowd:
        each.start()
    for each in crowd:
        each.join()
    srv.wait_lines('^end ', 200)
    status = srv.status()
    assert (status['live'], status['ended'], status['zombies']) == ('0', '200', '0')
    assert status.number('peak') <= 5


def pids_groups():
    """Where a control group of its own can be made that bounds processes: version 1, version 2."""
    first, second = '/sys/fs/cgroup/pids', '/sys/fs/cgroup'
    if os.access(f'{first}/cgroup.procs', os.W_OK):
        return first
    with contextlib.suppress(OSError), open(f'{second}/cgroup.subtree_control') as given:
        if 'pids' in given.read().split() and os.access(f'{second}/cgroup.procs', os.W_OK):
            return second
    return None


@pytest.fixture
def few_processes():
    """A function that moves its caller into a group for 100 processes, within one for 12."""
    outer = Path(pids_groups(), f'forkecho-test-{os.getpid()}')
    inner = outer / 'inner'
    outer.mkdir()
    (outer / 'pids.max').write_text('12')
    if (outer / 'cgroup.subtree_control').exists():  # version 2
        (outer / 'cgroup.subtree_control').write_text('+pids')
    inner.mkdir()
    (inner / 'pids.max').write_text('100')
    yield lambda: (inner / 'cgroup.procs').write_text(str(os.getpid()))
    eventually(lambda: not (inner / 'cgroup.procs').read_text(), 'nobody is left there')
    inner.rmdir()
    outer.rmdir()


@forks_only
@pytest.mark.skipif(pids_groups() is None, reason='needs root, and a control group for processes')
def test_the_limit_that_holds_is_named_where_ever_it_stands(few_processes, server):
    """Catches a limit of a control group that is overlooked, and others named in its place: of
    version 1 (GuillaumeGomez/sysinfo#1651), or of a group further up, which is the lower one
    (JDK-8322420)."""
    srv = server(before=few_processes)
    clients = [srv.connect() for _ in range(15)]
    error = srv.wait_line('^forkecho: fork failed').line
    assert 'limits: pids.max 12 (TasksMax=), ' in error
    for each in clients:
        each.close()
    srv.wait_lines('^end ', 15)
    srv.finish()


# ---- who is ended when memory runs out -----------------------------------------------------------

def score(pid):
    return int(Path(f'/proc/{pid}/oom_score_adj').read_text())


def as_root():
    return {}


def as_user():
    return {'as_user': new_user()}


def not_readable():
    """As an ordinary user who may only execute the program: so it is installed."""
    become = ['setpriv', f'--reuid={new_user()}', '--clear-groups']
    return {'copy': True, 'wrap': ['sh', '-c', 'chmod 711 "$4" && exec "$@"', 'sh', *become]}


@with_processes
@needs_root
@pytest.mark.skipif(score('self') == 1000, reason='no process can be a better victim than this one')
@pytest.mark.parametrize('start', [as_root, as_user, not_readable])
def test_a_child_is_a_better_victim_than_its_parent(server, start):
    """Catches a parent, the largest process of them, that the kernel kills when memory runs out, with
    all children as good as it is (cloudnative-pg/cloudnative-pg#7891): whoever opened enough
    connections ended the service. And one that has lost its rank in an upgrade."""
    srv, own = server(**start()), score('self')
    clients = [srv.connect()]
    assert clients[0].echo(b'x') == b'x'
    assert min(score(each.pid) for each in children(srv.pid)) > own
    eventually(lambda: score(srv.pid) == own, 'the parent forks no more, and has its own value')
    if srv.name == 'forkecho':
        srv.send_signal(signal.SIGHUP)
        srv.wait_line('^takeover ')
        clients.append(srv.connect())
        assert clients[1].echo(b'x') == b'x'
        assert score(srv.accepted(clients[1])['pid']) > score(srv.pid) == own


@needs_root
@forks_only
@pytest.mark.parametrize('v1, v2', [
    pytest.param("$(sed -n 's/.*:memory://p' /proc/self/cgroup)",
                 "$(sed -n 's/^0:://p' /proc/self/cgroup)", id='machine'),
    pytest.param('', '$(grep -q :memory: /proc/self/cgroup && echo /none)', id='container')])
def test_clients_wait_once_the_kernel_has_ended_a_child_for_memory(server, folder, v1, v2):
    """Catches a server that goes on starting children where memory has run out, so that each client
    that comes ends another, and after a thousand of them the service; in a container, too, which
    may see its own group at the top, and be told its path on the machine. A child that somebody
    else has killed is no such sign. What the kernel counts (oom_kill) is ours to write here."""
    counts = folder / 'counts'
    counts.write_text('under_oom 0\noom_kill 7\n')
    srv = server(kind=NamespacedServer, prepare=f"""
        mount -t tmpfs none /sys/fs/cgroup
        group=/sys/fs/cgroup/memory{v1}
        mkdir -p "$group" && ln -s {counts} "$group/memory.oom_control"
        group=/sys/fs/cgroup{v2}
        mkdir -p "$group" && ln -s {counts} "$group/memory.events.local" """)

    def lose_a_child():
        client = srv.connect()
        assert client.echo(b'x') == b'x'
        os.kill(children(srv.pid)[-1].pid, signal.SIGKILL)
        assert srv.end_of(client)['how'] == 'signal-9'

    lose_a_child()
    assert srv.connect().echo(b'y') == b'y'
    assert not srv.find('^forkecho: a child failed')
    counts.write_text('under_oom 0\noom_kill 8\n')
    lose_a_child()
    srv.wait_line('^forkecho: a child failed: .* memory; clients wait')
    assert srv.connect().echo(b'z') == b'z'
    srv.wait_line('^resume failures=1 ')


@pytest.fixture(params=[1, 2], ids=['v1', 'v2'])
def memory_files(folder, request):
    """What the kernel tells of a memory control group, ours to write: a function for that, and what
    puts it in the place of the server's own."""
    version = request.param
    if version == 1 and ':memory:' not in Path('/proc/self/cgroup').read_text():
        pytest.skip('there is no version 1 of control groups')
    place, *names = (
        ("/memory$(sed -n 's/.*:memory://p' /proc/self/cgroup)", 'memory.limit_in_bytes',
         'memory.usage_in_bytes') if version == 1 else
        ("$(sed -n 's/^0:://p' /proc/self/cgroup)", 'memory.max', 'memory.current'))

    def write(limit, used, file):
        for name, text in zip((*names, 'memory.stat'), (limit, used, f'\ninactive_file {file}\n')):
            (folder / 'new').write_text(f'{text}\n')
            (folder / 'new').replace(folder / name)

    return write, f"""
        mount -t tmpfs none /sys/fs/cgroup
        group=/sys/fs/cgroup{place}
        mkdir -p "$group" && ln -s {folder}/memory.* "$group" """


@needs_root
@forks_only
def test_clients_wait_before_the_kernel_has_to_end_a_child_for_memory(memory_files, server):
    """Catches a server that forks until its control group is full: short connections by the thousand
    are enough, as the kernel frees memory late, and with few children there at the time it is the
    parent that is ended. Files that the kernel keeps in memory are no sign of that."""
    write, prepare = memory_files
    limit, used = 100 << 20, 98 << 20

    def serve(count):
        for _ in range(count):
            with Client(srv.address) as client:
                assert client.echo(b'x') == b'x'

    write(limit, used, file=2 << 20)
    srv = server(kind=NamespacedServer, prepare=prepare)
    serve(20)
    assert not srv.find('^forkecho: ')
    write(limit, used, file=(2 << 20) - 1)
    serve(3)
    srv.wait_line('^forkecho: the next client failed: .* memory; clients wait')
    write('max', used, file=0)
    assert srv.wait_line('^resume ').number('failures') >= 2
    serve(20)
    assert len(srv.find('^forkecho: ')) == 1


# Before, it is one for the whole machine, and a test must not lower that.
own_pid_max = pytest.mark.skipif(
    [int(part) for part in re.findall(r'\d+', os.uname().release)[:2]] < [6, 14],
    reason='a pid namespace has no pid_max of its own before Linux 6.14')


@needs_root
@own_pid_max
@forks_only
def test_the_end_of_process_ids_is_said_and_waited_out(server):
    """Catches a server that drops clients when no process id is left, does not say what ended, or
    does not use the ids that come free. What RLIMIT_NPROC and descriptors do is in
    tests/behaviour/test_faults.py."""
    srv = server('-c', '1000', kind=NamespacedServer,
                 prepare='echo 400 >/proc/sys/kernel/pid_max')
    clients = [srv.connect() for _ in range(420)]
    for each in clients:
        each.sendall(b'1')
    error = srv.wait_line('^forkecho: fork failed').line
    assert 'Resource temporarily unavailable; limits: kernel.pid_max 400' in error
    count = len(srv.find('^accept '))
    assert count > 300
    assert all(each.receive(1) == b'1' and each.echo(b'2') == b'2' for each in clients[:count])
    clients[count - 1].close()  # the ids to 299 the kernel does not give out a second time
    assert clients[count].receive(1) == b'1'
