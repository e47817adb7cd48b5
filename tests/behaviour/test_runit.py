"""The service directory of examples/runit, under the real runsv; tests/inits has it booted."""
import socket
import subprocess

from daemons import environment, find, free_port, needs_daemon, service_directory
from harness import DEADLINE, Client

pytestmark = needs_daemon('runsv')


def sv(place, action, wait=DEADLINE):
    return subprocess.run([find('sv'), '-w', str(int(wait)), action, place], text=True,
                          env=environment(), capture_output=True, timeout=2 * DEADLINE, check=False)


def test_a_start_returns_when_it_serves(daemon, folder):
    """Catches a start after which the first client is refused, also the second start, for which the
    file of the first is still there; and a log that goes where its addresses go."""
    port = free_port()
    place = service_directory('runit', folder, port)
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
        place = service_directory('runit', folder, taken.getsockname()[1])
        runsv = daemon(find('runsv'), place, cwd=folder)
        runsv.wait_line('Address (already )?in use')
        assert sv(place, 'start', wait=1).returncode != 0
