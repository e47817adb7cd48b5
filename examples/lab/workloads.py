"""workloads.py: what is measured. Each workload is a function that starts a server, does one
measurement and returns rows for its CSV file; WORKLOADS at the end lists them with their columns.

A measurement is of one model at one step (a number of clients, or a kind of misbehaviour). The
runner repeats it in rounds, in each of which all models take their turn, so that a slow minute of
the machine hits all alike. Everything has a deadline: a server that does not answer is a row
with a note, never a wait without end.
"""
import contextlib
import os
import re
import signal
import time
from collections import namedtuple
from pathlib import Path

from clients import Clients
from models import (GIVE_UP, Load, LoadFailed, NotConnected, Patience, Server, ServerFailed,
                    children, is_zombie, main_thread_seconds, open_descriptors, pss_kib, sockets,
                    summed, threads, tree, until, until_asleep)

STALL = 0.1      # seconds for which a server is stopped, to see who notices
PATIENCE = 1.0   # seconds after which echoload gives a connection up, beside misbehaving ones
LAST_WORDS = 2.0  # seconds in which a server that fails its clients may turn out to be dying
CLEANING = 1.0   # seconds that a server sleeps until nothing more is cleaned up behind clients
WAVE = 200       # clients that leave at once, to see how the server cleans up behind them
CONNECTIONS = 5000  # Stevens, Figure 30.1: so many, at most CALLERS at once, of REQUEST bytes
CALLERS, REQUEST = 10, 4000
SCHEDULED = 2000    # messages a second of the fixed schedule, over SCHEDULERS connections
SCHEDULERS = 8
OTHERS, WRONGDOERS = 4, 32
FEW = 3             # rounds of what takes long
LONGEST = 10.0      # seconds, in which a slow server may make fewer than CONNECTIONS

# What a run is: quick or full. `seconds` is the length of one measurement, `clients` the most at
# once; the lists are the steps of the workloads.
Settings = namedtuple('Settings', 'name seconds rounds clients calling talking held')
QUICK = Settings('quick', 0.1, 5, 2500, [1, 8, 64], [1, 8, 32, 128],
                 [0, 800, 2500])
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
        """Runs echoload against it, to its end."""
        with Load(self.build, mode, server.address, **options) as running:
            return self.result(server, running)

    @staticmethod
    def result(server, running):
        """What echoload reports at its end; raises ServerFailed if the server died meanwhile."""
        try:
            result = running.result()
        except LoadFailed:
            server.check(LAST_WORDS)  # that it died explains more
            raise
        server.check(LAST_WORDS if result['failed'] else 0)
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
        result = lab.load(server, 'ping', c=clients, d=lab.settings.seconds * 2, t=PATIENCE * 5)
        return [{**latencies(result), 'cpu_us': each(result, server.stop())}]


def measure_figure_30_1(lab, model, _):
    """Processor time of the server for Stevens' 5,000 connections: so many are made, at least, and
    the time is scaled to them."""
    served, failed, end = 0, 0, time.monotonic() + LONGEST
    with lab.start(model) as server:
        while served < CONNECTIONS and time.monotonic() < end:
            result = lab.load(server, 'connect', c=CALLERS, s=REQUEST, d=lab.settings.seconds,
                              t=PATIENCE * 5)
            served, failed = served + result['count'] + result['late'], failed + result['failed']
        seconds = server.stop()
        return [{'connections': served, 'failed': failed,
                 'cpu_s': seconds / served * CONNECTIONS if served else None}]


# ---- live clients ------------------------------------------------------------------------

def measure_held(lab, model, _):
    """What a connection costs while more and more others are held open, in what all connections
    have to pass: see lasting()."""
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
            before = lasting(server)
            result = lab.load(server, 'connect', c=8, d=lab.settings.seconds * 1.5, t=PATIENCE * 5)
            after = lasting(server)
            spent = sum(seconds - before.get(pid, 0) for pid, seconds in after.items())
            rows.append({'clients': step, 'rate': result['rate'], 'failed': result['failed'],
                         'p50': result.get('p50'), 'main_us': each(result, spent)})
    return rows


def lasting(server):
    """{pid: processor time of its main thread}, of the server and the children that it has. Seen
    before and after a load, that is the parent that forks or starts threads, the thread of a loop,
    and the workers of a pool. What has lived for one connection is not in it."""
    found = {}
    for pid in [server.pid, *children(server.pid)]:
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):
            found[pid] = main_thread_seconds(pid)
    return found


