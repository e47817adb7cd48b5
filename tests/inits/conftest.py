"""A container for each init, in which forkecho was started at the boot."""
import os
import signal

import pytest

from inits import INITS, Init
from container import why_not
from harness import eventually

NAMES = os.environ.get('INITS', '').split()


def pytest_configure():
    """Told to end, it still halts the container."""
    signal.signal(signal.SIGTERM, lambda *_: pytest.exit('terminated'))


@pytest.fixture(scope='session', ids=lambda init: init.__name__.lower(),
                params=[init for init in INITS if not NAMES or init.__name__.lower() in NAMES])
def container(request):
    reason = why_not()
    if reason:
        pytest.skip(reason)
    booted = request.param(os.environ.get('SUITE', 'trixie'))
    yield booted
    booted.halt()


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item, call):
    """A test that failed shows the log."""
    report = (yield).get_result()
    machine = item.funcargs.get('machine')
    if report.when == 'call' and report.failed and isinstance(machine, Init):
        report.sections.append(('log', '\n'.join(machine.lines()[-40:])))
        report.sections.append(('console', machine.console.read_text(errors='replace')[-2000:]))


@pytest.fixture
def machine(container):
    """With the server as the boot left it, or another test."""
    if container.types(container.status) != container.running:
        container.types(container.stop)
        assert container.types(container.start) == 0
    eventually(lambda: len(container.servers()) == 1, 'the clients of the last test have gone')
    return container
