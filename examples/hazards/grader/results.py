"""results.py: what the counts of all trials mean, and the one table that every form writes: a Row
for each server and hazard, with its points, what was done, what was seen and what to look at."""
import re
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from grader.detectors import HAZARDS, NotToBeJudged
from grader.trial import ENDED
from grader.waiting import NotApplicable, Unable, Undecided

SOURCES = Path(__file__).resolve().parent.parent  # of the hazards, which have their stories


@dataclass
class Row:
    """A server and a hazard."""
    hazard: str
    server: str
    verdict: str  # caught, survived, n/a
    times: int  # of that, in so many trials
    trials: int
    measure: str
    counts: str
    status: str  # passed, failed, undecided, n/a, not judged; or broken: it could not be run
    points: float
    max_points: float
    done: str  # what clients did
    seen: str
    look_at: str
    last_lines: str  # that the server has printed


# ---- points ------------------------------------------------------------------------------

def read_points(path):
    """{hazard: points}: a line each, `one_wait 2.5`; what follows a # is a remark."""
    points = {}
    for number, line in enumerate(Path(path).read_text(errors='replace').splitlines(), 1):
        words = line.partition('#')[0].split()
        if not words:
            continue
        if len(words) != 2 or not re.fullmatch(r'\d+(\.\d+)?', words[1], re.A):
            why = 'is no line like: one_wait 2.5'
        elif words[0] not in HAZARDS:
            why = 'names no hazard: see expose --help'
        elif words[0] in points:
            why = 'names a hazard for the second time'
        else:
            points[words[0]] = float(words[1])
            continue
        raise Unable(f'{path}:{number}: {line.strip()!r} {why}')
    if not points:
        raise Unable(f'{path} gives no points: a line is like: one_wait 2.5')
    return points


# ---- stories -----------------------------------------------------------------------------

def story(hazard):
    """How a hazard's own file opens: {'title': ..., 'What one sees': ..., 'Why': ...}."""
    text = (SOURCES / f'{hazard}.c').read_text()
    found = re.findall(r'^ \* (\w[\w .]*): (.*(?:\n \*     .*)*)', text[:text.index('*/')], re.M)
    return {'title' if name == f'{hazard}.c' else name: re.sub(r'\s+\*?\s*', ' ', words)
            for name, words in found}


def look_at(hazard):
    told = story(hazard)
    return (f'What one sees: {told["What one sees"]} Why: {told["Why"]} The mistake alone, and what'
            f' is right: examples/hazards/{hazard}.c')


def in_one_line(text):
    return ' '.join(text.split())


def printable(line):
    """Without what a terminal or a page would act on."""
    return ''.join(each if each.isprintable() else ' ' if each == '\t' else '\ufffd'
                   for each in line)


# ---- the table ---------------------------------------------------------------------------

class Results:
    """The counts of all trials, and what they mean."""

    def __init__(self, pairs, trials, points=None):
        self.pairs, self.trials, self.points = pairs, trials, points
        self.counts = {pair: [] for pair in pairs}
        self.lines = {pair: [] for pair in pairs}
        self.facts = {}  # of each command, what exam.py has found

    def add(self, pair, outcome, lines):
        """The lines are kept of a trial that has shown the mistake; until there is one, any."""
        if not any(count > pair.hazard.fine for count in self.decided(pair)):
            self.lines[pair] = lines or self.lines[pair]
        self.counts[pair].append(outcome)

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

    def spread(self, pair):
        """[(count, times)]: where there are many different counts '8+', which is from 8 to 15."""
        counts, sign = Counter(self.decided(pair)), ''
        if len(counts) > 8:
            sign = '+'
            counts = Counter(count if count in (0, ENDED) else 1 << int(count).bit_length() - 1
                             for count in counts.elements())
        return [('ended' if count == ENDED else f'{count:.0f}{sign}', times)
                for count, times in sorted(counts.items())]

    def distribution(self, pair):
        """'0x18 3x2': eighteen trials counted 0, two counted 3."""
        told = [f'{count}{" " * (count == "ended")}x{times}' for count, times in self.spread(pair)]
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

    # -- for a course --

    def status(self, pair):
        if self.of_kind(pair, Unable):
            return 'broken'
        if self.not_applicable(pair) == len(self.counts[pair]):
            return 'not judged' if self.of_kind(pair, NotToBeJudged) else 'n/a'
        decided = self.decided(pair)
        if any(count > pair.hazard.fine for count in decided):
            return 'failed'
        return 'passed' if decided else 'undecided'

    def max_points(self, pair):
        return 1 if self.points is None else self.points.get(pair.hazard.name, 0)

    def points_of(self, pair):
        """What does not apply is no mistake, or one that has a row of its own: it has its points.
        Who cannot be judged at all, since it echoes nothing or ends, has none."""
        return self.max_points(pair) if self.status(pair) in ('passed', 'n/a') else 0

    def seen(self, pair):
        """The distribution in words."""
        told = [f'{count} in {times} of {self.trials}' for count, times in self.spread(pair)]
        if told:
            allowed = f', where {pair.hazard.fine} would be fine' * (pair.hazard.fine > 0)
            told = [f'{pair.hazard.measure}{allowed}: {", ".join(told)} trials']
        problem = getattr(self.facts.get(pair.words), 'problem', '')
        if pair.hazard.name == 'wrong_reply' and problem:
            told.append(problem)
        for kind, words in (Undecided, 'undecided'), (NotApplicable, 'does not apply'):
            if found := self.of_kind(pair, kind):
                told.append(f'{words} in {len(found)}: {self.why(pair, kind)}')
        if self.of_kind(pair, Unable):
            told.append(self.why(pair, Unable))
        return in_one_line('; '.join(told))

    def row(self, pair):
        return Row(pair.hazard.name, pair.server, *self.verdict(pair), self.trials,
                   pair.hazard.measure, self.distribution(pair), self.status(pair),
                   self.points_of(pair), self.max_points(pair),
                   in_one_line(pair.hazard.detect.__doc__ or ''), self.seen(pair),
                   look_at(pair.hazard.name), '\n'.join(map(printable, self.lines[pair])))

    def rows(self):
        return [self.row(pair) for pair in self.pairs]

    def by_server(self):
        """{server: its rows}, without the mistakes of our own."""
        found = {}
        for pair in self.pairs:
            if pair.server != 'mistake':
                found.setdefault(pair.server, []).append(self.row(pair))
        return found


def sum_of(rows):
    """(points, points that there are)."""
    return sum(row.points for row in rows), sum(row.max_points for row in rows)


def problem_of(rows):
    """Why a server could not be run; '' where it could."""
    return next((row.seen for row in rows if row.status == 'broken'), '')
