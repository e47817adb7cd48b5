"""workloads.py: what is measured. Each workload is a function that starts a server, does one
measurement and returns rows for its CSV file; WORKLOADS at the end lists them with their columns.

A measurement is of one model at one step (a number of clients, or a kind of misbehaviour). The
runner repeats it in rounds, in each of which all models take their turn, so that a slow minute of
the machine hits all alike. Everything has a deadline: a server that does not answer is a row
with a note, never a wait without end.
"""
import contextlib
import os
import selectors
import signal
import socket
import time
from collections import namedtuple

from models import (Load, LoadFailed, Server, ServerFailed, children, is_zombie, load,
                    main_thread_seconds, open_descriptors, pss_kib, summed, threads, tree, until)

SILENCE = 1.0    # seconds without any answer until waiting clients count as not served
BATCH = 64       # clients that connect at the same time
STALL = 0.2      # seconds for which a server is stopped, to see who notices
PATIENCE = 1.0   # seconds after which echoload gives a connection up, beside misbehaving ones
CLEANING = 2.0   # seconds that a server has to clean up behind clients: no zombie outlives one
WAVE = 200       # clients that leave at once, to see how the server cleans up behind them
CONNECTIONS = 5000  # Stevens, Figure 30.1: so many, at most CALLERS at once, of REQUEST bytes
CALLERS, REQUEST = 10, 4000
SCHEDULED = 2000    # messages a second of the fixed schedule, over SCHEDULERS connections
SCHEDULERS = 8
OTHERS, WRONGDOERS = 4, 32

# What a run is: quick or full. `seconds` is the length of one measurement, `clients` the most at
# once; the lists are the steps of the workloads.
Settings = namedtuple('Settings', 'name seconds rounds clients calling talking held')
QUICK = Settings('quick', 0.15, 5, 2500, [1, 8, 64], [1, 8, 128], [0, 800, 2500])
FULL = Settings('full', 1.0, 5, 10000, [1, 8, 64, 256, 1024], [1, 8, 64, 256, 1024, 4096],
                [0, 800, 2000, 5000, 10000])


def limited(settings, clients):
    """The same for at most so many clients."""
    def below(steps):
        return sorted({min(step, clients) for step in steps})
    return settings._replace(clients=clients, calling=below(settings.calling),
                             talking=below(settings.talking), held=below(settings.held))


class Lab:
    """What a workload needs to know: where the programs are, the settings, and how many clients
    each model was found to serve at once."""

    def __init__(self, build, settings, port=0):
        self.build, self.settings, self.port = build, settings, port
        self.capacity = {}

    def start(self, model):
        return Server(model, self.settings.clients, self.port)

    def load(self, server, mode, **options):
        """Runs echoload against it; raises ServerFailed if the server died meanwhile."""
        try:
            result = load(self.build, mode, server.address, **options)
        except LoadFailed:
            server.check(STALL)  # that it died explains more
            raise
        server.check()
        return result

    def fits(self, model, clients):
        """How many of so many clients it serves at once."""
        return min(clients, self.capacity.get(model.name, clients))


def too_many(model, lab, clients):
    """Why a step is left out, if it is."""
    served = lab.fits(model, clients)
    return f'serves {served} at a time' if served < clients else None


# ---- connections and messages ------------------------------------------------------------

def each(result, seconds):
    """Microseconds of processor time for each of what was counted."""
    count = result['count'] + result['late']
    return seconds / count * 1e6 if count else None


def latencies(result):
    """What the rows of a workload have of echoload's report, under the same names."""
    return {name: result.get(name) for name in (
        'rate', 'failed', 'p50', 'p90', 'p99', 'max', 'connect-p50', 'message-p50', 'client-busy')}


def measure_connect(lab, model, clients):
    """So many clients call again and again: connect, one message, close."""
    with lab.start(model) as server:
        result = lab.load(server, 'connect', c=clients, d=lab.settings.seconds, t=PATIENCE * 5)
        return [{**latencies(result), 'cpu_us': each(result, server.stop())}]


def measure_ping(lab, model, clients):
    """So many clients stay connected and send one message after the other."""
    note = too_many(model, lab, clients)
    if note:
        return [{'note': note}]
    with lab.start(model) as server:
        result = lab.load(server, 'ping', c=clients, d=lab.settings.seconds, t=PATIENCE * 5)
        return [{**latencies(result), 'cpu_us': each(result, server.stop())}]


def measure_figure_30_1(lab, model, _):
    """Processor time of the server for Stevens' 5,000 connections. Measured for a time, and scaled
    from the connections that were served in it."""
    with lab.start(model) as server:
        result = lab.load(server, 'connect', c=CALLERS, s=REQUEST, d=lab.settings.seconds,
                          t=PATIENCE * 5)
        served, seconds = result['count'] + result['late'], server.stop()
        return [{'connections': served, 'failed': result['failed'],
                 'cpu_s': seconds / served * CONNECTIONS if served else None}]


