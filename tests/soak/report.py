"""What a soak tells: how far it is, and at its end what was done and seen."""
import sys
import time


class Progress:
    """On a terminal one line that is renewed, else a line a minute."""

    def __init__(self, connections):
        self.connections = connections
        self.terminal = sys.stdout.isatty()
        self.start = self.shown = time.monotonic()

    def show(self, done, live):
        now = time.monotonic()
        if now - self.shown < (0.5 if self.terminal else 60):
            return
        self.shown = now
        rate = done / (now - self.start)
        left = max(self.connections - done, 0) / rate if rate else 0
        self.write(f'{done:,} of {self.connections:,} connections, {rate:.0f}/s, {live} live, '
                   f'{left:.0f} s left')

    def write(self, text):
        print(f'\r\033[K{text}' if self.terminal else text, end='' if self.terminal else '\n',
              flush=True)

    def clear(self):
        if self.terminal:
            self.write('')


def listing(counts):
    told = [f'{what} {count:,}' for what, count in sorted(counts.items()) if count]
    return ', '.join(told) or 'none'


def table(soak):
    """Lines of what one soak has done and seen."""
    seconds = time.monotonic() - soak.progress.start
    clients, tally = soak.clients, soak.tally
    yield f'  {"connections":32}{soak.done:>12,}   in {seconds:.0f} s, {soak.done / seconds:.0f}/s'
    yield f'    {"by clients that were":30}{"":>12} {"runs":>8} {"failed":>8}'
    for name in sorted(clients.loads):
        yield (f'    {name:30}{clients.connections[name]:>12,} {clients.loads[name]:>8,} '
               f'{clients.failed_loads[name]:>8,}')
    yield f'  failed, as clients saw it: {listing(clients.failed)}'
    yield f'  ended: {listing(tally.ends)}'
    yield f'  refused: {listing(tally.refusals)}'
    if soak.status:
        yield (f'  deferred: {soak.status.number("deferred"):,}, at -c '
               f'{soak.status.number("deferred-cap"):,}; most live at once {soak.status["peak"]}')
    if soak.killer:
        yield f'  signals to children: {listing(soak.killer.sent)}; upgrades: {soak.upgrades}'
        yield (f'  zombies: at most {soak.zombies.most} at once, the longest for '
               f'{soak.zombies.oldest:.1f} s')
    for what, seen in (('KiB of its own', soak.parent.memory),
                       ('descriptors', soak.parent.descriptors)):
        if seen:
            yield (f'  parent, {what}: {seen[0]} at the start, {max(seen)} at most, '
                   f'{seen[-1]} at the end')
