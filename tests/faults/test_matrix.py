"""The fault matrix: each server of the family while its system calls fail.

    make check-faults                                             all, about three minutes
    make check-faults TESTS='tests/faults/test_matrix.py -k "forkecho and ACCEPT"'

A cell of the matrix is: one server, one phase of its life, one call, one error that POSIX or Linux
names for this call, and which of the calls fail: the first, the fifth, every tenth, or all. The
phases are its start (as root, with -u and -r, eleven listeners), its start with -d, twelve clients
in quick succession, twelve that all stay, clients that are idle for too long, six upgrades one
after the other, and its stop; for forkecho twelve clients with a program each as well.

For each cell a server is started whose calls go through a shim (shim.c: a shared object between the
server and libc, which the test controls through a page of shared memory). The fault is armed,
clients come, the fault ends after 0.3 s or as soon as all have been served, and then (trials.py):

    - a server that stopped has logged why in exactly one line, ended with 1, and left nothing
      behind; every client that it had accepted was served to the end;
    - one that goes on serves the next client; its status line counts no live client; it has the
      descriptors that it had before, as many children and threads as its model keeps when nobody
      is there (as before, but for a pool: cells.is_right), no zombie among them; and each
      accepted client is counted once and has one `end` line;
    - one that has twelve clients has as many children, threads and descriptors as its model needs
      for them, when the fault is over;
    - no client got a wrong byte; where one is cut a call of its own failed, and the log says so;
    - nothing spun: CPU time and the number of failed calls are bounded.

That holds in every cell. What has to happen beyond that (serve, let wait, cut, refuse an upgrade,
stop) is in the rules (cells.py), written from the documents and not from what happens; a cell for
which there is no rule fails. A server that never makes a call in a phase has "not called" there.
The shim finds that out by counting in a life without faults, and strace counts the same. For calls
that a server cannot do without (cells.REACHED) it is a failure.

Code that is the same in all servers (cells.SHARED: all before serve() is called) is tried in full
with forkecho. Each other server tries the first error there, and has "as forkecho" for the others,
if it makes that call as often.

"Always" has an exception: EINTR says that a signal came, and EAGAIN from accept or a socket that
was ready says that another process was faster. That cannot go on for ever, so there nine of ten
calls fail.

The table of what happened comes at the end, and in full in build/faults.txt.
"""
import functools
import itertools
import os
import re
import tempfile
from pathlib import Path

import pytest

import cells
import trials
from harness import eventually, forks_only, pids_of_children
from test_costs import Trace


PRIVILEGED = 'SETUID SETGID SETGROUPS CHROOT'.split()  # what a server calls as root alone
WRONG_MAX = 8  # then no more cells of this call are tried: each that fails waits for a deadline


@functools.cache
def usual_calls(server_name, phase):
    with tempfile.TemporaryDirectory(prefix='forkecho-') as folder:
        os.chmod(folder, 0o777)
        return trials.usual_calls(server_name, phase, Path(folder))


@pytest.mark.parametrize('phase, point', [(phase, point) for phase, points in cells.PHASES.items()
                                          for point in points.split() if phase != 'programs'])
def test_faults(server_name, folder, phase, point, record_property):
    """Catches a fault that ends what should go on, or that leaves something behind."""
    if point in PRIVILEGED and os.geteuid() != 0:
        pytest.skip(f'{point.lower()} needs root')
    usual = usual_calls(server_name, phase)
    # A server that executes no program refuses a SIGHUP: no call can fail in an upgrade.
    calls = 0 if phase == 'upgrade' and usual['EXEC'] == 0 else usual[point]
    seen, wrong = [], []
    for error, when in itertools.product(cells.errors_of(point), cells.WHENS):
        if len(wrong) > WRONG_MAX:
            break
        if calls < cells.WHENS[when][0]:
            word = 'not called' if calls == 0 else 'not reached'
            problems = [f'{calls} calls'] if cells.has_to_be_reached(server_name, phase, point,
                                                                     when) else []
        else:
            word, problems = as_forkecho(server_name, phase, point, error, calls) or cell(
                server_name, folder / f'{error}-{when}', phase, point, error, when, calls)
        seen.append([server_name, phase, point, error, when, word, bool(problems)])
        wrong += [f'{phase} {point} {error} {when}: {word}: {problem}' for problem in problems]
    record_property('cells', seen)
    assert not wrong, '\n'.join(wrong)


