"""forkecho under OpenRC, runit, s6 and sysvinit, with the files of examples/ as they are."""
import contextlib
import os
import re
import signal
import socket
import threading
import time

from harness import eventually, in_time

HERE = '127.0.0.1:7'


def visit(machine):
    with machine.connect(HERE) as client:
        assert client.echo(b'hello') == b'hello'


def refuses(machine):
    with contextlib.suppress(ConnectionError), machine.connect(HERE):
        return False
    return True


@contextlib.contextmanager
def typed(machine, words):
    """Types it meanwhile; the status is in what this returns."""
    status = []
    typist = threading.Thread(target=lambda: status.append(machine.types(words)))
    typist.start()
    yield status
    typist.join()


def test_a_boot_starts_it(container):
    """Catches a file that the init does not take, or that its boot does not start."""
    assert container.types(container.status) == container.running
    visit(container)


def test_a_start_returns_when_it_serves(machine):
    """Catches a start after which the first client is refused."""
    for _ in range(5):
        assert machine.types(machine.stop) == 0
        assert machine.types(machine.status) == machine.stopped
        assert machine.types(f'{machine.start} && echoclient {HERE} hello | grep hello') == 0


def test_a_start_that_fails_is_none(machine):
    """Catches an error that is taken for readiness."""
    assert machine.types(machine.stop) == 0
    with machine.network():
        taken = socket.create_server(('127.0.0.1', 7))
    with taken:
        assert machine.types(machine.start) != 0
    # No stop in between: runsv, which pauses after a quick end, forgets a start that follows it.
    eventually(lambda: machine.types(machine.start) == 0, 'it starts once it can')


def test_a_reload_replaces_the_program_and_no_process(machine):
    """Catches a reload that restarts, or that does not find the server once its file was replaced."""
    [pid] = machine.servers()
    with machine.connect(HERE) as client:
        assert client.echo(b'x') == b'x'
        before = os.stat(f'/proc/{pid}/exe').st_ino
        machine.run('sh', '-c', 'cd /usr/local/sbin && cp forkecho new && mv new forkecho')
        assert machine.types(machine.status) == machine.running
        assert machine.types(machine.reload) == 0
        eventually(lambda: os.stat(f'/proc/{pid}/exe').st_ino != before, 'the program on disk runs')
        visit(machine)
        assert client.echo(b'y') == b'y'
        assert machine.types(machine.status) == machine.running
    eventually(lambda: machine.servers() == [pid], 'the clients have gone')


def test_a_stop_lasts_as_long_as_its_drain(machine):
    """Catches an init that loses its patience: clients are killed, or the stop has failed."""
    def drains(seconds):
        assert machine.types(machine.start) == 0
        with machine.connect(HERE) as client:
            echoed = client.echo(b'still here')
            with typed(machine, machine.stop) as stopped:
                eventually(lambda: refuses(machine), 'the drain has begun')
                end = time.monotonic() + seconds
                with contextlib.suppress(ConnectionError):
                    while echoed and time.monotonic() < end:
                        echoed = client.echo(b'still here')
                    client.half_close()
                    client.receive_all()
        return echoed == b'still here' and stopped == [0]

    # On a busy machine the grace may be over before the half-close is read.
    assert in_time(drains, *3 * [machine.patience + 1])
    assert machine.types(machine.status) == machine.stopped
    assert machine.servers() == []


def test_the_log_is_kept(machine):
    """Catches a log that goes nowhere, or has no time."""
    before = len(machine.lines())
    assert machine.types(machine.stop) == 0 == machine.types(machine.start)
    for verb in ('start', 'drain', 'stop'):
        eventually(lambda: [line for line in machine.lines()[before:]
                            if re.search(rf'\d\d:\d\d:\d\d.*\b{verb} \w+=', line)], f'{verb} is logged')


def test_a_crash_is_told_or_mended(machine):
    """Catches a server that has died and is called running, or cannot be started again."""
    [pid] = machine.servers()
    os.kill(pid, signal.SIGKILL)
    if machine.crashed is None:
        eventually(lambda: machine.servers() not in ([], [pid]), 'there is another')
        assert machine.types(machine.start) == 0
    else:
        eventually(lambda: machine.types(machine.status) == machine.crashed, 'the status tells')
        assert machine.types(machine.stop) == 0 == machine.types(machine.start)
    visit(machine)


# The last one: there is no machine after it.
def test_a_machine_that_halts_drains(machine):
    """Catches a server whose clients are cut since the init asks for no stop, or does not wait."""
    with machine.connect(HERE) as client:
        assert client.echo(b'x') == b'x'
        with typed(machine, machine.halts):
            eventually(lambda: refuses(machine), 'the drain has begun')
            assert client.echo(b'still here') == b'still here'
            client.half_close()
            assert client.receive_all() == b''
    eventually(lambda: machine.nspawn.poll() is not None, 'it has halted')
