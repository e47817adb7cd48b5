"""strace.py: what strace saw of a server, from the lines that it wrote to events in their order.

command() is how it is started; read() takes its lines. Nothing here knows what a call means: that
is lanes.py's. A call that another process's line cut in two (`<unfinished ...>`, `resumed`) is one
call again, and one that never returned has no end.
"""
import re
from collections import namedtuple

# What a picture is made of; `?` is for calls that a kind of processor has not.
CALLS = ('bind listen accept accept4 fork vfork clone clone3 execve exit exit_group wait4 waitid read'
         ' readv recvfrom recvmsg write writev sendto sendmsg select pselect6 poll ppoll epoll_wait'
         ' epoll_pwait epoll_pwait2 futex nanosleep clock_nanosleep pause rt_sigsuspend'
         ' rt_sigtimedwait rt_sigreturn close close_range shutdown dup dup2 dup3 mmap')


def command(path, inject=()):
    """strace that writes to the end of `path`. `inject`: what it does to calls beside watching them,
    such as 'accept:error=EMFILE:when=2'; strace(1)."""
    names = ['?' + name for name in CALLS.split()] + [each.split(':')[0] for each in inject]
    return ['strace', '-q', '-f', '-ttt', '-T', '-yy', '-s', '0', '-A', '-o', str(path), '-e',
            'trace=' + ','.join(names), *(f'-einject={each}' for each in inject)]


# Times are seconds since the epoch, and pid is a thread's number: that of its process, if it is the
# first. `result` is None where the call did not return; `error` is EAGAIN or the like.
Call = namedtuple('Call', 'pid name arguments result error rest begin end')
Signal = namedtuple('Signal', 'pid name sender time')       # it was delivered
Stop = namedtuple('Stop', 'pid time')                       # it was halted by a signal
End = namedtuple('End', 'pid how time')                     # 'exited with 0', 'killed by SIGSEGV'

LINE = re.compile(r'(?:\[pid +)?(\d+)\]? +(\d+\.\d+) (.*)')
UNFINISHED = re.compile(r'(\w+)\((.*?) ?<unfinished \.\.\.>$')
RESUMED = re.compile(r'<\.\.\. (\w+) resumed>(.*)')
WHOLE = re.compile(r'(\w+)\((.*)')
# Behind the last parenthesis, as a string among the arguments may hold anything.
RESULT = re.compile(r'(.*)\) += (-?\d+|0x[0-9a-f]+|\?)(.*?)(?: <(\d+\.\d+)>)?$')
DELIVERED = re.compile(r'--- (SIG\w+) (?:\{.*?(?:si_pid=(\d+).*)?\} )?---')
ENDED = re.compile(r'\+\+\+ (.*) \+\+\+')


def returned(pid, name, text, begin, written):
    """The call whose arguments and result are `text`, of which the last part was written then."""
    match = RESULT.fullmatch(text)
    if not match:
        return Call(pid, name, text, None, '', '', begin, None)
    arguments, value, rest, seconds = match.groups()
    error = re.match(r' ([A-Z]\w+)', rest)
    took = float(seconds) if seconds else max(written - begin, 0)
    if value == '?' and not error:  # of exit, and where the process was killed
        return Call(pid, name, arguments, None, '', rest, begin, None)
    result = -1 if value == '?' else int(value, 0)
    return Call(pid, name, arguments, result, error[1] if error else '', rest, begin, begin + took)


def read(lines):
    """The events of all processes, each when it began. What is no line of strace's is passed over,
    such as the last one of a strace that was killed."""
    open_calls, events = {}, []
    for line in lines:
        match = LINE.match(line.rstrip('\n'))
        if not match:
            continue
        pid, time, text = int(match[1]), float(match[2]), match[3]
        if delivered := DELIVERED.match(text):
            events.append(Signal(pid, delivered[1], int(delivered[2] or 0), time))
        elif text.startswith('--- stopped by'):
            events.append(Stop(pid, time))
        elif ended := ENDED.match(text):
            if pid in open_calls:
                events.append(never_returned(pid, *open_calls.pop(pid)))
            events.append(End(pid, ended[1], time))
        elif unfinished := UNFINISHED.match(text):
            open_calls[pid] = (unfinished[1], unfinished[2], time)
        elif (resumed := RESUMED.match(text)) and pid in open_calls:
            name, arguments, begin = open_calls.pop(pid)
            events.append(returned(pid, name, arguments + resumed[2], begin, time))
        elif (whole := WHOLE.match(text)) and not resumed:
            events.append(returned(pid, whole[1], whole[2], time, time))
    events += [never_returned(pid, *call) for pid, call in open_calls.items()]
    return sorted(events, key=begin_of)


def never_returned(pid, name, arguments, begin):
    return Call(pid, name, arguments, None, '', '', begin, None)


def begin_of(event):
    return event.begin if isinstance(event, Call) else event.time
