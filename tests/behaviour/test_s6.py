"""The service directory of examples/s6: by hand, and under the real s6-supervise."""
import os
import re
import socket
import subprocess

from daemons import environment, find, free_port, needs_daemon, service_directory
from harness import DEADLINE, Client, eventually


def test_an_error_is_not_taken_for_readiness(folder):
    """Catches a log that goes where s6 looks for a newline: a server that could not start was
    ready."""
    with socket.create_server(('127.0.0.1', 0)) as taken:
        place = service_directory('s6', folder, taken.getsockname()[1])
        descriptor = int((place / 'notification-fd').read_text())
        told, tells = os.pipe()
        done = subprocess.run(['./run'], cwd=place, text=True, capture_output=True, check=False,
                              timeout=DEADLINE, pass_fds=[descriptor],
                              preexec_fn=lambda: os.dup2(tells, descriptor))
        os.close(tells)
    with open(told, 'rb') as told:
        assert told.read() == b'', done
    assert done.returncode == 1 and re.search('Address (already )?in use', done.stdout)


@needs_daemon('s6-supervise')
def test_s6_knows_when_it_is_ready(daemon, folder):
    """Catches a server that s6 never calls ready, or whose log goes where its addresses go."""
    port = free_port()
    place = service_directory('s6', folder, port)
    supervise = daemon(find('s6-supervise'), place, cwd=folder)

    def is_ready():
        done = subprocess.run([find('s6-svstat'), '-o', 'ready', place], text=True, env=environment(),
                              capture_output=True, timeout=DEADLINE, check=False)
        return done.stdout == 'true\n'

    eventually(is_ready, 's6 calls it ready')
    with Client(f'127.0.0.1:{port}') as client:
        assert client.echo(b'x') == b'x'
    supervise.wait_line(rf'^start .* listen=127\.0\.0\.1:{port}$')
