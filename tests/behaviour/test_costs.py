"""What a connection costs, in counts that do not depend on how busy the machine is."""
import os
import re
import resource
import signal
import subprocess
import time
from collections import Counter
from pathlib import Path

import pytest

from harness import (BUILD, CC, TOP, Client, children, descriptors, eventually, forks_only, only_for,
                     process)

STATIC = BUILD.name == 'static'
# What a child of a static program does without: nobody else's code runs in it.
SHARED = '[heap]', '[vvar]', '[vvar_vclock]', '[vdso]'
plain_build = pytest.mark.skipif(BUILD.name in ('asan', 'tsan', 'coverage'),
                                 reason='what counts or sanitizes has costs of its own')
CONNECTIONS = 40


def serve_some(server, count=CONNECTIONS):
    """Serves clients one after the other, each reaped before the next comes."""
    for _ in range(count):
        with Client(server.address) as client:
            assert client.echo(b'x' * 64) == b'x' * 64
        eventually(lambda: not children(server.pid), 'the child is reaped')


def listed_calls(path, *what):
    """A list of system calls at the top of a file: how many of each a `what` costs."""
    text = (TOP / path).read_text()
    calls = {}
    for each in what:
        listed = re.search(rf'^ \*   {each}  ((?:.|\n)*?)$(?!\n \*  {{5}})', text, re.M).group(1)
        calls[each] = {name: int(count) for count, name in re.findall(r'(\d+) (\w+)', listed)}
    return calls


class Trace:
    """strace on a running server and all its children."""

    def __init__(self, server, folder):
        self.server, self.file = server, folder / 'trace'
        pids = [server.pid, *(each.pid for each in children(server.pid))]
        attach = [word for pid in pids for word in ('-p', str(pid))]
        self.tracer = subprocess.Popen(['strace', '-f', '-qq', '-o', self.file, *attach])
        statuses = [Path(f'/proc/{pid}/status') for pid in pids]
        eventually(lambda: all(re.search(r'TracerPid:\t[1-9]', each.read_text())
                               for each in statuses), 'strace is there')

    def stop(self):
        self.tracer.terminate()
        self.tracer.wait()

    def calls(self):
        """Calls a connection, of the parent and of its children."""
        self.stop()
        return calls_in(self.file, self.server.pid)


# Machines of 32 bits have these in the place of the calls behind them, whose lists they then keep.
OF_32_BITS = {'fcntl64': 'fcntl', 'pselect6_time64': 'pselect6', 'ppoll_time64': 'ppoll',
              'sigreturn': 'rt_sigreturn'}


def calls_in(trace, parent):
    """Calls a connection in a trace, of this process and of its children."""
    counts = {'parent': Counter(), 'child': Counter()}
    for pid, name in re.findall(r'^(\d+) +(\w+)\((?!-1, )', trace.read_text(), re.M):
        counts['parent' if int(pid) == parent else 'child'][OF_32_BITS.get(name, name)] += 1
    # A sweep each second is nobody's in particular, and is rounded away.
    return {who: {name: round(n / CONNECTIONS) for name, n in count.items()
                  if round(n / CONNECTIONS) > 0} for who, count in counts.items()}


FORKS_ALONE = f'''
#include "platform/platform.h"
#include <stddef.h>
#include <sys/wait.h>
#include <unistd.h>
int main(void)
{{
    for (int i = 0; i < {CONNECTIONS}; i++) {{
        pid_t child = platform_fork();
        if (child == 0)
            _exit(0);
        waitpid(child, NULL, 0);
    }}
    return 0;
}}
'''


def calls_of_fork(folder):
    """What a fork costs with this libc, and an end of which nobody makes a record."""
    path, trace = folder / 'fork', folder / 'fork-trace'
    subprocess.run([*CC, '-I', TOP / 'src', '-xc', '-', '-xnone', BUILD / 'libecho.a', '-o', path],
                   input=FORKS_ALONE, text=True, check=True)
    subprocess.run(['strace', '-f', '-qq', '-o', trace, path], check=True)
    return calls_in(trace, int(trace.read_text().split()[0]))


@forks_only
@plain_build
@pytest.mark.skipif(STATIC, reason='the list is of the default build; musl wraps fork in more')
@pytest.mark.parametrize('options', [(), ('-S', '127.0.0.1:0')], ids=['plain', 'monitored'])
def test_system_calls_a_connection_are_those_listed(server, folder, options):
    """Catches a call that creeps in, for monitors (-S) too, and a list in serve_fork.c that has gone
    stale. Whether fork blocks signals meanwhile is libc's affair: _Fork does in glibc 2.41, and did
    not in 2.36."""
    s = server(*options, verbose=None)
    serve_some(s, 5)
    trace = Trace(s, folder)
    serve_some(s)
    listed = listed_calls('src/fork/serve_fork.c', 'parent', 'child')
    for who, calls in calls_of_fork(folder).items():
        blocks = {name: count for name, count in calls.items() if name == 'rt_sigprocmask'}
        listed[who] = Counter(listed[who]) + Counter(blocks)
    assert trace.calls() == listed


