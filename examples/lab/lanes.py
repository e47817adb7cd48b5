"""lanes.py: from the calls of a server's processes to what a picture of them shows.

A lane is a process, a thread, a client, or the queue of those who are connected and not yet
accepted. On it are spans, of what it waits for or is, and marks; from lane to lane go arrows, a
fork and a SIGCHLD. picture() makes all of it; drawing.py and tracefile.py show it in their ways.
"""
import re
from collections import namedtuple
from dataclasses import dataclass, field

from strace import Call, End, Signal, Stop, begin_of

# What a span says, in the order of the legend.
KINDS = {'accept': 'waits in accept', 'select': 'waits in select, poll or epoll',
         'read': 'waits for bytes (read)', 'write': 'writes',
         'wait': 'asks for its children (wait)',
         'sleep': 'waits for a lock, a signal or a time', 'halted': 'is halted by the script',
         'zombie': 'zombie: has ended, not waited for', 'queue': 'clients wait to be accepted'}
MARKS = {'in': 'bytes come in', 'out': 'bytes go out', 'eof': 'the peer sends no more',
         'error': 'an error, or no answer',
         'stack': "takes memory for a thread's stack", 'note': 'a line of log, a message inside',
         'exec': 'becomes another program', 'signal': 'another signal', 'end': 'ends'}

KIND_OF = {name: kind for kind, names in {
    'accept': 'accept accept4', 'wait': 'wait4 waitid',
    'select': 'select pselect6 poll ppoll epoll_wait epoll_pwait epoll_pwait2',
    'read': 'read readv recvfrom recvmsg', 'write': 'write writev sendto sendmsg',
    'sleep': 'futex nanosleep clock_nanosleep pause rt_sigsuspend rt_sigtimedwait',
}.items() for name in names.split()}
FORKS = {'fork', 'vfork', 'clone', 'clone3'}
MARKED = FORKS | set(KIND_OF) | {'bind', 'execve', 'mmap'}  # their errors, at least
# Nothing has gone wrong where a call says this: it was restarted, or there is nothing now.
HARMLESS = {'EAGAIN', 'EINPROGRESS', 'ERESTARTSYS', 'ERESTARTNOHAND', 'ERESTARTNOINTR',
            'ERESTART_RESTARTBLOCK', 'ECHILD'}
UNREAPED = 'zombie: nobody waits for it'
IN_VAIN = ', and does not get it'
QUIET_SIGNALS = {'SIGCHLD', 'SIGSTOP', 'SIGCONT'}  # an arrow shows the first, a span the others

Span = namedtuple('Span', 'begin end kind words')
Mark = namedtuple('Mark', 'time kind words')
Arrow = namedtuple('Arrow', 'kind begin source end target words')  # lanes and times; fork or signal
# `came` is when the first client came: time is counted from there, as starting takes long.
Picture = namedtuple('Picture', 'title begin came end lanes arrows')
# What a client of the script did: steps are (time, what, bytes), of connect, sent, finished, got,
# end and closed; port is its own, by which the server's calls name it.
Visit = namedtuple('Visit', 'number port steps')


@dataclass
class Lane:
    name: str
    kind: str                 # queue, process, thread or client
    begin: float
    end: float
    pid: int = 0
    parent: 'Lane' = None
    how: str = ''             # how it ended; empty where it went on
    spans: list = field(default_factory=list)
    marks: list = field(default_factory=list)
    serves: set = field(default_factory=set)  # the ports of the clients that it reads and writes


# ---- descriptors, as strace -yy names them -----------------------------------------------

DESCRIPTOR = re.compile(r'(\d+)<((?:->|[^>])*)>')
PEER = re.compile(r'->.*:(\d+)\]$')


def first_descriptor(text):
    """(number, what it is) of the first argument; (-1, '') where that is none."""
    match = DESCRIPTOR.match(text)
    return (int(match[1]), match[2]) if match else (-1, '')


def is_connection(what):
    """Also where its peer has gone, and strace knows no more than that it was a socket."""
    return what.startswith(('TCP', 'socket:')) and not re.search(r'\[[^>]*:\d+\]$', what) \
        or PEER.search(what) is not None


def on_file(call):
    """Whether a call is for a file, which nobody waits for."""
    return first_descriptor(call.arguments)[1].startswith('/')


def peer(text):
    match = PEER.search(text)
    return int(match[1]) if match else None


def accepted_from(call):
    """The port of the client that an accept has given, by the new descriptor or by the address."""
    new = DESCRIPTOR.match(f'{call.result}{call.rest}')
    port = peer(new[2]) if new else None
    address = re.search(r'htons\((\d+)\)', call.arguments)
    return port or (int(address[1]) if address else None)


# ---- processes ---------------------------------------------------------------------------

