"""What a server under trial is kept in: namespaces, bounds, and a process that ends with the trial.

Each trial is a process with a user namespace of its own (user_namespaces(7)), where it may make
others: a PID namespace, in which all ends with process 1, daemons too; and a network namespace for
each server, so that every port is free, a privileged one as well. Process 1 is not the server, for
which the kernel would drop signals that it does not handle, but ours. It ends with the trial, as
the trial does with expose: whatever ends expose ends its servers.

Where none may be made, as in some containers, a server has a port that is free, and SIGKILL to
expose leaves it behind. Orphans come to the process that started it (PR_SET_CHILD_SUBREAPER), so
that a trial ends with all of them.
"""
import contextlib
import ctypes
import fcntl
import os
import resource
import signal
import socket
import struct
from pathlib import Path

from grader.processes import children, descriptors, parent

PORT = 7007  # for a server that is told one, where all are free
FILE_SIZE = 64 << 20  # bytes: one that prints without end is ended
PROCESSES = 250  # one that forks without end is ended
OPEN_FILES = 65536
MEMORY = 2 << 30  # bytes of its own that all processes of a server may have

NAMESPACES = False  # whether they may be made
PROCESS_1 = None  # of the PID namespace that this process has entered
NEW_MOUNTS, NEW_USER, NEW_PIDS, NEW_NETWORK = 0x20000, 0x10000000, 0x20000000, 0x40000000
SET_DEATH_SIGNAL, SET_DUMPABLE, SET_SUBREAPER = 1, 4, 36  # of prctl
SET_FLAGS, UP = 0x8914, 1  # SIOCSIFFLAGS, IFF_UP
PRIVATE = 0x44000  # MS_REC | MS_PRIVATE

libc = ctypes.CDLL(None, use_errno=True)


def call(name, *arguments):
    """A call of libc that Python does not have; numbers are longs."""
    numbers = [ctypes.c_ulong(each) if isinstance(each, int) else each for each in arguments]
    if getattr(libc, name)(*numbers) == -1:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()), name)


def prctl(option, value):
    call('prctl', option, value, 0, 0, 0)


# ---- processes of ours -------------------------------------------------------------------

def begin(task, *kept):
    """Runs `task()` in a process that ends when it has, or when this one does. Open there are the
    standard streams and `kept`, no more: no client's socket, which would stay when we close it.
    Returns the number of the process."""
    starter, process = os.getpid(), os.fork()
    if process:
        return process
    status = 1
    try:
        prctl(SET_DEATH_SIGNAL, signal.SIGKILL)
        if parent('self') == starter:  # else it has ended before, and no signal comes for that
            for number in descriptors('self').keys() - {0, 1, 2, *kept}:
                os.close(number)
            task()
            status = 0
    finally:
        os._exit(status)


# ---- namespaces --------------------------------------------------------------------------

def enter_namespaces():
    """What this process, of one thread, starts from here on is in a PID namespace of its own; in
    other namespaces of its own it may do all, as the same user."""
    if not NAMESPACES:
        return
    user, group = os.geteuid(), os.getegid()
    call('unshare', NEW_USER)
    for name, text in [('setgroups', 'deny'), ('uid_map', f'{user} {user} 1'),
                       ('gid_map', f'{group} {group} 1')]:
        Path('/proc/self', name).write_text(text)
    call('unshare', NEW_PIDS)
    global PROCESS_1
    PROCESS_1 = begin(be_process_1)


def end_namespace():
    """Ends all that is in it at once, which who forks without end cannot outrun."""
    if PROCESS_1:
        kill([PROCESS_1])


def be_process_1():
    """No orphan stays here as a zombie."""
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    while True:
        signal.pause()


def enter_network():
    """A network of this process's own, with nothing but loopback. Returns a port for a server."""
    if not NAMESPACES:
        with socket.create_server(('127.0.0.1', 0)) as free:
            return free.getsockname()[1]
    call('unshare', NEW_NETWORK)
    with socket.socket() as anyone:
        fcntl.ioctl(anyone, SET_FLAGS, struct.pack('16sh22x', b'lo', UP))
    with contextlib.suppress(OSError):  # where that may not be written
        Path('/proc/sys/net/ipv4/ip_unprivileged_port_start').write_text('0')
    return PORT


def show_own_processes():
    """In /proc, where no part of that is hidden."""
    with contextlib.suppress(OSError):
        call('unshare', NEW_MOUNTS)
        call('mount', None, b'/', None, PRIVATE, None)
        call('mount', b'proc', b'/proc', b'proc', 0, None)


def find_out():
    """Whether namespaces may be made, by a process that tries."""
    global NAMESPACES
    NAMESPACES = True
    trying = begin(lambda: (enter_namespaces(), enter_network()))
    NAMESPACES = os.waitpid(trying, 0)[1] == 0


# ---- processes that end with the trial ---------------------------------------------------

def keep(start, *kept):
    """Calls `start()` in a process that waits for all that comes of it, orphans as well, and then
    ends. Returns its number."""
    def keeper():
        prctl(SET_SUBREAPER, 1)
        if NAMESPACES:
            show_own_processes()
        start()
        with contextlib.suppress(ChildProcessError):
            while True:
                os.wait()

    return begin(keeper, *kept)


def kill(processes):
    for each in processes:
        with contextlib.suppress(ProcessLookupError):
            os.kill(each, signal.SIGKILL)


def end_all():
    """Ends all that this process has started. Their orphans come to it, and are next."""
    with contextlib.suppress(ChildProcessError):
        while True:
            kill(children(os.getpid()))
            os.wait()


def set_bounds():
    """In the process that becomes the server."""
    bounds = {resource.RLIMIT_FSIZE: FILE_SIZE, resource.RLIMIT_CORE: 0,
              resource.RLIMIT_NOFILE: OPEN_FILES}
    if NAMESPACES:  # else all of the user's processes would count
        bounds[resource.RLIMIT_NPROC] = PROCESSES + 20  # and bounded() ends it
    for what, bound in bounds.items():
        soft, hard = (bound if value == resource.RLIM_INFINITY else min(value, bound)
                      for value in resource.getrlimit(what))
        resource.setrlimit(what, (soft, hard))
    with contextlib.suppress(OSError):  # when memory is short, it goes first
        Path('/proc/self/oom_score_adj').write_text('1000')
    for number in signal.SIGINT, signal.SIGQUIT:
        signal.signal(number, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_SETMASK, [])
