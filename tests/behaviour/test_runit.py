"""The service directory of examples/runit, under the real runsv; tests/inits has it booted."""
import shutil
import socket
import subprocess

from daemons import environment, find, free_port, needs_daemon
from harness import AS_OURSELVES, DEADLINE, TOP, Client, program

RUNIT = TOP / 'examples' / 'runit'
pytestmark = needs_daemon('runsv')


def directory(folder, port):
    """The directory as it is shipped, but for the program, its user, its address and its log."""
    place = folder / 'forkecho'
    shutil.copytree(RUNIT, place, ignore=shutil.ignore_patterns('log'))
    text = (place / 'run').read_text()
    assert ' /usr/local/sbin/forkecho ' in text and " -l '*:7' " in text
    text = text.replace('/usr/local/sbin/forkecho', f'{program("forkecho")} {" ".join(AS_OURSELVES)}')
    (place / 'run').write_text(text.replace("'*:7'", f'127.0.0.1:{port}'))
    return place


def sv(place, action, wait=DEADLINE):
    return subprocess.run([find('sv'), '-w', str(int(wait)), action, place], text=True, env=environment(),
                          capture_output=True, timeout=2 * DEADLINE, check=False)


def test_a_start_returns_when_it_serves(daemon, folder):
    """Catches a start after which the first client is refused, also the second start, for which the
    file of the first is still there; and a log that goes where its addresses go."""
    port = free_port()
    place = directory(folder, port)
    runsv = daemon(find('runsv'), place, cwd=folder)
    runsv.wait_line(rf'^start .* listen=127\.0\.0\.1:{port}$')
    for _ in range(3):
        assert sv(place, 'stop').returncode == 0
        assert (place / 'ready').read_text() == ''
        done = sv(place, 'start')
        assert done.returncode == 0, done
        with Client(f'127.0.0.1:{port}') as client:
            assert client.echo(b'x') == b'x'
    assert (place / 'ready').read_text() == f'127.0.0.1:{port}\n'


def test_an_error_is_not_taken_for_readiness(daemon, folder):
    """Catches a start that succeeds while the server cannot listen."""
    with socket.create_server(('127.0.0.1', 0)) as taken:
        place = directory(folder, taken.getsockname()[1])
        runsv = daemon(find('runsv'), place, cwd=folder)
        runsv.wait_line('Address (already )?in use')
        assert sv(place, 'start', wait=1).returncode != 0