Birth = namedtuple('Birth', 'call thread time')


class Family:
    """Who has forked whom, who is a thread of whom, and when each ended."""

    def __init__(self, events):
        first = {}
        for event in events:
            first.setdefault(event.pid, begin_of(event))
        self.first = first
        self.births = {event.result: Birth(event, 'CLONE_THREAD' in event.arguments,
                                           min(event.end, first.get(event.result, event.end)))
                       for event in events if isinstance(event, Call) and event.name in FORKS
                       and (event.result or 0) > 0}
        self.ends = {event.pid: event for event in events if isinstance(event, End)}

    def process(self, pid):
        """The process of a thread: its first thread's number."""
        while pid in self.births and self.births[pid].thread:
            pid = self.births[pid].call.pid
        return pid

    def parent(self, pid):
        """The process that waits for a process, or None."""
        birth = self.births.get(pid)
        return self.process(birth.call.pid) if birth and not birth.thread else None


def waited_for(call):
    """The child that a wait has returned, or None."""
    if call.name == 'wait4':
        return call.result if (call.result or 0) > 0 else None
    found = re.search(r'si_pid=(\d+)', call.arguments) if call.name == 'waitid' else None
    return int(found[1]) if found and call.result == 0 else None


# ---- words -------------------------------------------------------------------------------

def count(number, what):
    return f'{number} {what}' + 's' * (number != 1)


def words_of(call, kind):
    if call.result is None:
        return f'{call.name}: it did not return'
    if call.error:
        return f'{call.name}: {call.error}'
    if kind in ('read', 'write'):
        return f'{call.name}: {count(call.result, "byte")}'
    child = waited_for(call)
    return f'{call.name}: ' + (f'process {child}' if child else f'{call.result}')


def mark_of(call, kind):
    """What a call did to its bytes, or that it failed; None where there is nothing to mark."""
    if call.error:
        harmless = kind and call.error in HARMLESS or (call.error == 'EINTR' and kind != 'accept') \
            or (call.error == 'ETIMEDOUT' and kind == 'sleep')  # it was to last no longer
        return None if harmless else Mark(call.end, 'error', words_of(call, kind))
    if call.name == 'execve':
        return Mark(call.end, 'exec', 'becomes another program: exec')
    if 'MAP_STACK' in call.arguments:
        return Mark(call.end, 'stack', "memory for a thread's stack: mmap")
    if kind not in ('read', 'write') or call.result is None:
        return None
    inside = not is_connection(first_descriptor(call.arguments)[1])
    if kind == 'read' and call.result == 0 and not inside:
        return Mark(call.end, 'eof', f'{call.name}: the client sends no more')
    if call.result <= 0 or (inside and kind == 'read'):
        return None
    return Mark(call.end, 'note' if inside else 'in' if kind == 'read' else 'out',
                words_of(call, kind))


# ---- the lanes of processes and threads ---------------------------------------------------

def process_lanes(events, family, begin, end):
    """{pid: Lane}, the server's first process first, then all others as they were made."""
    lanes, numbers = {}, {}
    for pid in sorted(family.first, key=lambda pid: family.births[pid].time if pid in family.births
                      else family.first[pid]):
        birth, ended = family.births.get(pid), family.ends.get(pid)
        if ended and ended.time < begin:
            continue  # it was needed to start, as a daemon's first process is
        what = 'thread' if birth and birth.thread else 'child' if birth else 'server'
        numbers[what] = numbers.get(what, 0) + 1
        name = what if what == 'server' and numbers[what] == 1 else f'{what} {numbers[what]}'
        lanes[pid] = Lane(name, 'thread' if what == 'thread' else 'process',
                          max(begin, birth.time if birth else family.first[pid]),
                          ended.time if ended else end, pid,
                          lanes.get(birth.call.pid) if birth else None,
                          ended.how if ended else '')
    for event in events:
        if event.pid in lanes:
            add_event(lanes[event.pid], event, begin)
    return lanes


def add_event(lane, event, begin):
    if isinstance(event, Call):
        kind = '' if on_file(event) else KIND_OF.get(event.name, '')
        until = event.end if event.end is not None else lane.end
        if kind and until > begin:
            lane.spans.append(Span(max(event.begin, begin), until, kind, words_of(event, kind)))
        mark = mark_of(event, KIND_OF.get(event.name)) if event.end is not None and \
            event.end >= begin and event.name in MARKED and \
            (lane.parent or event.name != 'execve') else None  # as strace starts a server
        lane.marks += [mark] if mark else []
        if kind in ('read', 'write'):
            lane.serves |= {peer(first_descriptor(event.arguments)[1])} - {None}
    elif isinstance(event, Stop):
        lane.spans.append(Span(event.time, lane.end, 'halted', 'halted'))
    elif isinstance(event, Signal) and event.time >= begin:
        if event.name == 'SIGCONT':
            lane.spans = [span._replace(end=event.time) if span.kind == 'halted' and
                          span.end == lane.end else span for span in lane.spans]
        elif event.name not in QUIET_SIGNALS:
            lane.marks.append(Mark(event.time, 'signal', event.name))


