"""checks.py: what must be there before minutes are spent: tools, room for the clients, a port,
and a folder to write to. What is missing ends the run at its start, in one line that says what
is missing and one that says what to do.
"""
import errno
import os
import resource
import shutil
import socket
import subprocess
import sys
from collections import namedtuple
from pathlib import Path

SPARE = 120  # descriptors and processes for all but the clients
DRAW_SECONDS = 60  # as long as a plot may take: on its first start gnuplot looks at all fonts

# A limit on processes and threads: how many it allows, and how many of these there are already.
TaskLimit = namedtuple('TaskLimit', 'name allowed used')


def fail(*lines):
    sys.exit('\n'.join(f'lab: {line}' for line in lines))


# ---- tools -------------------------------------------------------------------------------

def check_tools(build):
    check_gnuplot()
    if not os.access(build / 'echoload', os.X_OK):
        fail(f'{build}/echoload is not built: run `make lab`')
    if not Path('/proc/self/smaps_rollup').exists():
        fail('this needs Linux with /proc: what a server has is seen there')


def check_gnuplot():
    """Draws something: one that is there may still lack a library, or know no SVG."""
    if not shutil.which('gnuplot'):
        fail('gnuplot is missing, which draws the plots: install it, or all tools by `make deps-all`')
    try:
        drawn = subprocess.run(['gnuplot'], input='set terminal svg\nplot x\n', text=True,
                               capture_output=True, timeout=DRAW_SECONDS, check=False)
        said = drawn.stderr.strip().splitlines()
        works = drawn.returncode == 0 and '</svg>' in drawn.stdout
        why = said[-1].strip() if said else f'it ends with status {drawn.returncode}'
    except (OSError, subprocess.TimeoutExpired) as problem:
        works, why = False, str(problem)
    if not works:
        fail(f'gnuplot is there ({shutil.which("gnuplot")}), but draws no SVG: {why}',
             'see whether `echo "set terminal svg; plot x" | gnuplot` draws; `make deps-all`'
             ' installs one that does')


# ---- room --------------------------------------------------------------------------------

def check_limits(clients):
    """Every client is a descriptor here and, for some servers, a process."""
    need = clients + SPARE
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    if hard != resource.RLIM_INFINITY and hard < need:
        fewer = f', or measure fewer: --clients {hard - SPARE}' if hard > SPARE else ''
        fail(f'{clients} clients need {need} open files, allowed are {hard} (ulimit -Hn)',
             f'raise it{fewer}')
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    hard = resource.getrlimit(resource.RLIMIT_NPROC)[1]
    resource.setrlimit(resource.RLIMIT_NPROC, (hard, hard))
    check_tasks(clients, task_limits())


def check_tasks(clients, limits):
    """Ends the run if what is left of one of the limits is too few for so many clients."""
    need = clients + SPARE
    for name, allowed, used in limits:
        left = max(allowed - used, 0)
        if left < need:
            fewer = f', or measure fewer: --clients {left - SPARE}' if left > SPARE else ''
            fail(f'{clients} clients need {need} processes, {left} are left of the {allowed} that'
                 f' {name} allows: {used} are there', f'raise it, end some{fewer}')


def task_limits(proc=Path('/proc'), cgroups=Path('/sys/fs/cgroup')):
    """All limits that fork has to obey. A thread counts as a process in each of them."""
    limits = [TaskLimit(f'kernel.{name}', int((proc / 'sys/kernel' / name).read_text()),
                        all_tasks(proc)) for name in ('pid_max', 'threads-max')]
    own = resource.getrlimit(resource.RLIMIT_NPROC)[1]
    if os.geteuid() != 0 and own != resource.RLIM_INFINITY:  # root is exempt: setrlimit(2)
        limits.append(TaskLimit('ulimit -u', own, tasks_of(os.getuid(), proc)))
    return limits + cgroup_limits(proc, cgroups)


def all_tasks(proc):
    """How many there are on the machine: the fourth word of loadavg is running/all, proc(5)."""
    return int((proc / 'loadavg').read_text().split()[3].split('/')[1])


def tasks_of(user, proc):
    """How many processes and threads a user has: what RLIMIT_NPROC counts."""
    total = 0
    for status in proc.glob('[0-9]*/status'):
        try:
            values = dict(line.split(':', 1) for line in status.read_text().splitlines())
        except OSError:
            continue  # it has ended meanwhile
        if int(values['Uid'].split()[0]) == user:
            total += int(values['Threads'])
    return total


def cgroup_limits(proc, cgroups):
    """pids.max of our control group and of each above it, as far as they are to be seen from here:
    cgroups(7), in version 2 and 1."""
    limits = []
    for line in (proc / 'self/cgroup').read_text().splitlines():
        _, controllers, path = line.split(':', 2)
        if controllers not in ('', 'pids'):
            continue
        top = cgroups / controllers
        group = top / path.strip('/')
        for folder in [group, *group.parents]:
            if folder.is_relative_to(top) and (folder / 'pids.max').is_file():
                allowed = (folder / 'pids.max').read_text().strip()
                used = int((folder / 'pids.current').read_text())
                if allowed != 'max':
                    limits.append(TaskLimit(folder / 'pids.max', int(allowed), used))
    return limits


# ---- places ------------------------------------------------------------------------------

def check_port(port):
    if port is None:
        return
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(('127.0.0.1', port))
        except OSError as error:
            first = Path('/proc/sys/net/ipv4/ip_unprivileged_port_start').read_text().strip()
            fail(f'port {port} cannot be used: {error.strerror.lower()}',
                 f'choose one from {first} on, or leave --port away for a free one'
                 if error.errno == errno.EACCES else
                 'stop what listens there (ss -ltnp), or leave --port away for a free one')


def check_earlier(folder):
    """For --resume. A run writes machine.txt first, so where that is not, none has begun."""
    if not os.access(folder / 'machine.txt', os.R_OK):
        fail(f'nothing to resume in {folder}: no run has begun there',
             'give the folder of that run with -o, or leave --resume away')


def check_folder(folder):
    """Makes the folder of results, and a file in it, as each result will be."""
    probe = folder / '.probe'
    try:
        folder.mkdir(parents=True, exist_ok=True)
        probe.touch()
        probe.unlink()
    except OSError as error:
        fail(f'{folder} cannot be written to: {error.strerror.lower()}',
             'choose another folder with -o')