# ---- live clients ------------------------------------------------------------------------

def measure_held(lab, model, _):
    """What a connection costs while more and more others are held open: of all processes, and of
    the parent's own main thread, which all connections have to pass."""
    rows, held, holders = [], 0, contextlib.ExitStack()
    with lab.start(model) as server, holders:
        idle = size(server)
        for step in lab.settings.held:
            note = too_many(model, lab, step + 8)
            if note:
                rows.append({'clients': step, 'note': note})
                continue
            if step > held:
                holders.enter_context(hold(lab, server, step - held, idle + step))
            held = step
            before = main_thread_seconds(server.pid)
            result = lab.load(server, 'connect', c=8, d=lab.settings.seconds * 1.5, t=PATIENCE * 5)
            spent = main_thread_seconds(server.pid) - before
            rows.append({'clients': step, 'rate': result['rate'], 'failed': result['failed'],
                         'p50': result.get('p50'), 'main_us': each(result, spent)})
    return rows


def hold(lab, server, clients, full):
    """Opens so many connections and keeps them, until it is left. All are open on return, when
    the server has grown to the size `full`."""
    def all_open():
        return size(server) >= full or holder.process.poll() is not None

    holder = Load(lab.build, 'hold', server.address, c=clients, d=600)
    try:
        if not until(all_open, 60) or holder.process.poll() is not None:
            server.check(STALL)
            raise ServerFailed(f'did not serve {clients} more clients at once')
    except BaseException:
        holder.__exit__()
        raise
    return holder


class Clients:
    """Clients of our own that do nothing but stay: each has echoed a byte when it was opened."""

    def __init__(self, address):
        host, port = address.rsplit(':', 1)
        self.address, self.sockets = (host, int(port)), []

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

    @staticmethod
    def served(clients):
        """Those that are answered before nothing has come for a while."""
        answered = []
        with selectors.DefaultSelector() as selector:
            for client in clients:
                selector.register(client, selectors.EVENT_READ)
            while selector.get_map():
                ready = selector.select(SILENCE)
                if not ready:
                    break
                for key, _ in ready:
                    selector.unregister(key.fileobj)
                    with contextlib.suppress(OSError):
                        if key.fileobj.recv(16):
                            answered.append(key.fileobj)
        return answered

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


def watch_cleaning(server, idle):
    """After all clients have left at once: the most zombies seen, the longest that one was seen,
    and when the server had as few processes, threads and descriptors as `idle`, all in
    milliseconds; None if not within CLEANING. Left is what was a zombie for half of that. A look
    takes some milliseconds, so what is shorter than that may be missed."""
    start, seen, peak = time.monotonic(), {}, 0
    while True:
        now = time.monotonic()
        zombies = [pid for pid in children(server.pid) if is_zombie(pid)]
        peak = max(peak, len(zombies))
        for pid in zombies:
            seen.setdefault(pid, [now, now])[1] = now
        clean = size(server) <= idle
        if clean or now - start > CLEANING:
            ages = [last - first for first, last in seen.values()]
            return {'zombies_peak': peak, 'zombies_left': sum(age > CLEANING / 2 for age in ages),
                    'zombie_ms': max(ages, default=0) * 1000,
                    'clean_ms': (now - start) * 1000 if clean else None}


def size(server):
    """Processes, threads and descriptors of the server, in one number that a client adds to."""
    pid = server.pid
    return len(children(pid)) + summed([pid], threads) + summed([pid], open_descriptors)


def census(server):
    pids = tree(server.pid)
    return {'processes': len(pids), 'threads': summed(pids, threads),
            'descriptors': summed(pids, open_descriptors), 'pss_kib': summed(pids, pss_kib)}


def crowd(most):
    """1, 10, 100 ... clients, and the most."""
    return sorted({10 ** power for power in range(6) if 10 ** power < most} | {most})


def measure_lifecycle(lab, model, _):
    """Clients come, stay, and leave together: what the server has of each, and what stays behind.
    Here it shows, too, how many a model serves at once."""
    with lab.start(model) as server, Clients(server.address) as clients:
        fresh = size(server)
        clients.open_up_to(1)
        clients.close()  # a pool that is made for the first client is there now
        until(lambda: size(server) <= fresh, STALL)
        idle, rows = size(server), [{'clients': 0, 'served': 0, **census(server)}]
        served = clients.open_up_to(min(WAVE, lab.settings.clients))
        clients.close()
        rows[0].update(watch_cleaning(server, idle), wave=served)
        for step in crowd(lab.settings.clients):
            served = clients.open_up_to(step)
            server.check(0 if served else STALL)
            rows.append({'clients': step, 'served': served, **census(server)})
            if served < step:
                rows[-1]['note'] = f'serves {served} at a time'
                break
        return rows


# ---- stalls and misbehaviour -------------------------------------------------------------