def hold(lab, server, clients, full):
    """Opens so many connections and keeps them, until it is left. All are open on return, when
    the server has grown to the size `full`."""
    def all_open():
        return size(server) >= full or holder.process.poll() is not None

    holder = Load(lab.build, 'hold', server.address, c=clients, d=600)
    try:
        if not until(all_open, 60) or holder.process.poll() is not None:
            server.check(LAST_WORDS)
            raise ServerFailed(f'did not serve {clients} more clients at once')
    except BaseException:
        holder.__exit__()
        raise
    return holder


def watch_leaving(server, clients, idle):
    """All clients leave: the most zombies seen, a look being some milliseconds long, so that there
    may have been more; and when the server was seen to be as small as `idle`, in milliseconds from
    the first that left, None if it sleeps and is not."""
    start, peak = time.monotonic(), 0
    patience = Patience(CLEANING, lambda: tree(server.pid))
    clients.close()
    while True:
        peak = max(peak, summed(children(server.pid), is_zombie))
        clean, passed = size(server) <= idle, time.monotonic() - start
        if clean or patience.is_out():
            return {'zombies_peak': peak, 'clean_ms': passed * 1000 if clean else None}


def watch_reaping(server, clients):
    """All clients leave while the parent is stopped, so that no child is reaped before the clock
    starts: when it goes on. reap_ms is when the last was seen to be gone, at the end of a look; it
    may have been gone as long before as a look takes, look_ms. Left is whom it sleeps beside."""
    os.kill(server.pid, signal.SIGSTOP)
    try:
        clients.close()
        until_asleep(lambda: all(map(is_zombie, children(server.pid))), STALL,
                     lambda: children(server.pid))
        waiting = {pid for pid in children(server.pid) if is_zombie(pid)}
    finally:
        start = time.monotonic()
        os.kill(server.pid, signal.SIGCONT)
    zombies, longest, now = len(waiting), 0.0, start
    patience = Patience(CLEANING, lambda: tree(server.pid))
    while waiting and not patience.is_out():
        waiting &= set(children(server.pid))
        looked, now = now, time.monotonic()
        longest = max(longest, now - looked)
    timed = {'reap_ms': (now - start) * 1000, 'look_ms': longest * 1000}
    return {'zombies': zombies, 'zombies_left': len(waiting),
            **(timed if zombies and not waiting else {})}


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


def served_one(server, clients):
    """The size of a server without clients that has had one: a pool that is made for the first
    is there then."""
    fresh = size(server)
    clients.open_up_to(1)
    clients.close()
    until_asleep(lambda: size(server) <= fresh, STALL, lambda: tree(server.pid))
    return size(server)


def measure_lifecycle(lab, model, _):
    """Clients come and stay: what the server has of each. Here it shows, too, how many a model
    serves at once. What happens when they leave is seen at another server of the same model, as
    memory that a crowd has left behind is not that of the next."""
    with lab.start(model) as server, Clients(server) as clients:
        served_one(server, clients)
        rows = [{'clients': 0, 'served': 0, **census(server)}]
        for step in crowd(lab.settings.clients):
            served = clients.open_up_to(step)
            server.check(0 if served else LAST_WORDS)
            rows.append({'clients': step, 'served': served, **census(server)})
            if served < step:
                rows[-1]['note'] = f'serves {served} at a time'
                break
    rows[0].update(measure_leaving(lab, model))
    return rows


def measure_leaving(lab, model):
    """Clients leave together, twice: see watch_leaving and watch_reaping."""
    with lab.start(model) as server, Clients(server) as clients:
        idle = served_one(server, clients)
        wave = clients.open_up_to(min(WAVE, lab.settings.clients))
        found = watch_leaving(server, clients, idle)
        clients.open_up_to(wave)
        return {'wave': wave, **found, **watch_reaping(server, clients)}


# ---- stalls and misbehaviour -------------------------------------------------------------

def measure_stall(lab, model, loop):
    """A server is stopped for a moment while clients send: as fast as answers come (closed), or on
    a schedule that does not wait for the server, with latency from when each was due."""
    connections = lab.fits(model, SCHEDULERS)
    schedule = {'r': SCHEDULED} if loop == 'schedule' else {}
    seconds = STALL * 4
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


MISCHIEF = ('none', 'reset', 'halfclose', 'dribble', 'nonreading', 'storm', 'crash')


