"""Other people's daemons, which the tests run beside forkecho: in the foreground, with settings
of the test's own, and ended by their number.

tests/deps installs them, or unpacks them where it must not start a service."""
import glob
import os
import re
import shutil
import socket
import subprocess
from pathlib import Path

import pytest

import sockets
from harness import AS_OURSELVES, DEADLINE, NO_LEAK_SEARCH, TOP, eventually, program

UNPACKED = Path(os.environ.get('XDG_CACHE_HOME') or Path.home() / '.cache') / 'forkecho' / 'daemons'

# With a /run of its own: nothing that a daemon writes there is left behind, or in another's way.
PRIVATE_RUN = ['unshare', '--mount', 'sh', '-c', 'mount -t tmpfs none /run && exec "$@"', 'sh']


def find(name):
    """The path of a daemon, or None."""
    places = [os.environ['PATH'], '/usr/sbin', '/sbin', f'{UNPACKED}/usr/sbin', f'{UNPACKED}/usr/bin']
    return shutil.which(name, path=':'.join(places))


def needs_daemon(name):
    return pytest.mark.skipif(find(name) is None, reason=f'needs {name}: run make deps')


def environment():
    """What an unpacked daemon needs to find its libraries."""
    folders = glob.glob(f'{UNPACKED}/usr/lib/*-linux-*') + glob.glob(f'{UNPACKED}/lib/*-linux-*')
    return {**os.environ, 'LD_LIBRARY_PATH': ':'.join(folders)} if folders else dict(os.environ)


def free_port(kept=[]):
    """A port of 127.0.0.1 that nobody else is given: it stays bound, without listening, as long as
    the tests run. Whoever sets SO_REUSEADDR can listen there, and again when that one has died."""
    kept.append(socket.socket())
    kept[-1].setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    kept[-1].bind(('127.0.0.1', 0))
    return kept[-1].getsockname()[1]


def service_directory(name, folder, port):
    """That of examples/ as it is shipped, but for the program, its user, its address and its log."""
    place = folder / 'forkecho'
    shutil.copytree(TOP / 'examples' / name, place, ignore=shutil.ignore_patterns('log'))
    text = (place / 'run').read_text()
    assert ' /usr/local/sbin/forkecho ' in text and " -l '*:7' " in text
    text = text.replace('/usr/local/sbin/forkecho',
                        f'{program("forkecho")} {" ".join(AS_OURSELVES)}')
    (place / 'run').write_text(text.replace("'*:7'", f'127.0.0.1:{port}'))
    return place


class Daemon:
    """A running daemon; its output goes to a file."""

    def __init__(self, command, log, **options):
        self.log = Path(log)
        with self.log.open('wb') as output:
            self.process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=output,
                                            stderr=subprocess.STDOUT,
                                            env={**environment(), **NO_LEAK_SEARCH},
                                            start_new_session=True, **options)

    def text(self):
        return self.log.read_text(errors='replace')

    def wait_for(self, port):
        """Waits until it listens there; it is not connected to, which would be a client."""
        def listens():
            assert self.process.poll() is None, self.text()
            return sockets.listens(f'127.0.0.1:{port}')

        eventually(listens, f'{self.process.args[0]} listens at port {port}')

    def wait_line(self, pattern, count=1):
        return eventually(lambda: len(found := re.findall(pattern, self.text(), re.M)) >= count
                          and found, f'{pattern} is in the log of {self.process.args[0]}')

    def end(self):
        if self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.wait(DEADLINE)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