@forks_only
@pytest.mark.parametrize('point', cells.PHASES['programs'].split())
def test_faults_of_programs(server_name, folder, point, record_property):
    """Catches the same where a child becomes a program."""
    test_faults(server_name, folder, 'programs', point, record_property)


def as_forkecho(server_name, phase, point, error, calls):
    """The outcome of a cell that forkecho tries with the same code; None for other cells."""
    if (server_name != 'forkecho' and cells.is_shared(phase, point, error) and
            usual_calls('forkecho', phase)[point] == calls):
        return 'as forkecho', []
    return None


# What is not libc's own: a pattern of strace's lines for each call that the shim counts.
TRACED = {'ACCEPT': r'accept4?\(', 'FORK': r'(clone3?|v?fork)\((?!.*CLONE_THREAD)',
          'THREAD': r'clone3?\(.*CLONE_THREAD', 'PSELECT': r'p?select6?\(', 'POLL': r'p?poll\(',
          'EPOLL_WAIT': r'epoll_p?wait2?\(', 'READ': r'(read|readv|recvfrom|recvmsg)\(',
          'WRITE': r'(write|writev|sendto|sendmsg)\(', 'WAITPID': r'(wait4|waitid)\(',
          'CLOSE': r'close\(', 'SHUTDOWN': r'shutdown\(', 'SETSOCKOPT': r'setsockopt\(',
          'SIGACTION': r'rt_sigaction\((?!SIGRTMIN,|SIGRT_1,)',  # libc's own, for its threads
          'SETRLIMIT': r'prlimit64\(0, \w+, \{'}


def test_the_shim_misses_no_call(server, folder):
    """Catches a call that does not come to the shim: its cells would say "not called"."""
    faults = trials.Faults(folder)
    srv = server(env=faults.environment())
    # For the first client the server looks how much memory is left, by libc's own reads.
    with srv.connect() as client:
        assert client.echo(b'first') == b'first'
    # Here and at the end a pool's children, some of which may have just been started, have to be
    # waiting as well: strace and the shim would not both see the calls that they make before that.
    srv.status()
    eventually(srv.sleeps, 'all wait')
    trace = Trace(srv, folder)
    faults.arm('ACCEPT', 0, 1 << 30, 0)
    for number in range(10):
        with srv.connect() as client:
            assert client.echo(b'%d' % number) == b'%d' % number
    srv.wait_lines('^end ', 11)
    srv.status()
    eventually(srv.sleeps, 'all wait again')
    trace.tracer.terminate()
    trace.tracer.wait()
    traced = re.sub(r'^\d+ +', '', trace.file.read_text(), flags=re.M)
    seen = {point: len(re.findall('^' + pattern, traced, re.M))
            for point, pattern in TRACED.items()}
    counted = {point: sum(faults.calls(each) for each in trials.POINTS if each.startswith(point))
               for point in TRACED}
    # A call that waits while strace comes or goes began before that, or ends after it: that of the
    # server in its loop, and that in which each child or thread of a pool waits.
    others = len(pids_of_children(srv.pid)) + len(trials.threads(srv.pid)) - 1
    slack = {**dict.fromkeys(TRACED, 0), 'ACCEPT': others, 'READ': others,
             **dict.fromkeys(cells.WAITS.split(), 1 + others)}
    far = {point: (seen[point], counted[point]) for point in TRACED
           if abs(seen[point] - counted[point]) > slack[point]}
    assert not far, f'strace and the shim count: {far}'
    assert seen['ACCEPT'] >= 10 and seen['READ'] >= 20


def cell(server_name, folder, phase, point, error, when, usual):
    """What happened, and what is wrong with that. `usual`: calls where none fails."""
    folder.mkdir()
    folder.chmod(0o777)
    allowed = cells.expected(server_name, phase, point, error, when)
    reached = cells.has_to_be_reached(server_name, phase, point, when)
    outcome = trials.run(server_name, phase, folder, point, cells.number_of(error),
                         cells.calls_that_fail(point, error, when), allowed, usual, reached)
    problems = outcome.problems
    if outcome.failed == 0 and not reached:
        return 'not reached', problems  # how many reads there are differs by one or two
    if outcome.failed == 0:
        problems.append(f'no call failed in {outcome.calls} calls')
    if cells.is_silent(phase, point, error, when) and outcome.errors:
        problems.append(f'it logged: {outcome.errors}')
    if not allowed:
        problems.append('there is no expectation')
    elif outcome.word not in allowed:
        problems.append(f'expected: {" or ".join(allowed)}')
    return outcome.word, problems
