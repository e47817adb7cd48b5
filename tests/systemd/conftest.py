"""Fixtures of the tests under a running systemd: one container a release, each test a clean one."""
import os
import signal

import pytest

from container import Container, why_not

# The first has systemd 252, the second one that knows Type=notify-reload.
SUITES = os.environ.get('SUITES', 'bookworm trixie').split()
collect_ignore = []
UNITS = '/usr/local/share/doc/forkecho/examples/systemd'


def pytest_configure():
    """Told to end, it still halts the container."""
    signal.signal(signal.SIGTERM, lambda *_: pytest.exit('terminated'))


@pytest.fixture(scope='session', params=SUITES)
def container(request):
    reason = why_not()
    if reason:
        pytest.skip(reason)
    booted = Container(request.param)
    yield booted
    booted.halt()


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item, call):
    """A test that failed shows what the container's journal has of it."""
    report = (yield).get_result()
    container = item.funcargs.get('machine')
    if report.when == 'call' and report.failed and container:
        text = container.run('journalctl', '--no-pager', '--cursor-file=/run/cursor', check=False)
        report.sections.append(('journal', text.stdout[-6000:]))


@pytest.fixture
def machine(container):
    """The container with the units copied to where an administrator puts them, none of them on."""
    container.run('journalctl', '-n', '1', '--cursor-file=/run/cursor')
    container.run('sh', '-c', f'cp {UNITS}/* /etc/systemd/system/')
    if container.version() >= 253:
        container.run('sh', '-c', f'cd /etc/systemd/system && mkdir -p forkecho.service.d && '
                                  f'cp {UNITS}/notify-reload.conf forkecho.service.d/')
    container.systemctl('daemon-reload')
    yield container
    container.end_loads()
    units = ['forkecho.socket', 'forkecho-standalone.service', 'forkecho@7007.socket']
    container.systemctl('disable', *units, check=False)
    container.systemctl('kill', '--signal=KILL', 'forkecho.service', 'forkecho-standalone.service',
                        check=False)
    container.systemctl('stop', *units, 'forkecho.service', 'forkecho@*.service', check=False)
    container.systemctl('reset-failed', check=False)
    container.run('sh', '-c', 'rm -rf /etc/systemd/system/forkecho*')
    container.systemctl('daemon-reload')