def measure_stall(lab, model, loop):
    """A server is stopped for a moment while clients send: as fast as answers come (closed), or on
    a schedule that does not wait for the server, with latency from when each was due."""
    connections = lab.fits(model, SCHEDULERS)
    schedule = {'r': SCHEDULED} if loop == 'schedule' else {}
    seconds = max(lab.settings.seconds * 4, STALL * 4)
    with lab.start(model) as server:
        with Load(lab.build, 'ping', server.address, c=connections, d=seconds, **schedule) as run:
            time.sleep(seconds / 3)
            server.signal_all(signal.SIGSTOP)
            try:
                time.sleep(STALL)
            finally:
                server.signal_all(signal.SIGCONT)
            result = run.result()
        server.check()
        names = ('rate', 'count', 'failed', 'p50', 'p90', 'p99', 'p99.9', 'p99.99', 'max')
        return [{'connections': connections, **{name: result.get(name) for name in names}}]


MISCHIEF = ('none', 'reset', 'halfclose', 'dribble', 'deaf', 'storm', 'crash')


def measure_misbehaviour(lab, model, kind):
    """What some clients do to the others: a few well-behaved ones beside 32 that are not."""
    if kind == 'crash':
        return measure_crash(lab, model)
    others, beside = lab.fits(model, OTHERS), contextlib.ExitStack()
    with lab.start(model) as server, beside:
        if kind != 'none':
            wrong = beside.enter_context(
                Load(lab.build, kind, server.address, c=WRONGDOERS, d=600))
            if wrong.wait_end(0.1):  # else they are at it, whatever that is
                wrong.result()
                raise LoadFailed(f'the {kind} clients ended early')
        result = lab.load(server, 'ping', c=others, d=lab.settings.seconds, t=PATIENCE)
        return [{'others': others, **latencies(result)}]


def measure_crash(lab, model):
    """A process that serves a client dies by SIGSEGV: how many of the other clients it takes."""
    with lab.start(model) as server, Clients(server.address) as clients:
        served = clients.open_up_to(lab.fits(model, OTHERS + 1))
        serving = children(server.pid)
        os.kill(serving[0] if serving else server.pid, signal.SIGSEGV)
        if serving:
            until(lambda: is_zombie(serving[0]) or serving[0] not in children(server.pid), SILENCE)
        else:
            server.wait_end(SILENCE)
        lost = served - clients.still_served()
        with Clients(server.address) as late:
            welcome = late.open_up_to(1)
        return [{'others': served - 1, 'lost': max(lost - 1, 0), 'welcome': welcome}]


# ---- the list ----------------------------------------------------------------------------

Workload = namedtuple('Workload', 'name measure step steps rounds columns what')


def steps_of(name):
    return lambda settings: getattr(settings, name)


def once(_):
    return ['']


# The order is that of the report, but for the lifecycle, which is first as others need to know
# how many clients a model serves at once.
WORKLOADS = {each_one.name: each_one for each_one in [
    Workload('lifecycle', measure_lifecycle, 'clients', once, lambda rounds: 1,
             ['served', 'processes', 'threads', 'descriptors', 'pss_kib', 'wave', 'zombies_peak',
              'zombies_left', 'zombie_ms', 'clean_ms'],
             'clients that come, stay and leave together: memory, descriptors, zombies'),
    Workload('connect', measure_connect, 'clients', steps_of('calling'), lambda rounds: rounds,
             ['rate', 'failed', 'p50', 'p90', 'p99', 'max', 'connect-p50', 'message-p50', 'cpu_us',
              'client-busy'], 'connections a second, each with one message'),
    Workload('ping', measure_ping, 'clients', steps_of('talking'), lambda rounds: rounds,
             ['rate', 'failed', 'p50', 'p90', 'p99', 'max', 'cpu_us', 'client-busy'],
             'messages a second on connections that stay'),
    Workload('held', measure_held, 'clients', once, lambda rounds: max(rounds // 2, 1),
             ['rate', 'failed', 'p50', 'main_us'],
             'what a connection costs while others are held open'),
    Workload('stall', measure_stall, 'loop', lambda _: ['closed', 'schedule'], lambda rounds: 1,
             ['connections', 'rate', 'count', 'failed', 'p50', 'p90', 'p99', 'p99.9', 'p99.99',
              'max'],
             'a server that stops for a moment: closed loop against fixed schedule'),
    Workload('misbehaviour', measure_misbehaviour, 'kind', lambda _: MISCHIEF, lambda rounds: 1,
             ['others', 'lost', 'welcome', 'rate', 'failed', 'p50', 'p90', 'p99', 'max'],
             'what misbehaving clients do to the others'),
    Workload('figure-30.1', measure_figure_30_1, 'clients', once,
             lambda rounds: rounds, ['connections', 'failed', 'cpu_s'],
             "Stevens' figure: processor time for 5,000 connections"),
]}
