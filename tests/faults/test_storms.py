"""What no single failing call is: short reads and writes, storms of signals, clocks that jump, a
ledger that is full, processes that stop and are killed, and pids that come again.

The fault matrix is in test_matrix.py. What is tested elsewhere is not tested again here: a full
disk under the log, a log that nobody reads, closed standard streams (behaviour/test_faults.py); a
child or a parent that is stopped and goes on, a child that is killed (behaviour/test_reaping.py); a
lie about a client in a record (behaviour/test_proxy.py); torn records (unit/test_ledger.c).
"""
import contextlib
import errno
import os
import random
import signal
import subprocess
import threading
import time
from pathlib import Path

import pytest

from harness import (DEADLINE, Client, NamespacedServer, children, eventually, forks_only,
                     ledger_record, open_ledger, pids_of_children, process, program)
from trials import Faults, cpu


@pytest.fixture
def faulty(server, folder):
    """A function that starts a server behind the shim, whose page it has as `faults`."""
    def start(*options, **settings):
        faults = Faults(folder)
        srv = server(*options, env=faults.environment(), **settings)
        srv.faults = faults
        return srv
    return start


def text_of(size):
    return bytes((place * 31 + place // 256) % 256 for place in range(size))


def all_is_counted(srv, accepted):
    """Every client has ended, was counted once, and has left nothing."""
    eventually(lambda: srv.status()['live'] == '0', 'all have ended')
    status = srv.status()
    assert (status.number('accepted'), status.number('ended')) == (accepted, accepted)
    eventually(lambda: not [each for each in children(srv.pid) if each.state == 'Z'], 'no zombie')


# ---- short reads and writes --------------------------------------------------------------

@pytest.mark.parametrize('options', [[], ['-m', '%m%m'], ['-G', 'hello %a\n']],
                         ids=['echo', 'reply', 'greeting'])
def test_reads_and_writes_of_every_size(faulty, options):
    """Catches a short write taken for a whole one (inetd's echo): each read and write moves at most
    1, 2, 3 ... bytes."""
    srv = faulty(*options)
    message = text_of(200)
    sizes = [*range(1, 41), 63, 64, 65, 99, 127, 128, 129, 199, 200, 201]
    for most in sizes:
        srv.faults.set(most=most)
        client = srv.connect()
        client.sendall(message)
        client.half_close()
        got = client.receive_all()
        if '-G' in options:
            greeting = f'hello {client.address}\n'.encode()
            assert got.startswith(greeting), most
            got = got[len(greeting):]
        if '-m' in options:  # what one read brought is one message
            expected = b''.join(message[at:at + most] * 2 for at in range(0, len(message), most))
        else:
            expected = message
        assert got == expected, most
        client.close()
    srv.faults.set(most=0)
    all_is_counted(srv, len(sizes))


def test_a_large_stream_in_small_parts(faulty):
    """Catches an offset that is lost where the rest of a buffer is written in many parts."""
    srv = faulty()
    srv.faults.set(most=777)
    data = text_of(300_000)
    client = srv.connect()
    sender = threading.Thread(target=lambda: (client.sendall(data), client.half_close()))
    sender.start()
    assert client.receive_all() == data
    sender.join()


# What a call says once the other end, or the way to it, is gone: tcp(7), ip(7), icmp(7).
LOST = 'ECONNRESET ECONNABORTED EPIPE ETIMEDOUT EHOSTUNREACH ENETUNREACH ENETDOWN ENETRESET EACCES ' \
       'EHOSTDOWN ENONET ECONNREFUSED ENOPROTOOPT EOPNOTSUPP EPROTO'.split()


@pytest.mark.parametrize('call', ['READ_CLIENT', 'WRITE_CLIENT'])
def test_a_client_whose_end_is_gone_is_a_reset(faulty, call):
    """Catches a client whose machine or link is gone, as keepalive finds it (ETIMEDOUT), and an end
    that reads as if the server had failed: how=error (strimzi/strimzi-canary#160)."""
    srv = faulty()
    for name in [*LOST, 'EIO']:
        srv.faults.arm(call, getattr(errno, name), 1, 0)
        client = srv.connect()
        client.sendall(b'hello')
        assert srv.end_of(client)['how'] == ('reset' if name in LOST else 'error'), name
        assert srv.faults.failed(call) == 1


# ---- signals -----------------------------------------------------------------------------

CALLS = 60  # more than server and child make for one client


def visit(srv, size=300):
    with Client(srv.address) as client:
        client.sendall(text_of(size))
        client.half_close()
        return client.receive_all() == text_of(size)


@pytest.mark.parametrize('number', [signal.SIGCHLD, signal.SIGUSR1, signal.SIGHUP],
                         ids=['CHLD', 'USR1', 'HUP'])
def test_a_signal_at_every_call(faulty, number):
    """Catches a call that a signal interrupts and nobody repeats, and a wakeup that is lost: the
    signal comes at the first call that is made for a client, at the second, and so on."""
    srv = faulty(copy=True)
    srv.status()
    srv.faults.set(number=number, target=srv.pid)
    for at in range(1, CALLS + 1):
        srv.faults.set(at=at, all=0)
        assert visit(srv), f'call {at}'
    srv.faults.set(at=-1)
    all_is_counted(srv, CALLS)


@pytest.mark.parametrize('number', [signal.SIGTERM, signal.SIGQUIT], ids=['TERM', 'QUIT'])
def test_a_stop_at_every_call(server, folder, number):
    """Catches a stop that is missed, or that cuts a client it should have drained."""
    for at in range(1, 41, 1 if number == signal.SIGTERM else 3):
        place = folder / str(at)
        place.mkdir()
        place.chmod(0o777)
        faults = Faults(place)
        srv = server(env=faults.environment())
        srv.status()
        faults.set(number=number, target=srv.pid, at=at, all=0)
        with contextlib.suppress(OSError):
            client = srv.connect()
            client.sendall(text_of(300))
            client.half_close()
            got = client.receive_all()
            assert text_of(300).startswith(got)
            if number == signal.SIGTERM and srv.find('^accept '):
                assert got == text_of(300), f'call {at}'
        if srv.process.poll() is None and not srv.find('^drain '):
            srv.send_signal(number)  # all was done in fewer calls
        assert srv.wait() == 0


@pytest.mark.parametrize('seed', range(3))
def test_a_storm_of_signals(server, seed, **settings):
    """Catches a count that drifts, or a child that is forgotten, when signals come thick and fast,
    and processes are stopped and go on, while clients come and go."""
    srv = server(copy=True, **settings)
    chance = random.Random(seed)
    over, served = threading.Event(), []

    def crowd():
        while not over.is_set():
            served.append(visit(srv))

    visitors = [threading.Thread(target=crowd) for _ in range(3)]
    for each in visitors:
        each.start()
    try:
        for _ in range(400):
            number = chance.choice([signal.SIGCHLD] * 4 + [signal.SIGUSR1, signal.SIGHUP,
                                                          signal.SIGSTOP, signal.SIGCONT])
            srv.send_signal(number)
            if number == signal.SIGSTOP:
                for child in children(srv.pid):
                    with contextlib.suppress(ProcessLookupError):
                        os.kill(child.pid, chance.choice([signal.SIGSTOP, signal.SIGCONT]))
            over.wait(chance.random() / 500)
    finally:
        srv.send_signal(signal.SIGCONT)
        over.set()
        for child in children(srv.pid):
            with contextlib.suppress(ProcessLookupError):
                os.kill(child.pid, signal.SIGCONT)
        for each in visitors:
            each.join()
    assert served and all(served)
    all_is_counted(srv, len(served))


@forks_only
def test_a_storm_of_signals_and_programs(server):
    """Catches the same where nobody but the kernel says that a child has ended."""
    test_a_storm_of_signals(server, 3, runs=['cat'])


# ---- clocks ------------------------------------------------------------------------------

@pytest.mark.parametrize('jump', [10 ** 8, -10 ** 8], ids=['forward', 'back'])
def test_a_clock_that_jumps_ends_nobody(faulty, jump):
    """Catches a limit that is kept by the clock of the day: a jump of three years would end all
    clients at once, or none for three years (CLOCK_MONOTONIC knows of no jump)."""
    srv = faulty('-t', '1s', '-T', '1500ms', '-g', '1s')
    client = srv.connect()
    assert client.echo(b'before') == b'before'
    srv.faults.set(shift=jump)
    assert client.echo(b'after') == b'after'
    assert client.closed_by_server() == b''
    end = srv.end_of(client)
    assert end['how'] == 'idle' and 0.5 < float(end['secs']) < 1.5 + DEADLINE
    assert float(srv.status()['uptime']) < DEADLINE + 10
    held = srv.connect()
    assert held.echo(b'x') == b'x'
    srv.faults.set(shift=-jump)
    assert srv.stop(signal.SIGTERM) == 0
    assert float(srv.wait_line('^stop ')['secs']) < 2 * DEADLINE


# ---- the ledger --------------------------------------------------------------------------

@forks_only
def test_a_full_ledger(server):
    """Catches a child that waits for ever to write its exit record, and a slot that is lost where
    it could not: the parent is stopped, and its ledger is full."""
    srv = server()
    clients = [srv.connect() for _ in range(5)]
    for client in clients:
        assert client.echo(b'x') == b'x'
    srv.status()
    ledger = open_ledger(srv)
    srv.send_signal(signal.SIGSTOP)
    eventually(lambda: process(srv.pid).state == 'T', 'the parent is stopped')
    os.set_blocking(ledger, False)
    with contextlib.suppress(BlockingIOError):
        while True:
            os.write(ledger, ledger_record(1 << 40))
    for client in clients:
        client.close()
    eventually(lambda: {each.state for each in children(srv.pid)} == {'Z'}, 'all have given up')
    srv.send_signal(signal.SIGCONT)
    os.close(ledger)
    ends = srv.wait_lines('^end ', 5)
    assert {(end['how'], end['in']) for end in ends} == {('eof', '-')}
    all_is_counted(srv, 5)


@forks_only
def test_a_storm_of_forged_records(server):
    """Catches a slot that another's record frees, or that none can free any more: a compromised
    child writes exit records for pids that there are not, for other children, twice for itself,
    writes torn records, and floods the ledger."""
    srv = server()
    chance = random.Random(1)
    held = [srv.connect() for _ in range(5)]
    for client in held:
        assert client.echo(b'x') == b'x'
    pids = [srv.accepted(client).number('pid') for client in held]
    ledger = open_ledger(srv)
    visits = 0
    for number in range(200):
        pid = chance.choice([*pids, 1, srv.pid, -1, 1 << 40, 0])
        record = ledger_record(pid, ending=chance.randrange(-3, 9), problem=chance.randrange(99))
        cut = chance.choice([len(record), len(record), chance.randrange(len(record))])
        os.write(ledger, record[:cut] if number % 50 else b'?' * 60000)
        if number % 10 == 0:
            assert visit(srv)
            visits += 1
    assert srv.status().number('live') >= 5, 'who still runs is live'
    os.close(ledger)
    for client in held:
        assert client.echo(b'still') == b'still'
        client.close()
    all_is_counted(srv, 5 + visits)
    assert len({end['pid'] for end in srv.find('^end ') if int(end['pid']) in pids}) == 5


# ---- pids that come again ----------------------------------------------------------------

def inside(srv, command):
    """Runs a command of the shell in the server's pid namespace."""
    subprocess.run(['nsenter', '-t', str(srv.pid), '-p', '-m', 'sh', '-c', command], check=True,
                   timeout=DEADLINE, capture_output=True)


def can_choose_pids():
    return os.geteuid() == 0 and os.path.exists('/proc/sys/kernel/ns_last_pid')


@forks_only
@pytest.mark.skipif(not can_choose_pids(), reason='needs root, and CONFIG_CHECKPOINT_RESTORE')
@pytest.mark.parametrize('runs, how', [([], 'how'), (['cat'], 'exit')], ids=['echo', 'program'])
def test_a_pid_comes_again_at_once(server, runs, how):
    """Catches what is kept about a pid when its process has gone: the next child with that pid
    would be reaped for it, or taken to have written its exit record. Every second one dies without
    one."""
    srv = server(kind=NamespacedServer, runs=runs)
    ends = 0
    for number in range(20):
        inside(srv, 'echo 500 >/proc/sys/kernel/ns_last_pid')
        client = srv.connect()
        assert client.echo(b'x') == b'x'
        assert srv.accepted(client)['pid'] == '501'
        name = client.address
        if number % 2:
            child, = children(srv.pid)
            os.kill(child.pid, signal.SIGKILL)
            assert srv.end_of(name)[how] == 'signal-9'
        client.close()
        assert srv.end_of(name)['pid'] == '501'
        ends += 1
        assert srv.status()['live'] == '0'
    assert not srv.find('ignored')
    all_is_counted(srv, ends)


def pid_max_is_the_namespaces():
    """Since Linux 6.14; before, to lower it would be felt by the whole machine."""
    release = tuple(int(part) for part in os.uname().release.split('.')[:2])
    return os.geteuid() == 0 and release >= (6, 14)


@forks_only
@pytest.mark.skipif(not pid_max_is_the_namespaces(), reason='needs root, and Linux 6.14')
def test_few_pids(server):
    """Catches the same in a crowd: there are hardly more pids than clients, so that they come
    round many times, and sometimes there is none left."""
    srv = server(kind=NamespacedServer)
    inside(srv, 'echo 320 >/proc/sys/kernel/pid_max')
    held = []
    for _ in range(30):
        held.append(srv.connect())
        held[-1].sendall(b'x')
    for _ in range(1000):
        client = held.pop(0)
        assert client.receive(1) == b'x'
        client.close()
        held.append(srv.connect())
        held[-1].sendall(b'x')
    for client in held:
        assert client.receive(1) == b'x'
        client.close()
    all_is_counted(srv, 1030)
    pids = [event['pid'] for event in srv.find('^accept ')]
    assert len(set(pids)) < 330 < len(pids)


# ---- what is killed ----------------------------------------------------------------------

@forks_only
@pytest.mark.parametrize('runs', [[], ['cat']], ids=['echo', 'program'])
def test_a_crowd_that_is_killed_at_random(server, runs):
    """Catches a drift where children are killed in the middle of anything, as the kernel does
    when memory runs out (SIGKILL): no client's byte is wrong, and all slots come back."""
    srv = server(runs=runs)
    chance = random.Random(2)
    over, outcomes = threading.Event(), []

    def crowd():
        while not over.is_set():
            got = b''
            with Client(srv.address) as client, contextlib.suppress(OSError):
                client.sendall(text_of(3000))
                client.half_close()
                got = client.receive_all()
            outcomes.append(text_of(3000).startswith(got))

    visitors = [threading.Thread(target=crowd) for _ in range(3)]
    for each in visitors:
        each.start()
    killed = 0
    try:
        end = time.monotonic() + DEADLINE
        while killed < 50 and time.monotonic() < end:
            for pid in pids_of_children(srv.pid):
                if chance.random() < 0.5:
                    with contextlib.suppress(ProcessLookupError):
                        os.kill(pid, signal.SIGKILL)
                        killed += 1
    finally:
        over.set()
        for each in visitors:
            each.join()
    assert killed >= 50 and all(outcomes)
    all_is_counted(srv, len(outcomes))
    assert cpu(srv.pid) < DEADLINE


def memory_groups():
    """Where a control group of its own can be made, and what bounds the memory there; None."""
    first, second = '/sys/fs/cgroup/memory', '/sys/fs/cgroup'
    if os.access(f'{first}/cgroup.procs', os.W_OK):
        return first, 'memory.limit_in_bytes'
    with contextlib.suppress(OSError), open(f'{second}/cgroup.subtree_control') as given:
        if 'memory' in given.read().split() and os.access(f'{second}/cgroup.procs', os.W_OK):
            return second, 'memory.max'
    return None


def write(path, value):
    with open(path, 'w') as file:
        file.write(str(value))


@pytest.fixture
def little_memory():
    """A function that moves a process to where there are 32 MiB for all that are there, and a file
    that can take them all without being anybody's memory."""
    top, limit = memory_groups()
    group, file = f'{top}/forkecho-test-{os.getpid()}', f'/dev/shm/forkecho-test-{os.getpid()}'
    os.mkdir(group)
    write(f'{group}/{limit}', 32 << 20)
    yield lambda pid: write(f'{group}/cgroup.procs', pid), file
    Path(file).unlink(missing_ok=True)
    eventually(lambda: not Path(group, 'cgroup.procs').read_text(), 'nobody is left there')
    os.rmdir(group)


@forks_only
@pytest.mark.skipif(memory_groups() is None, reason='needs root, and a memory control group')
@pytest.mark.parametrize('before', [False, True], ids=['flood', 'short-first'])
def test_a_flood_into_little_memory_waits(little_memory, server, before):
    """Catches a parent that the kernel ends for want of memory, with which the service ends, where
    clients could wait (UKGovernmentBEIS/inspect_ai#3448); also after short connections, as then
    the kernel has memory to free, and the score of the next child may be the highest again."""
    move, _ = little_memory
    srv = server('-c', '4000', before=lambda: move(os.getpid()))
    if before:
        subprocess.run([program('echoload'), 'connect', '-c', '8', '-d', '500ms', srv.address],
                       stdout=subprocess.DEVNULL, check=False)
    with subprocess.Popen([program('echoload'), 'hold', '-c', '800', '-d', '1s', srv.address],
                          stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as flood:
        eventually(lambda: srv.status().number('live') > 50, 'clients come in')
        srv.wait_line(f'^{srv.name}: the next client failed: .* memory; clients wait')
        flood.kill()  # they wait as long as memory is short: for ever
    assert srv.connect().echo(b'x') == b'x'


@forks_only
@pytest.mark.skipif(memory_groups() is None, reason='needs root, and a memory control group')
def test_children_that_are_killed_for_memory(little_memory, server):
    """Catches a client whose child the kernel ends for want of memory, and whose connection stays
    open, or counts for ever. Children have the highest score (proc(5)), so that they go first."""
    move, file = little_memory
    srv = server()
    clients = [srv.connect() for _ in range(5)]
    for client in clients:
        assert client.echo(b'x') == b'x'
    for child in children(srv.pid):
        move(child.pid)
        write(f'/proc/{child.pid}/oom_score_adj', 1000)
    hog = subprocess.run(['dd', 'if=/dev/zero', f'of={file}', 'bs=1M', 'count=64'], check=False,
                         stderr=subprocess.DEVNULL, preexec_fn=lambda: move(os.getpid()))
    assert hog.returncode == -signal.SIGKILL
    for client in clients:
        assert srv.end_of(client.address)['how'] == 'signal-9'
        assert client.receive_all() == b''
    assert srv.connect().echo(b'y') == b'y'
    assert srv.status()['live'] == '1'
