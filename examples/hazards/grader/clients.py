"""Clients, who want back what they have sent."""
import contextlib
import select
import socket

from grader import waiting
from grader.waiting import ASLEEP, LOOK_AGAIN, eventually


def connect(port, small=False):
    """A client's socket, which does not block once it is connected. With small segments, like those
    of a modem, the kernel's buffers are small, too."""
    client = socket.socket()
    if small:
        client.setsockopt(socket.IPPROTO_TCP, socket.TCP_MAXSEG, 536)
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 14)
        client.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1 << 16)
    client.settimeout(waiting.PATIENCE)
    try:
        client.connect(('127.0.0.1', port))
    except OSError:
        client.close()
        raise
    client.setblocking(False)
    return client


class Crowd:
    """Clients that come together, each with a line of its own, which it wants back."""

    def __init__(self, server, count=1):
        self.server = server
        self.lost = 0  # those that could not even connect
        self.wanted, self.got = {}, {}
        self.ended = set()
        self.watch = select.poll()
        for number in range(count):
            try:
                client = connect(server.port)
            except OSError:
                self.lost += 1
                continue
            self.wanted[client], self.got[client] = f'client {number}\n'.encode(), b''

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def ask(self):
        """Each sends its line."""
        for client, line in self.wanted.items():
            with contextlib.suppress(OSError):
                client.send(line)
            self.watch.register(client, select.POLLIN)
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
                data = client.recv(4096)
            except OSError:
                data = b''
            self.got[client] += data
            if not data:
                self.ended.add(client)
                self.watch.unregister(client)

    def served(self, ended=False):
        """How many have been answered, and with `ended` have seen the end as well."""
        return sum(self.got[client] == line and (not ended or client in self.ended)
                   for client, line in self.wanted.items())

    def unserved(self, ended=False, asleep=ASLEEP):
        """Waits until all are served, or there is no hope for them. How many are not."""
        def news():
            return len(self.ended), sum(map(len, self.got.values()))

        count = len(self.wanted)
        eventually(lambda: count in (self.served(ended), len(self.ended)), self.server, news,
                   self.hear, asleep)
        return self.lost + count - self.served(ended)


def visit(server, count=1):
    """Clients who send, finish, and stay until the end. Returns how many were not served so."""
    with Crowd(server, count) as crowd:
        return crowd.ask().finish().unserved(ended=True)
