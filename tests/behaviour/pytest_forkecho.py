"""Fixtures of all tests, a plugin that tests/run names. A test of behaviour runs once for every
server of the family."""
import shutil
import signal
import tempfile
from pathlib import Path

import pytest

from daemons import Daemon
from harness import SERVERS, UNABLE, Server, raise_descriptor_limit


def pytest_configure(config):
    config.addinivalue_line('markers', 'only(*servers): for these alone')
    config.addinivalue_line('markers', 'but(server, why): not for this one')
    config.addinivalue_line('markers', 'long: takes many seconds, and is begun early')
    raise_descriptor_limit()
    # A shell without job control has what it starts in the background ignore SIGINT, and so
    # would all that is started here: a handler, unlike that, ends at exec.
    signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_generate_tests(metafunc):
    if 'server_name' in metafunc.fixturenames:
        metafunc.parametrize('server_name', SERVERS)


def is_asked_of(item):
    """Whether a test is for the server that it would run with. What only processes can have is
    not asked of the others: no test, rather than a skip."""
    name = item.callspec.params.get('server_name') if hasattr(item, 'callspec') else None
    return name is None or (all(name in mark.args for mark in item.iter_markers('only')) and
                            all(name != mark.args[0] for mark in item.iter_markers('but')))


def pytest_collection_modifyitems(items):
    """Long tests are begun early, or the last one would be waited for alone; and each by another
    worker, which first get equal parts of the first quarter: so they are spread over that."""
    asked = [item for item in items if is_asked_of(item)]
    for item in asked:
        for name in {item.name, item.originalname} & UNABLE.keys():
            item.add_marker(pytest.mark.skip(reason=UNABLE[name]))
    long = [item for item in asked if item.get_closest_marker('long')]
    items[:] = [item for item in asked if item not in long]
    for number, item in enumerate(long):
        items.insert(number * len(asked) // (4 * len(long)), item)


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


@pytest.fixture
def daemon(folder):
    """A function that starts a daemon: its command."""
    running = []

    def start(*command, **options):
        log = folder / f'daemon-{len(running)}.log'
        running.append(Daemon([str(word) for word in command], log, **options))
        return running[-1]

    yield start
    for each in running:
        each.end()