def pages_of_its_own(server):
    """How many pages a new child and its parent do not share any more, but for libc's data."""
    with Client(server.address) as client:
        assert client.echo(b'x' * 64) == b'x' * 64
        child, = children(server.pid)
        own, counts, end = 0, True, None
        for line in Path(f'/proc/{child.pid}/smaps').read_text().splitlines():
            if mapping := re.match(r'([0-9a-f]+)-(\S+) \S+ \S+ \S+ \S+ *(.*)', line):
                begin, behind, name = mapping.groups()
                if name or begin != end:  # else the zeroed rest (.bss) of the library before it
                    counts = not name.startswith('/') or name == server.path
                end = behind
            elif counts and line.startswith('Private_Dirty:'):
                own += int(line.split()[1]) * 1024 // resource.getpagesize()
    eventually(lambda: not children(server.pid), 'the child is reaped')
    return own


@forks_only
@plain_build
def test_pages_of_a_child(server):
    """Catches memory that a child writes to without need: each page costs a fault and a copy. Not
    what it reads of files, nor the data of a libc: how many faults these cost is between the kernel,
    which maps sixteen pages at once, and where it has put them: 7 to 10 altogether with glibc 2.36,
    11 to 15 with 2.41."""
    s = server(verbose=None)
    serve_some(s, 5)
    # The least: what the parent happens to write to meanwhile is counted as well. Of the stack it
    # is one page or two, as the kernel begins it within a page; of the thread's variables, one.
    assert min(pages_of_its_own(s) for _ in range(5)) <= 3


@forks_only
@plain_build
def test_what_malloc_has_is_not_in_a_child(server):
    """Catches memory that is copied for each child, page tables included, although it does without."""
    s = server()
    client = s.connect()
    assert client.echo(b'x') == b'x'
    child, = children(s.pid)
    maps = Path(f'/proc/{child.pid}/maps').read_text()
    assert '[heap]' in Path(f'/proc/{s.pid}/maps').read_text() and '[heap]' not in maps
    if STATIC:  # else the libraries have some, too
        assert len(re.findall(r' 00:00 0 *$', maps, re.M)) == 1, maps  # the program's variables


@forks_only
@plain_build
def test_reaping_does_not_look_at_live_children(server, folder):
    """Catches the textbook's waitpid(-1), or waitid(P_ALL): each end would walk all live children."""
    s = server('-t', '0', verbose=None)
    held = [s.connect() for _ in range(100)]
    for client in held:
        assert client.echo(b'x') == b'x'
    trace = Trace(s, folder)
    start = time.monotonic()
    for _ in range(CONNECTIONS):
        with Client(s.address) as client:
            assert client.echo(b'x') == b'x'
        eventually(lambda: len(children(s.pid)) == len(held), 'the child is reaped')
    seconds = time.monotonic() - start
    trace.calls()
    waits = re.findall(r'wait(?:4|id)\((-?\w+), ', trace.file.read_text())
    walks = waits.count('-1') + waits.count('P_ALL')
    assert len(waits) - walks >= CONNECTIONS
    assert walks <= 0.2 * CONNECTIONS + seconds  # a sweep each second is meant


@forks_only
@plain_build
def test_a_mass_end_walks_the_children_once_a_sweep(server, folder):
    """Catches a walk for each of the dead, where the sweep asks for all by pid: beside 100,000 live
    ones each took the parent 10 ms and more, and sixteen came in one turn."""
    count, dead = 300, 40
    s = server('-c', str(count))
    trace = Trace(s, folder)
    clients = [s.connect() for _ in range(count)]
    for client in clients:
        assert client.echo(b'x') == b'x'
    oldest = [int(line['pid']) for line in s.wait_lines('^accept ', count)[:dead]]
    s.send_signal(signal.SIGSTOP)
    for pid in oldest:  # none of them is one of the youngest, for which it asks first
        os.kill(pid, signal.SIGKILL)
    eventually(lambda: all(process(pid).state == 'Z' for pid in oldest), 'they are zombies')
    s.send_signal(signal.SIGCONT)
    s.wait_lines('^end .*how=signal-9', dead)
    trace.stop()
    found = re.findall(r'waitid\(P_ALL, .*SIGCHLD', trace.file.read_text())
    assert len(found) <= dead // 4  # of a sweep, and of those each second that follow


