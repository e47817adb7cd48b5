"""Processes and who listens, as proc(5) shows them."""
import contextlib
import os
import re
import socket
import struct
import time
from pathlib import Path

PAGE = os.sysconf('SC_PAGE_SIZE')
SOCK_DIAG, BY_FAMILY, REQUEST_LIST = 4, 20, 0x301  # of linux/netlink.h and linux/sock_diag.h
LISTEN = 10  # TCP_LISTEN


def state(path):
    """The state of a process or thread by its folder in /proc: R, S, T, Z ...; X: none."""
    try:
        text = Path(path, 'stat').read_text()
    except (FileNotFoundError, ProcessLookupError):
        return 'X'
    return text[text.rindex(')') + 2]


def parent(pid):
    return int(re.search(r'^PPid:\s*(\d+)', Path(f'/proc/{pid}/status').read_text(), re.M)[1])


# nanosleep and clock_nanosleep by their numbers. Elsewhere such a sleep is like any other.
NANOSLEEP = {'x86_64': '35 230', 'aarch64': '101 115', 's390x': '162 262'}.get(
    os.uname().machine, '').split()


def dozes(path):
    """Whether a thread is in a sleep(3), which ends by itself."""
    with contextlib.suppress(OSError):
        return Path(path, 'syscall').read_text().split()[0] in NANOSLEEP
    return False


def handles(pid, number):
    """Whether a process has a handler for a signal."""
    with contextlib.suppress(OSError):
        caught = re.search(r'^SigCgt:\s*(\w+)', Path(f'/proc/{pid}/status').read_text(), re.M)[1]
        return bool(int(caught, 16) >> (number - 1) & 1)
    return False


def threads(pid):
    """The folders of a process's threads."""
    try:
        return list(Path(f'/proc/{pid}/task').iterdir())
    except (FileNotFoundError, ProcessLookupError):
        return []


def children(pid):
    """Those that any of its threads has started."""
    found = []
    for thread in threads(pid):
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):
            found += map(int, Path(thread, 'children').read_text().split())
    return found


def descendants(pid):
    """The children, then theirs, and so on."""
    found = children(pid)
    for each in found:
        found += children(each)
    return found


def descriptors(pid):
    """What each open descriptor of a process is: {number: 'socket:[123]'}."""
    found = {}
    with contextlib.suppress(FileNotFoundError, ProcessLookupError, PermissionError):
        for number in os.listdir(f'/proc/{pid}/fd'):
            with contextlib.suppress(FileNotFoundError):
                found[int(number)] = os.readlink(f'/proc/{pid}/fd/{number}')
    return found


def sockets(pid):
    return {what for what in descriptors(pid).values() if what.startswith('socket:')}


def answers(kernel):
    """What follows a request for a list: the messages of netlink(7), without their headers."""
    while True:
        data = kernel.recv(1 << 16)
        while data:
            size, kind = struct.unpack_from('=IH', data)
            if kind != BY_FAMILY:  # the end of the list, or an error
                return
            yield data[16:size]
            data = data[size:]


def listeners():
    """{'socket:[123]': port}: those of this process's network, by sock_diag(7). (/proc/net/tcp goes
    through the connections of all networks, which takes long where there are many.)"""
    found = {}
    with socket.socket(socket.AF_NETLINK, socket.SOCK_DGRAM, SOCK_DIAG) as kernel:
        for family in socket.AF_INET, socket.AF_INET6:
            kernel.send(struct.pack('=IHHII4BI48x', 72, BY_FAMILY, REQUEST_LIST, 0, 0, family,
                                    socket.IPPROTO_TCP, 0, 0, 1 << LISTEN))
            for each in answers(kernel):
                port, = struct.unpack_from('!H', each, 4)
                inode, = struct.unpack_from('=I', each, 68)
                found[f'socket:[{inode}]'] = port
    return found


def cpu_seconds(pid):
    """Processor time by the process's own clock: clock_getcpuclockid(3)."""
    try:
        return time.clock_gettime(~pid << 3 | 2)
    except OSError:
        return 0.0


TIME_WAIT = '06'


def states_of(port):
    """The states of the sockets of a TCP port of this host, as numbers of the kernel's."""
    found = set()
    for table in 'tcp', 'tcp6':
        with contextlib.suppress(FileNotFoundError):
            lines = Path('/proc/self/net', table).read_text().splitlines()[1:]
            found |= {line.split()[3] for line in lines
                      if line.split()[1].endswith(f':{port:04X}')}
    return found


def memory(pid):
    """Bytes that are in memory and not of a file."""
    try:
        _, resident, of_files, *_ = map(int, Path(f'/proc/{pid}/statm').read_text().split())
    except (FileNotFoundError, ProcessLookupError):
        return 0
    return (resident - of_files) * PAGE
