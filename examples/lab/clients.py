"""clients.py: clients of our own, which do nothing but stay, and can be asked whether they are
still served. What works a server hard is echoload; models.py starts both.
"""
import contextlib
import selectors
import socket

from models import Patience, tree

SILENCE = 1.0  # seconds that a server sleeps until the clients that wait count as not served
LOOK = 0.02    # seconds without an answer until it is looked at whether it sleeps
BATCH = 64     # clients that connect at the same time


class Clients:
    """Each has echoed a byte when it was opened. In `with` they are closed at the end."""

    def __init__(self, server):
        host, port = server.address.rsplit(':', 1)
        self.server, self.address, self.sockets = server, (host, int(port)), []

    def open_up_to(self, count):
        """Opens more. Returns how many are served then: fewer when no more get an answer."""
        while len(self.sockets) < count:
            new = [self.begin() for _ in range(min(BATCH, count - len(self.sockets)))]
            served = self.served(new)
            self.sockets += served
            if len(served) < len(new):
                for each_socket in set(new) - set(served):
                    each_socket.close()
                break
        return len(self.sockets)

    def begin(self):
        client = socket.socket()
        client.settimeout(SILENCE)
        with contextlib.suppress(OSError):
            client.connect(self.address)
            client.sendall(b'x')
        return client

    def served(self, clients):
        """Those that are answered before the server has slept for a while."""
        answered, patience = [], self.patience()
        with selectors.DefaultSelector() as selector:
            for client in clients:
                selector.register(client, selectors.EVENT_READ)
            while selector.get_map():
                ready = selector.select(LOOK)
                if ready:
                    patience = self.patience()
                elif patience.is_out():
                    break
                for key, _ in ready:
                    selector.unregister(key.fileobj)
                    with contextlib.suppress(OSError):
                        if key.fileobj.recv(16):
                            answered.append(key.fileobj)
        return answered

    def patience(self):
        return Patience(SILENCE, lambda: tree(self.server.pid))

    def still_served(self):
        """How many echo another byte."""
        for client in self.sockets:
            with contextlib.suppress(OSError):
                client.send(b'y')
        return len(self.served(self.sockets))

    def close(self):
        for client in self.sockets:
            client.close()
        self.sockets = []

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()