@forks_only
@plain_build
def test_a_child_has_no_memory_of_the_parent_alone(server):
    """Catches the table of all clients in the memory of one client's child, and what something
    allocated at the start: each mapping more makes every fork dearer."""
    s = server(verbose=None)
    client = s.connect()
    assert client.echo(b'x') == b'x'
    child, = children(s.pid)
    stray, program_ends = [], None
    for line in Path(f'/proc/{child.pid}/maps').read_text().splitlines():
        start, end, name = re.match(r'(\w+)-(\w+) \S+ \S+ \S+ \S+ *(.*)', line).groups()
        if name.startswith('/') or (not name and start == program_ends):
            program_ends = end
        elif name not in ('[stack]', '[vsyscall]', *([] if STATIC else SHARED)):
            stray.append(line)
    # A dynamic libc keeps the thread's own variables in a mapping that stands alone, and so does
    # the dynamic linker with what it allocates.
    # musl's getpwnam leaves a page in one of its own.
    assert len(stray) <= (1 if STATIC else 2), stray


OTHERS_CODE = r'''
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>
ssize_t read(int descriptor, void *buffer, size_t size)
{
    ssize_t (*next)(int, void *, size_t) = (ssize_t (*)(int, void *, size_t))dlsym(RTLD_NEXT, "read");
    char *memory = malloc(100000);
    memset(memory, time(NULL) != 0, 100000);
    free(memory);
    return next(descriptor, buffer, size);
}
'''


@forks_only
@plain_build
@pytest.mark.skipif(STATIC, reason='nobody else has code in a static program')
def test_a_child_may_run_what_allocates_and_looks_at_the_clock(server, folder):
    """Catches memory that is withheld from children for speed, and that code of others, as of
    libfaketime or a profiler that is preloaded, then dies for want of."""
    subprocess.run([*CC, '-shared', '-fPIC', '-xc', '-', '-o', folder / 'others.so', '-ldl'],
                   input=OTHERS_CODE, text=True, check=True)
    s = server(env={'LD_PRELOAD': str(folder / 'others.so')})
    client = s.connect()
    assert client.echo(b'x') == b'x'
    client.half_close()
    assert client.receive_all() == b''
    assert s.end_of(client)['how'] == 'eof'


WAITS = {'selectecho': 'pselect6', 'pollecho': 'ppoll', 'epollecho': 'epoll_pwait'}


def calls_in_loop(trace, wait):
    """Calls a connection or message, but for what depends on who was faster: a first read that
    came before the client's bytes, with the wait that it costs, and a look for signals."""
    trace.stop()
    text = trace.file.read_text()
    count = Counter(OF_32_BITS.get(name, name) for name in re.findall(r'^\d+ +(\w+)\(', text, re.M))
    early = len(re.findall(r'^\d+ +read\(.* = -1 EAGAIN', text, re.M))
    count.subtract({'read': early, wait: early})
    assert count.pop('rt_sigpending', 0) <= count[wait]
    return {name: round(n / CONNECTIONS) for name, n in count.items() if round(n / CONNECTIONS) > 0}


def listed_in_loop(what, wait):
    calls = listed_calls('examples/variants/parts/event_loop.h', what)[what]
    calls[wait] = calls.pop('epoll_pwait')
    if wait != 'epoll_pwait':
        calls.pop('epoll_ctl', None)
    return calls


@only_for(*WAITS)
@plain_build
@pytest.mark.parametrize('what', ['connection', 'message'])
def test_system_calls_in_the_loop_are_those_listed(server, server_name, folder, what):
    """A wait before each write, a change of what is watched with each message, a descriptor that
    is watched and never needed, or a list in event_loop.h that has gone stale."""
    srv = server(verbose=None)
    client = srv.connect()
    assert client.echo(b'x') == b'x'
    held = len(descriptors(srv.pid))
    trace = Trace(srv, folder)
    for _ in range(CONNECTIONS):
        if what == 'message':
            assert client.echo(b'x' * 64) == b'x' * 64
            continue
        with Client(srv.address) as other:
            assert other.echo(b'x' * 64) == b'x' * 64
        eventually(lambda: len(descriptors(srv.pid)) == held, 'the client is closed')
    wait = WAITS[server_name]
    assert calls_in_loop(trace, wait) == listed_in_loop(what, wait)


@forks_only
@plain_build
def test_a_program_costs_few_calls_before_it_runs(server, folder):
    """Catches a child that sets the action of each of 64 signals, where most are so already: 6 % of
    what a connection to a small program takes."""
    srv = server('-l', '127.0.0.1:0', '--', 'cat', listen=(), verbose='')
    trace = Trace(srv, folder)
    serve_some(srv)
    trace.stop()
    told = re.findall(r'^(\d+) +(\w+)\(', trace.file.read_text(), re.M)
    before = Counter()
    for pid in {pid for pid, name in told if name == 'execve'}:
        own = [name for each, name in told if each == pid]
        before.update(own[:own.index('execve')])
    per_child = {name: round(count / CONNECTIONS) for name, count in before.items()}
    assert sum(per_child.values()) <= 30 and per_child['rt_sigaction'] <= 16, per_child