def measure_misbehaviour(lab, model, kind):
    """What some clients do to the others: a few well-behaved ones beside 32 that are not."""
    if kind == 'crash':
        return measure_crash(lab, model)
    others, beside = lab.fits(model, OTHERS), contextlib.ExitStack()
    with lab.start(model) as server, beside:
        if kind != 'none':
            wrong = beside.enter_context(
                Load(lab.build, kind, server.address, c=WRONGDOERS, d=600))
            until(lambda: any(map(sockets, tree(wrong.process.pid))) or wrong.wait_end(0), GIVE_UP)
            if wrong.wait_end(0.05):  # else they are at it, whatever that is
                wrong.result()
                raise LoadFailed(f'the {kind} clients ended early')
        try:
            result = lab.load(server, 'ping', c=others, d=lab.settings.seconds, t=PATIENCE)
        except NotConnected:
            if kind == 'none':
                raise
            result = {'rate': 0, 'failed': others}  # shut out already by whoever fills the backlog
        return [{'others': others, **latencies(result)}]


def process_of(server, client):
    """Which process of the server has the other end of a client's socket: by proc_net(5)."""
    ends = ' '.join(rf'\w+:{end[1]:04X}' for end in (client.getpeername(), client.getsockname()))
    sockets = [f'socket:[{inode}]' for name in ('tcp', 'tcp6') for inode in re.findall(
        rf': {ends} (?:\S+ +){{6}}(\d+) ', Path(f'/proc/net/{name}').read_text())]
    for pid in reversed(tree(server.pid)):
        for number in os.listdir(f'/proc/{pid}/fd'):
            with contextlib.suppress(FileNotFoundError):
                if os.readlink(f'/proc/{pid}/fd/{number}') in sockets:
                    return pid
    raise LoadFailed('no process has the client')


def measure_crash(lab, model):
    """A process that serves a client dies by SIGSEGV: how many of the other clients it takes."""
    with lab.start(model) as server, Clients(server) as clients:
        served = clients.open_up_to(lab.fits(model, OTHERS + 1))
        serving = process_of(server, clients.sockets[0])
        os.kill(serving, signal.SIGSEGV)
        if serving == server.pid:
            server.wait_end(GIVE_UP)
        else:
            until(lambda: is_zombie(serving) or serving not in children(server.pid), GIVE_UP)
        lost = served - clients.still_served()
        if not lost:
            raise LoadFailed('the crash hit nobody')
        with Clients(server) as late:
            welcome = late.open_up_to(1)
        return [{'others': served - 1, 'lost': lost - 1, 'welcome': welcome}]


# ---- the list ----------------------------------------------------------------------------

Workload = namedtuple('Workload', 'name measure step steps rounds columns what')


def steps_of(name):
    return lambda settings: getattr(settings, name)


def once(_):
    return ['']


def every(rounds):
    return rounds


def few(rounds):
    return min(rounds, FEW)


# The order is that of the report, but for the lifecycle, which is first as others need to know
# how many clients a model serves at once.
WORKLOADS = {each_one.name: each_one for each_one in [
    Workload('lifecycle', measure_lifecycle, 'clients', once, few,
             ['served', 'processes', 'threads', 'descriptors', 'pss_kib', 'wave', 'zombies_peak',
              'clean_ms', 'zombies', 'zombies_left', 'reap_ms', 'look_ms'],
             'clients that come, stay and leave together: memory, descriptors, zombies'),
    Workload('connect', measure_connect, 'clients', steps_of('calling'), every,
             ['rate', 'failed', 'p50', 'p90', 'p99', 'max', 'connect-p50', 'message-p50', 'cpu_us',
              'client-busy'], 'connections a second, each with one message'),
    Workload('ping', measure_ping, 'clients', steps_of('talking'), every,
             ['rate', 'failed', 'p50', 'p90', 'p99', 'max', 'cpu_us', 'client-busy'],
             'messages a second on connections that stay'),
    Workload('held', measure_held, 'clients', once, few,
             ['rate', 'failed', 'p50', 'main_us'],
             'what a connection costs while others are held open'),
    Workload('stall', measure_stall, 'loop', lambda _: ['closed', 'schedule'], few,
             ['connections', 'rate', 'count', 'failed', 'p50', 'p90', 'p99', 'p99.9', 'p99.99',
              'max'],
             'a server that stops for a moment: closed loop against fixed schedule'),
    Workload('misbehaviour', measure_misbehaviour, 'kind', lambda _: MISCHIEF, few,
             ['others', 'lost', 'welcome', 'rate', 'failed', 'p50', 'p90', 'p99', 'max'],
             'what misbehaving clients do to the others'),
    Workload('figure-30.1', measure_figure_30_1, 'clients', once, few,
             ['connections', 'failed', 'cpu_s'],
             "Stevens' figure: processor time for 5,000 connections"),
]}
