"""What the counts of all trials mean, for people and for programs."""
import csv
import sys
from collections import Counter

from grader.trial import ENDED
from grader.waiting import NotApplicable, Undecided


class Results:
    """The counts of all trials, and what they mean."""

    def __init__(self, pairs, trials):
        self.pairs, self.trials = pairs, trials
        self.counts = {pair: [] for pair in pairs}

    def done(self, hazard):
        return all(len(counts) == self.trials for pair, counts in self.counts.items()
                   if pair.hazard is hazard)

    def decided(self, pair):
        return [count for count in self.counts[pair] if not isinstance(count, Exception)]

    def of_kind(self, pair, kind):
        return [count for count in self.counts[pair] if isinstance(count, kind)]

    def undecided(self, pair):
        return len(self.of_kind(pair, Undecided))

    def not_applicable(self, pair):
        return len(self.of_kind(pair, NotApplicable))

    def why(self, pair, kind):
        return ', '.join(dict.fromkeys(map(str, self.of_kind(pair, kind))))

    def verdict(self, pair):
        """(word, number): a mistake is to be caught, any other server to survive. A trial that
        was not decided is neither; where none applies, that is said."""
        decided = self.decided(pair)
        if self.not_applicable(pair) == len(self.counts[pair]):
            return 'n/a', len(self.counts[pair])
        caught = sum(count > pair.hazard.fine for count in decided)
        return ('caught', caught) if pair.wrong else ('survived', len(decided) - caught)

    def cell(self, pair):
        """'18/20', or '17/20 3?': three are undecided; '0/20 ends': it was no more; or 'n/a'."""
        word, times = self.verdict(pair)
        if word == 'n/a':
            return word
        open_ones, ends = self.undecided(pair), ENDED in self.decided(pair)
        return (f'{times}/{self.trials}' + f' {open_ones}?' * bool(open_ones) + ' ends' * ends)

    def distribution(self, pair):
        """'0x18 3x2': eighteen trials counted 0, two counted 3. Where there are many different
        counts, '8+x18 16+x2': eighteen from 8 to 15, two from 16 to 31."""
        counts, sign = Counter(self.decided(pair)), ''
        if len(counts) > 8:
            sign = '+'
            counts = Counter(count if count in (0, ENDED) else 1 << int(count).bit_length() - 1
                             for count in counts.elements())
        told = [f'{"ended " if count == ENDED else f"{count:g}{sign}"}x{times}'
                for count, times in sorted(counts.items())]
        for kind, word in (Undecided, 'undecided'), (NotApplicable, 'n/a'):
            if self.of_kind(pair, kind):
                told.append(f'{word} x{len(self.of_kind(pair, kind))}')
        if self.not_applicable(pair):
            told.append(f'({self.why(pair, NotApplicable)})')
        return ' '.join(told)

    def surprises(self):
        """Mistakes that were not caught each time, and others that were."""
        def as_expected(pair):
            word, times = self.verdict(pair)
            if word == 'n/a':
                return not pair.wrong
            return times + self.undecided(pair) + self.not_applicable(pair) * (
                not pair.wrong) == self.trials

        return [pair for pair in self.pairs if not as_expected(pair)]

    def open_questions(self):
        return [pair for pair in self.pairs if self.undecided(pair)]


class Text:
    """For people: the counts of each hazard once it is done, then the table."""

    def __init__(self, total):
        self.total, self.shown = total, set()

    def show(self, results, hazard, number):
        if sys.stderr.isatty():
            print(f'\r\033[K{number} of {self.total} trials, now {hazard.name}', end='',
                  file=sys.stderr, flush=True)
        if hazard not in self.shown and results.done(hazard):
            self.shown.add(hazard)
            self.clear()
            width = max(len(pair.server) for pair in results.pairs)
            print(f'{hazard.name}: {hazard.measure}')
            for pair in results.pairs:
                if pair.hazard is hazard:
                    word, cell = results.verdict(pair)[0], results.cell(pair)
                    print(f'  {pair.server:{width}}  {cell if word == cell else f"{word} {cell}":14}  '
                          f'{results.distribution(pair)}')
            print(flush=True)

    def clear(self):
        if sys.stderr.isatty():
            print('\r\033[K', end='', file=sys.stderr, flush=True)

    def finish(self, results):
        """Rows hazards, columns servers: caught of the first, survived of the others."""
        self.clear()
        names = list(dict.fromkeys(pair.server for pair in results.pairs))
        widths = [max(len(word) for word in [name, *(results.cell(pair) for pair in results.pairs
                                                     if pair.server == name)]) for name in names]
        table = [['hazard', *names]]
        if names[0] == 'mistake':
            table.insert(0, ['', 'caught', *(['survived'] if len(names) > 1 else [])])
        for hazard in dict.fromkeys(pair.hazard for pair in results.pairs):
            table.append([hazard.name, *(results.cell(pair) for pair in results.pairs
                                         if pair.hazard is hazard)])
        for first, *rest in table:
            print(f'{first:24}' + ''.join(f'  {cell:>{width}}' for cell, width
                                          in zip(rest, widths)))


class Table:
    """For programs: comma-separated values, a line for each hazard and server."""

    def __init__(self, _total):
        pass

    def show(self, *_):
        pass

    def finish(self, results):
        rows = csv.writer(sys.stdout, lineterminator='\n')
        rows.writerow(['hazard', 'server', 'verdict', 'times', 'trials', 'measure', 'counts'])
        for pair in results.pairs:
            rows.writerow([pair.hazard.name, pair.server, *results.verdict(pair), results.trials,
                           pair.hazard.measure, results.distribution(pair)])
