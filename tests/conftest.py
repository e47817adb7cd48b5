"""Fixtures of the behaviour tests. Each test runs once for every server of the family."""
import shutil
import signal
import tempfile
from pathlib import Path

import pytest

from harness import BUILD, SERVERS, Server, raise_descriptor_limit

# A build of one server alone has neither unit suites nor clients, and the documents are tested
# once, with a whole build.
collect_ignore = ['systemd', 'faults']  # for targets of their own (Makefile)
if not (BUILD / 'unit').is_dir():
    collect_ignore += ['test_units.py']
if not (BUILD / 'echoclient').exists():
    collect_ignore += ['test_client.py', 'test_classics.py', 'test_docs.py', 'test_install.py']
if not (BUILD / 'forkecho').exists():
    collect_ignore += ['test_init.py', 'test_inetd.py', 'test_service_files.py']


def pytest_configure(config):
    config.addinivalue_line('markers', 'forks_only: for the server of a process per client')
    raise_descriptor_limit()
    # A shell without job control has what it starts in the background ignore SIGINT, and so
    # would all that is started here: a handler, unlike that, ends at exec.
    signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_generate_tests(metafunc):
    if 'server_name' in metafunc.fixturenames:
        metafunc.parametrize('server_name', SERVERS)


def pytest_collection_modifyitems(items):
    """What only processes can have is not asked of the others: no test, rather than a skip."""
    items[:] = [item for item in items if not item.get_closest_marker('forks_only')
                or item.callspec.params['server_name'] == 'forkecho']


@pytest.fixture
def server(server_name):
    """A function that starts the server: its arguments are options, see harness.Server."""
    started = []

    def start(*options, kind=Server, **settings):
        started.append(kind(server_name, *options, **settings))
        return started[-1]

    yield start
    problems = []
    for each in started:
        try:
            each.finish()
        except AssertionError as problem:
            problems.append(str(problem))
    assert not problems, '\n'.join(problems)


@pytest.fixture
def folder():
    """An empty folder with a path that is short enough for Unix sockets, open to all users."""
    path = tempfile.mkdtemp(prefix='forkecho-')
    Path(path).chmod(0o777)
    yield Path(path)
    shutil.rmtree(path)