# ---- children that end: zombies and signals ------------------------------------------------

def add_zombies(lanes, events, family, end):
    reaped = {waited_for(event): event.end for event in events
              if isinstance(event, Call) and waited_for(event)}
    for pid, ended in family.ends.items():
        parent = family.parent(pid)
        if pid not in lanes or parent is None:
            continue
        parent_end = family.ends[parent].time if parent in family.ends else end
        if parent_end <= ended.time:
            continue  # another process has inherited it, and waits
        until = reaped.get(pid)
        words = 'zombie until its parent waits' if until else UNREAPED
        lanes[pid].spans.append(Span(ended.time, max(ended.time, until or parent_end), 'zombie',
                                     words))


def signal_arrows(lanes, events, family):
    """From each end of a child to the SIGCHLD that tells of it: its own, or the one that was
    pending when it ended, with which its own was merged."""
    signals = [event for event in events if isinstance(event, Signal) and event.name == 'SIGCHLD']
    told = {}
    for pid, ended in sorted(family.ends.items(), key=lambda item: item[1].time):
        parent = family.parent(pid)
        after = [signal for signal in signals if signal.time >= ended.time
                 and family.process(signal.pid) == parent]
        own = [signal for signal in after if signal.sender == pid]
        if pid in lanes and after:
            told.setdefault((own or after)[0], []).append(pid)
    arrows = []
    for signal, children in told.items():
        if signal.pid in lanes:
            words = 'SIGCHLD' + f': {len(children)} ended, one signal' * (len(children) > 1)
            arrows += [Arrow('signal', family.ends[pid].time, lanes[pid], signal.time,
                             lanes[signal.pid], words) for pid in children]
    return arrows


def fork_arrows(lanes, family, begin):
    return [Arrow('fork', birth.call.begin, lanes[birth.call.pid], birth.time, lanes[pid],
                  birth.call.name)
            for pid, birth in family.births.items()
            if pid in lanes and birth.call.pid in lanes and birth.call.begin >= begin]


# ---- the queue, and the clients --------------------------------------------------------------

def listening(events, family, end):
    """From when to when somebody has the listener: [(begin, end, the last process that had it)]; of
    a server that is started anew, more than once. A child has what its parent has, until it closes
    it or ends."""
    found, number, holders = [], None, set()
    turns = [(birth.time, 0, Call(pid, 'born', '', 0, '', '', birth.time, birth.time))
             for pid, birth in family.births.items() if not birth.thread]
    turns += [(event.time if isinstance(event, End) else event.end or event.begin, 1, event)
              for event in events if isinstance(event, (Call, End))]
    for time, _, event in sorted(turns, key=lambda turn: turn[:2]):
        pid, had = family.process(event.pid), len(holders)
        if isinstance(event, End):
            holders -= {event.pid}
        elif event.name == 'listen' and event.result == 0:
            found += [] if holders else [(time, end, None)]
            number = first_descriptor(event.arguments)[0]
            holders.add(pid)
        elif event.name == 'born' and family.parent(pid) in holders:
            holders.add(pid)
        elif closes(event, number):
            holders.discard(pid)
        if had and not holders:
            found[-1] = (found[-1][0], time, pid)
    return found


def closes(call, number):
    """Whether a call has closed that descriptor, by its name or by putting another in its place."""
    if number is None:
        return False
    if call.name == 'close':
        return first_descriptor(call.arguments)[0] == number
    numbers = [int(found) for found in re.findall(r'(?:^|, )(\d+)', call.arguments)]
    if call.name in ('dup2', 'dup3'):
        return numbers[1:2] == [number]
    return call.name == 'close_range' and numbers[0] <= number and \
        (len(numbers) < 2 or number <= numbers[1])


def accept_times(events, visits):
    """{client's number: when it was accepted}: by its port; where that is not known, in turn."""
    calls = [event for event in events if isinstance(event, Call)
             and KIND_OF.get(event.name) == 'accept' and (event.result or -1) >= 0]
    number_of = {visit.port: visit.number for visit in visits}
    known = {number_of[accepted_from(call)]: call.end for call in calls
             if accepted_from(call) in number_of}
    unknown = [call.end for call in calls if accepted_from(call) is None]
    rest = [visit.number for visit in visits if visit.number not in known]
    return {**dict(zip(rest, unknown)), **known}


