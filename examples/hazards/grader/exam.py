"""What kind of server this is, before it is looked at for mistakes: is it an echo server at all,
and what does it make for a client, a process, a thread or nothing? It says which rows apply."""
import contextlib
import errno
import os
import select
import socket
from dataclasses import dataclass

from grader.clients import LARGE, WITHOUT_END, connect
from grader.processes import children, state, threads
from grader.waiting import OutOfBounds, Undecided, eventually

LINE = b'a line 1\n'
LONG = b''.join(b'%07d\n' % number for number in range(12800))  # 100 KB
TEMPLATE = '{}'  # the answer to a message; in place of {line}: the message without newline. --reply


def reply_to(message):
    """What the answer to a message is to be."""
    before, line, after = TEMPLATE.partition('{line}')
    if not line:
        before, _, after = TEMPLATE.partition('{}')
    return before.encode() + (message.rstrip(b'\n') if line else message) + after.encode()


@dataclass
class Facts:
    """What the examination has found. Until then the best is thought of a server."""
    problem: str = ''  # why it is no echo server
    silent: bool = False  # it answers nothing at all
    makes: str = 'nothing'  # for a client: a process, a thread; or one that stays, as in pools
    ends: bool = False  # while clients come and go
    spins: bool = False  # when a client has left
    closes: bool = True  # a connection whose client has finished
    repeats: bool = True  # it answers the second message of a client, too

    def answers(self, message, got):
        """Whether that is an answer. From one that is no echo server anything is."""
        return got != b'' if self.problem else got == reply_to(message)


class Talk:
    """One client who looks at each byte."""

    def __init__(self, server):
        self.server, self.got, self.ended = server, b'', False
        try:
            self.client = connect(server, LARGE)
        except ConnectionError as refusal:
            raise Undecided('nobody listens any more') from refusal
        if self.client is None:
            raise Undecided('its queue has no room for one client')

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.client.close()

    def move(self, unsent=b''):
        """Takes what comes, and sends what there is room for. Returns what is still to be sent."""
        readable, writable, _ = select.select([] if self.ended else [self.client],
                                              [self.client] if unsent else [], [], 0.004)
        try:
            if readable:
                data = self.client.recv(1 << 16)
                self.got += data
                self.ended = not data or len(self.got) > WITHOUT_END
            if writable:
                unsent = unsent[self.client.send(unsent):]
        except ConnectionError:
            self.ended = True
        return unsent

    def say(self, message, enough=0):
        """Sends a message, and hears until `enough` bytes are there in all, or the end; and what
        more there is when the server has done its work. Whether they have come."""
        unsent = message

        def move():
            nonlocal unsent
            unsent = self.move(unsent)

        def done():
            return self.ended or not unsent and len(self.got) >= enough

        if not eventually(done, self.server, lambda: (len(self.got), len(unsent)), move):
            if self.server.dozes():
                raise Undecided('it slept, and may answer later')
        eventually(lambda: self.ended or self.server.sleeps(), nap=self.move)
        self.move()
        return len(self.got) >= enough

    def finish(self):
        """Says that it sends no more. Whether the end has come."""
        with contextlib.suppress(OSError):
            self.client.shutdown(socket.SHUT_WR)
        return eventually(lambda: self.ended, self.server, lambda: len(self.got), self.move) and \
            len(self.got) <= WITHOUT_END


def difference(server, message, pieces=1, finish=False):
    """How the answer to a message differs, in words; '' where it does not."""
    size, want = -(-len(message) // pieces), reply_to(message)
    with Talk(server) as talk:
        for begin in range(0, len(message), size):
            last = begin + size >= len(message)
            heard = talk.say(message[begin:begin + size], len(want) if last and not finish else 0)
        if finish:
            talk.finish()
        got, ended = talk.got, talk.ended
        if not heard:
            talk.finish()  # else the server would see a reset, which is another matter
    if got == want or (not server.facts.repeats and want.startswith(got) and ended):
        return ''  # whoever ends the connection after one message has not read the others
    return (f'sent {len(message)} bytes, got {len(got) or "nothing"}'
            + (', other ones' if len(got) == len(message) else
               ': adds text (--reply)' if message in got and b'\0' not in got else ''))


def differences(server):
    """How the answers differ from what was sent, in words: a line; a zero byte, 100 KB, a line in
    three pieces; and where the client says at once that it has finished."""
    first = difference(server, LINE)
    if first or TEMPLATE != '{}':
        return [first] if first else []
    return [f'{what}: {how}' for what, how in (
        ('a zero byte', difference(server, b'a\0b\n')), ('100 KB', difference(server, LONG)),
        ('in pieces', difference(server, b'in pieces\n', pieces=3)),
        ('half-close', difference(server, LINE, finish=True))) if how]


def refuses_second(server):
    """Whether a client's second message is not answered."""
    with Talk(server) as talk:
        if not talk.say(LINE, 1):
            raise Undecided('the first message was not answered')
        answered = talk.say(LINE, len(talk.got) + 1)
    # Whatever is no echo server may wait for more, if it does not send the client away.
    return not answered and (talk.ended or not server.facts.problem)


def wants_newline(server):
    """Whether nothing is answered until a newline has come."""
    with Talk(server) as talk:
        return not talk.say(b'abc', 1) and not talk.ended and talk.say(b'\n', 1)


def stops_others(server):
    """Whether a client is not answered while another is there, and silent."""
    with Talk(server) as silent:
        silent.say(b'')
        with Talk(server) as other:
            if other.say(LINE, 1):
                return False
            silent.client.close()
            if other.say(b'', 1):
                return True
    raise Undecided('the second client was not answered when the first had gone, either')


def made_for_a_client(server):
    """(What it makes for a client who says a line, and leaves; whether it spins then: it has burnt
    a second of processor time, and never slept)."""
    def new():
        return (set(children(server.pid)) - workers, set(threads(server.pid)) - own)

    def gone():
        return all(state(f'/proc/{pid}') in 'ZX' for pid in made) and \
            all(state(path) == 'X' for path in more)

    def spins():
        return server.cpu() - burnt_before > 1

    workers, own = set(children(server.pid)), set(threads(server.pid))
    with Talk(server) as talk:
        eventually(lambda: any(new()), server)
        eventually(server.sleeps)  # a child that makes one for the client, and ends, is not it
        made, more = new()
        talk.say(LINE)
    burnt_before = server.cpu()
    eventually(lambda: gone() or spins(), server)
    if not gone() and server.dozes():
        raise Undecided('it slept, and may be done with its client later')
    eventually(lambda: server.sleeps() or spins(), news=server.cpu)
    what = 'a process' if made else 'a thread' if more else 'nothing'
    return what + ('' if gone() else ' that stays'), spins() and not server.sleeps()


def find_out(server, facts):
    facts.makes, facts.spins = made_for_a_client(server)
    if facts.spins:
        return
    facts.problem = difference(server, LINE)
    facts.silent = facts.problem.endswith('nothing')
    if facts.silent:
        return
    facts.repeats = not refuses_second(server)
    facts.problem = '; '.join(differences(server))
    with Talk(server) as talk:
        talk.say(LINE, 1)
        facts.closes = talk.finish()


def examine(server):
    """The facts of a server. Where it spins, or ends on the way, it is why the rest is unknown."""
    facts = server.facts = Facts()
    try:
        find_out(server, facts)
    except OutOfBounds:
        raise
    except Undecided:
        if not eventually(server.has_ended, server):
            raise
    facts.ends = server.has_ended()
    if facts.ends and os.strerror(errno.EAGAIN) in server.log():
        raise Undecided('it needs more processes or threads than a trial may have')
    return facts
