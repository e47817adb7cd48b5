"""A Debian under its own systemd for each release, with the packages in /packages."""
import os
import signal
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / 'systemd'))
from container import Container, why_not
from harness import DEADLINE

SUITES = os.environ.get('SUITES', 'bookworm trixie sid').split()

# Before it boots there is a network, for what the packages and their tests need.
PREPARE = """
cp -r "$TOP/$BUILD/packages" packages
mkdir packages/source
cp -r "$TOP/examples/packaging/debian" packages/source/
cp -L /etc/resolv.conf etc/resolv.conf || :
mount --bind /dev dev
echo 'Acquire::Check-Valid-Until "false";' >etc/apt/apt.conf.d/90mirror
chroot . apt-get -qq update
chroot . env DEBIAN_FRONTEND=noninteractive apt-get -qq install -y --no-install-recommends \
    autopkgtest dpkg-dev lintian python3 strace
umount dev
"""


def pytest_configure():
    """Told to end, it still halts the container."""
    signal.signal(signal.SIGTERM, lambda *_: pytest.exit('terminated'))


@pytest.fixture(scope='session', params=SUITES)
def container(request):
    reason = why_not()
    if reason:
        pytest.skip(reason)
    booted = Container(request.param, PREPARE)
    yield booted
    booted.halt()


@pytest.fixture
def machine(container):
    """The container with none of the packages."""
    yield container
    container.end_loads()
    container.run('dpkg', '--purge', 'forkecho-lab', 'forkecho', 'forkecho-tools', check=False,
                  timeout=10 * DEADLINE)
