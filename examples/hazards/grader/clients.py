"""Clients, who want back what they have sent."""
import contextlib
import select
import socket

from grader import waiting
from grader.waiting import ASLEEP, LOOK_AGAIN, Undecided, eventually


# Buffers of a client's kernel: small ones and small segments, like those of a modem, or ones that
# take 100 KB, read or not.
SMALL = ((socket.IPPROTO_TCP, socket.TCP_MAXSEG, 536), (socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 14),
         (socket.SOL_SOCKET, socket.SO_SNDBUF, 1 << 16))
LARGE = ((socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 20),)
WITHOUT_END = 1 << 20  # bytes that nobody has asked for


def connect(server, buffers=()):
    """A client's socket, which does not block; None where the server's queue has no room for it."""
    client = socket.socket()
    client.setblocking(False)
    for option in buffers:
        client.setsockopt(*option)
    try:
        with contextlib.suppress(BlockingIOError):
            client.connect(('127.0.0.1', server.port))
        there = select.poll()
        there.register(client, select.POLLOUT)
        if eventually(lambda: there.poll(LOOK_AGAIN * 1000), server):
            if error := client.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR):
                raise OSError(error, 'connect')
            return client
    except BaseException:
        client.close()
        raise
    client.close()
    return None


class Crowd:
    """Clients that come together, each with a line of its own, which it wants back. Those for whom
    the server's queue has no room have not come."""

    def __init__(self, server, count=1):
        self.server = server
        self.lost = 0  # those whom nobody listened to
        self.wanted, self.got = {}, {}
        self.ended = set()
        self.watch = select.poll()
        for number in range(count):
            try:
                client = connect(server)
            except ConnectionError:
                self.lost += 1
                continue
            if client is None:
                break
            self.wanted[client], self.got[client] = f'client {number}\n'.encode(), b''
            self.watch.register(client, select.POLLIN)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def ask(self):
        """Each sends its line."""
        for client, line in self.wanted.items():
            with contextlib.suppress(OSError):
                client.send(line)
        return self

    def finish(self):
        """Each says that it sends no more."""
        for client in self.wanted:
            with contextlib.suppress(OSError):
                client.shutdown(socket.SHUT_WR)
        return self

    def close(self):
        for client in self.wanted:
            client.close()

    def hear(self, seconds=LOOK_AGAIN):
        """Takes what has come, or comes meanwhile."""
        client_of = {client.fileno(): client for client in self.wanted}
        for number, _ in self.watch.poll(seconds * 1000):
            client = client_of[number]
            try:
                data = client.recv(1 << 16)
            except OSError:
                data = b''
            self.got[client] += data
            if not data:
                self.ended.add(client)
            if not data or len(self.got[client]) > WITHOUT_END:
                self.watch.unregister(client)

    def served(self, ended=False):
        """How many have been answered, and with `ended` have seen the end as well."""
        answers = self.server.facts.answers
        return sum(answers(line, self.got[client]) and (not ended or client in self.ended)
                   for client, line in self.wanted.items())

    def unserved(self, ended=False, asleep=ASLEEP):
        """Waits until all are served, or there is no hope for them. How many are not."""
        def news():
            return len(self.ended), sum(map(len, self.got.values()))

        count = len(self.wanted)
        if not eventually(lambda: count in (self.served(ended), len(self.ended)), self.server, news,
                          self.hear, asleep) and self.server.dozes():
            raise Undecided(f'for {waiting.PATIENCE:g} s it slept, and may answer later')
        return self.lost + count - self.served(ended)


def visit(server, count=1):
    """Clients who send, finish, and stay until the end, if there is one with this server. Returns
    how many were not served so."""
    with Crowd(server, count) as crowd:
        return crowd.ask().finish().unserved(ended=server.facts.closes)
