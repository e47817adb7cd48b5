"""The clients of a soak: echoload in all its behaviours, a few at a time, drawn from a deck.

A load is one run of echoload. Which loads there are, and in which order, depends on the seed
alone; when each of them begins depends on the machine. Lanes run them: as many loads at once.

What the clients count is held against what the server counts (tests/soak/run), so for each report
it is told here between which bounds the number of its connections lies: one for each request
where a request is a connection; and where connections are kept, each of those, and at most
one more for each that failed, as that is opened again.
"""
import json
import os
import random
import signal
import subprocess
from collections import Counter, namedtuple

from harness import SANITIZERS, program

# The server's limits, which some of these loads are to reach.
MOST = 64  # -c
MOST_OF_A_SOURCE = 24  # -C: all clients of a Unix socket are one
IDLE, LIFETIME = 0.5, 1.0  # -t, -T: seconds

TCP, UNIX, DENIED = 'TCP', 'Unix socket', 'denied'

# A card of the deck: where to, how many connections, for how many seconds, bytes of a message.
Card = namedtuple('Card', 'name mode where connections seconds sizes', defaults=(None,))
SHORT, BEYOND_IDLE, BEYOND_LIFETIME = (0.1, 1), (1.5 * IDLE, 3 * IDLE), (LIFETIME, 1.6 * LIFETIME)
MESSAGES = (1, 5000)
DECK = [
    *[Card('connect', 'connect', TCP, (1, 32), SHORT, MESSAGES)] * 4,
    Card('connect, Unix socket', 'connect', UNIX, (1, MOST_OF_A_SOURCE), SHORT, MESSAGES),
    Card('connect, beyond -c', 'connect', TCP, (2 * MOST, 4 * MOST), SHORT, MESSAGES),
    Card('connect, beyond -C', 'connect', UNIX, (2 * MOST_OF_A_SOURCE, 4 * MOST_OF_A_SOURCE),
         SHORT, MESSAGES),
    Card('hold, beyond -c', 'hold', TCP, (MOST + 1, MOST + MOST // 2), (0.1, IDLE / 2), MESSAGES),
    Card('hold, beyond -C', 'hold', UNIX, (2 * MOST_OF_A_SOURCE, 4 * MOST_OF_A_SOURCE),
         (0.1, IDLE / 2), MESSAGES),
    Card('connect, denied', 'connect', DENIED, (1, 8), SHORT, MESSAGES),
    *[Card('storm', 'storm', TCP, (1, 32), SHORT)] * 3,
    *[Card('reset', 'reset', TCP, (1, 32), SHORT, MESSAGES)] * 2,
    *[Card('halfclose', 'halfclose', TCP, (1, 32), SHORT, MESSAGES)] * 2,
    Card('ping', 'ping', TCP, (1, 16), SHORT, MESSAGES),
    Card('ping, beyond -T', 'ping', TCP, (2, 6), BEYOND_LIFETIME, MESSAGES),
    Card('stream', 'stream', TCP, (1, 4), SHORT, (100, 65536)),
    Card('hold', 'hold', TCP, (1, MOST // 2), (0.1, IDLE / 2), MESSAGES),
    Card('hold, beyond -t', 'hold', TCP, (1, MOST // 2), BEYOND_IDLE, MESSAGES),
    Card('dribble', 'dribble', TCP, (1, 8), SHORT, (1, 200)),
    Card('nonreading', 'nonreading', TCP, (2, 8), BEYOND_IDLE),
]
# Of the loads that open a connection for each request, and whom nobody refuses, this share
# does so on a schedule: so many a second, which a slow machine can do as well.
ON_SCHEDULE = 0.2
RATES = (10, 300)
# The server's limits end whatever hangs long before; this is for a machine that does all slowly.
PATIENCE = '2m'
KEEPS = {'ping', 'stream', 'dribble', 'hold', 'nonreading'}
REOPENS = {'ping', 'stream', 'dribble'}

FAILURES = ['connect', 'reset', 'early', 'wrong', 'timeout']


class Load:
    """One run of echoload, and what it reports."""

    def __init__(self, card, rng, addresses):
        self.name, self.mode = card.name, card.mode
        self.connections = rng.randint(*card.connections)
        self.arguments = [card.mode, '-o', 'json', '-c', str(self.connections), '-t', PATIENCE,
                          '-d', f'{rng.uniform(*card.seconds):.3f}']
        if card.sizes is not None:
            self.arguments += ['-s', str(rng.randint(*card.sizes))]
        if card.mode not in KEEPS and card.where == TCP and rng.random() < ON_SCHEDULE:
            self.arguments += ['-r', str(rng.randint(*RATES))]
        self.arguments.append(addresses[card.where])
        self.process = None

    def __str__(self):
        return 'echoload ' + ' '.join(self.arguments)

    def start(self):
        """In a session of its own: Ctrl-C is for the soak, which ends it then."""
        self.process = subprocess.Popen(
            [program('echoload'), *self.arguments], stdin=subprocess.DEVNULL, text=True,
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, start_new_session=True,
            env={**os.environ, **SANITIZERS})

    def has_ended(self):
        return self.process.poll() is not None

    def interrupt(self):
        if not self.has_ended():
            self.process.send_signal(signal.SIGINT)

    def end_by_force(self):
        if not self.has_ended():
            self.process.kill()
        self.process.communicate()

    def report(self):
        """What it says at its end: {name: number}, or None when it says nothing of the kind."""
        output, self.complaint = self.process.communicate()
        if self.process.returncode not in (0, 1):
            return None
        return json.loads(output)['summary']

    def bounds(self, report):
        """Between which numbers of connections it has made."""
        failed = report['failed']
        if self.mode not in KEEPS:
            done = report['count'] + report['late'] + failed
            return done - report['failed-connect'], done
        again = failed if self.mode in REOPENS else 0
        return self.connections - report['failed-connect'], self.connections + again


class ClientCount:
    """What all clients together have counted."""

    def __init__(self):
        self.loads = Counter()
        self.connections = Counter()  # by load: the lower bound
        self.failed_loads = Counter()
        self.failed = Counter()  # by why
        self.least = self.most = 0  # bounds of the connections

    def add(self, load, report):
        least, most = load.bounds(report)
        self.loads[load.name] += 1
        self.connections[load.name] += least
        self.least += least
        self.most += most
        self.failed_loads[load.name] += report['failed']
        for why in FAILURES:
            self.failed[why] += report[f'failed-{why}']

    def add_connections(self, name, count):
        """Connections of clients other than echoload."""
        self.loads[name] += 1
        self.connections[name] += count
        self.least += count
        self.most += count


class Lanes:
    """As many loads at once, each followed by the next of the deck."""

    def __init__(self, count, seed, addresses):
        self.count = count
        self.rng = random.Random(f'{seed} loads')
        self.addresses = addresses
        self.deck = []
        self.decks = 0  # that were begun
        self.running = []

    def next_load(self):
        if not self.deck:
            self.deck = [card for card in DECK if card.where in self.addresses]
            self.rng.shuffle(self.deck)
            self.decks += 1
        return Load(self.deck.pop(), self.rng, self.addresses)

    def fill(self):
        while len(self.running) < self.count:
            load = self.next_load()
            load.start()
            self.running.append(load)

    def take_ended(self):
        """The loads that have ended since."""
        ended = [load for load in self.running if load.has_ended()]
        self.running = [load for load in self.running if load not in ended]
        return ended

    def end_by_force(self):
        for load in self.running:
            load.end_by_force()
        self.running = []