def queue_lane(name, visits, accepted, opened, closed, how):
    """The longer the queue, the more its spans say; they do not overlap."""
    lane = Lane(name, 'queue', opened, closed, how=how)
    comings = {visit.number: visit.steps[0][0] for visit in visits
               if visit.steps and opened <= visit.steps[0][0] < closed}
    leavings = {number: max(accepted.get(number, closed), came) for number, came in comings.items()}
    times = sorted({opened, closed, *comings.values(), *leavings.values()})
    for begin, end in zip(times, times[1:]):
        there = [number for number in comings if comings[number] <= begin < leavings[number]]
        if there:
            listed = ' and '.join(map(str, there))
            lane.spans.append(Span(begin, end, 'queue',
                                   f'{count(len(there), "client")} in the queue: {listed}'))
    return lane


WAITS = {'sent': 'waits for its echo', 'finished': 'waits for the end'}


def client_lane(visit):
    steps = visit.steps
    sent, got = (sum(size for _, what, size in steps if what == each) for each in ('sent', 'got'))
    wrong = f': {(sent - got) / 1024:.0f} KiB lost' if 1024 < got < sent else \
        f': {got - sent} too many' if got > sent else ''
    lane = Lane(f'client {visit.number}{wrong}', 'client', steps[0][0], steps[-1][0], how='closes')
    since = None
    for time, what, size in steps:
        if since and what in ('got', 'end', 'closed'):
            lane.spans.append(Span(since[0], time, 'read', WAITS[since[1]]))
            if what == 'closed':
                lane.marks.append(Mark(time, 'error', WAITS[since[1]] + IN_VAIN))
            since = None
        if what in ('refused', 'reset'):
            lane.marks.append(Mark(time, 'error', {'refused': 'is refused',
                                                   'reset': 'resets the connection'}[what]))
        elif what == 'sent':
            lane.marks.append(Mark(time, 'out', f'sends {count(size, "byte")}'))
        elif what == 'got':
            lane.marks.append(Mark(time, 'in', f'gets {count(size, "byte")}'))
        elif what == 'end':
            lane.marks.append(Mark(time, 'eof', 'sees the end'))
        if what in WAITS and not since:
            since = (time, what)
    return lane


# ---- all of it -------------------------------------------------------------------------------

def picture(title, events, visits):
    """Of a server's events, and what its clients did meanwhile. It begins when the server listens.
    ValueError where it never did."""
    family = Family(events)
    end = max([begin_of(event) for event in events] +
              [event.end for event in events if isinstance(event, Call) and event.end] +
              [time for visit in visits for time, _, _ in visit.steps])
    listened = listening(events, family, end)
    if not listened:
        raise ValueError('it never listened')
    begin = listened[0][0]
    lanes = process_lanes(events, family, begin, end)
    add_zombies(lanes, events, family, end)
    accepted = accept_times(events, visits)
    queues = [queue_lane('accept queue' if number == 1 else f'accept queue {number}', visits,
                         accepted, opened, closed,
                         f'closed by {lanes[last].name}' if last in lanes else 'closed')
              for number, (opened, closed, last) in enumerate(listened, 1)]
    number_of = {visit.port: visit.number for visit in visits}
    for lane in lanes.values():
        clients = sorted(number_of[port] for port in lane.serves if port in number_of)
        if len(clients) == 1 and lane.parent:
            lane.name += f', for client {clients[0]}'
    arrows = fork_arrows(lanes, family, begin) + signal_arrows(lanes, events, family)
    shown = [*queues, *lanes.values(), *(client_lane(visit) for visit in visits if visit.steps)]
    came = min([visit.steps[0][0] for visit in visits if visit.steps], default=begin)
    return Picture(title, begin, max(came, begin), end, shown, arrows)


def zombies(shown):
    """How many children nobody has waited for."""
    return sum(span.words == UNREAPED for lane in shown.lanes for span in lane.spans)


def unanswered(shown):
    """How many clients have waited in vain."""
    return sum(mark.words.endswith(IN_VAIN) for lane in shown.lanes for mark in lane.marks)


def in_words(shown):
    """What a picture shows, for those who do not see it: a sentence a lane."""
    def after(time):
        return f'{1000 * (time - shown.came):.1f} ms'

    def sentence(lane):
        told = [f'{lane.name}: from {after(lane.begin)}']
        told += [mark.words for mark in sorted(lane.marks)][:12]
        told += [f'{lane.how} at {after(lane.end)}'] if lane.how else ['goes on']
        told += [f'{span.words}, {after(span.begin)} to {after(span.end)}' for span in lane.spans
                 if span.kind == 'zombie']
        return '; '.join(told) + '.'
    return ' '.join(map(sentence, shown.lanes))
