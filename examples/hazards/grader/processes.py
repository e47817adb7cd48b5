"""Processes, as proc(5) shows them."""
import contextlib
import os
import time
from pathlib import Path


def state(path):
    """The state of a process or thread by its folder in /proc: R, S, T, Z ...; X: none."""
    try:
        text = Path(path, 'stat').read_text()
    except (FileNotFoundError, ProcessLookupError):
        return 'X'
    return text[text.rindex(')') + 2]


def children(pid):
    try:
        return list(map(int, Path(f'/proc/{pid}/task/{pid}/children').read_text().split()))
    except (FileNotFoundError, ProcessLookupError):
        return []


def threads(pid):
    """The folders of a process's threads."""
    try:
        return list(Path(f'/proc/{pid}/task').iterdir())
    except (FileNotFoundError, ProcessLookupError):
        return []


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


def cpu_seconds(pid):
    """Processor time by the process's own clock: clock_getcpuclockid(3)."""
    try:
        return time.clock_gettime(~pid << 3 | 2)
    except OSError:
        return 0.0
