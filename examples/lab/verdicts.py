"""verdicts.py: what the numbers say, in words. Pure functions over rows of the CSV files.

A verdict is a claim, in words that hold from one run to the next, and the numbers of this run
behind it. What is claimed has to be clear of what a machine does to itself:
  - a spread is the middle of the rounds: a fourth of them is left out at either end, so that one
    slow moment changes nothing;
  - two models differ only if their spreads are apart, and their medians clearly so;
  - else there is no difference.
Processor time, memory and counts move less than rates do when a machine does other things as well,
so most claims are of those.
"""
import math
import statistics
from collections import namedtuple

CLEAR = 1.4  # medians nearer than this are the same, on a machine that does other things, too
WALK_NS = 40  # what a held connection adds to a new one where the server walks over all of them,
MANY = 500    # at the least; seen when so many are held
BLIND = 5     # a closed loop that shows a stall so many times smaller does not show it
DIED = 'the server died'  # how a note begins that says so

Spread = namedtuple('Spread', 'median low high')
Verdict = namedtuple('Verdict', 'claim numbers')


def spread(values):
    """The median, and the range without a fourth of the values at either end. None of none."""
    values = sorted(value for value in values if value is not None)
    if not values:
        return None
    inner = values[len(values) // 4:len(values) - len(values) // 4]
    return Spread(statistics.median(values), inner[0], inner[-1])


def differ(one, other):
    """Whether two spreads are apart, and clearly so."""
    low, high = sorted((one, other))
    return low.high < high.low and high.median >= low.median * CLEAR


def best_group(spreads, high_is_best):
    """The best model by its median, and all that do not differ from it: names, best first."""
    names = sorted(spreads, key=lambda name: spreads[name].median, reverse=high_is_best)
    return [name for name in names if not differ(spreads[name], spreads[names[0]])]


def column(rows, name, **where):
    """{model: Spread} of one column, over all rounds, of the rows in which `where` holds."""
    values = {}
    for row in rows:
        if all(row.get(key) == value for key, value in where.items()):
            values.setdefault(row['model'], []).append(row.get(name))
    spreads = {model: spread(found) for model, found in values.items()}
    return {model: found for model, found in spreads.items() if found}


# ---- words -------------------------------------------------------------------------------

def number(value):
    """Three digits are all that is known: 17,300  8.65  0.0123."""
    if value == 0:
        return '0'
    if abs(value) >= 100:
        digits = max(len(str(int(abs(value)))) - 3, 0)
        return f'{round(value, -digits):,.0f}'
    return f'{value:.3g}'


def told(found, unit):
    """A spread in words: 9,100/s (8,700-9,400)."""
    text = f'{number(found.median)}{unit}'
    if number(found.low) == number(found.high):
        return text
    return f'{text} ({number(found.low)}-{number(found.high)})'


def listed(names):
    names = list(names)
    return names[0] if len(names) == 1 else f'{", ".join(names[:-1])} and {names[-1]}'


def compare(spreads, one, other, words, unit):
    """How one model stands to another: one of three words, (more, less, same)."""
    if one not in spreads or other not in spreads:
        return []
    a, b = spreads[one], spreads[other]
    numbers = f'{one} {told(a, unit)}, {other} {told(b, unit)}'
    if not differ(a, b):
        return [Verdict(f'{one} and {other}: no difference.', numbers)]
    times = max(a, b).median / min(a, b).median
    return [Verdict(f'{one} {words[0] if a > b else words[1]} {other}.',
                    f'{numbers}: {number(times)} times')]


def ranking(spreads, high_is_best, word, unit):
    """Who is best, with all that do not differ from it, and who is last."""
    if len(spreads) < 2:
        return []
    best = best_group(spreads, high_is_best)
    claim = f'{word}: {listed(sorted(best))}'
    claim += '; no difference between them.' if len(best) > 1 else '.'
    last = (min if high_is_best else max)(spreads, key=lambda name: spreads[name].median)
    return [Verdict(claim, ', '.join(f'{name} {told(spreads[name], unit)}'
                                     for name in dict.fromkeys([*best, last])))]


# ---- a verdict a workload ----------------------------------------------------------------

# What readers ask first, of all the pairs that there are.
PAIRS = [('forkecho', 'threadecho'), ('forkecho-static', 'textbook')]


def pairs(spreads, words, unit):
    return [verdict for one, other in PAIRS
            for verdict in compare(spreads, one, other, words, unit)]


def step_of(rows, wanted):
    """The step that is `wanted`, or the largest below it: a small run may have less."""
    steps = {row['clients'] for row in rows if row.get('clients') is not None}
    return max((step for step in steps if step <= wanted), default=None)


def of_connect(rows):
    step = step_of(rows, 64) or 0
    work = column(rows, 'cpu_us', clients=step)
    return ranking(work, False, f'Least processor time for a connection ({number(step)} clients)',
                   ' us') + \
        pairs(work, ('spends more processor time on a connection than',
                     'spends less processor time on a connection than'), ' us')


def of_ping(rows):
    step = step_of(rows, 128) or 0
    return ranking(column(rows, 'cpu_us', clients=step), False,
                   f'Least processor time for a message ({number(step)} clients)', ' us')


def growth(rows):
    """{model: (us with none held, us with the most held, ns that each of those adds)}, of the
    round that was disturbed least: other work on the machine only ever adds."""
    found = {}
    for model in dict.fromkeys(row['model'] for row in rows):
        ends = {}
        for row in rows:
            if row['model'] == model and row.get('main_us') is not None:
                ends[row['clients']] = min(row['main_us'], ends.get(row['clients'], math.inf))
        if ends and max(ends) - min(ends) >= MANY:
            low, high = min(ends), max(ends)
            added = (ends[high] - ends[low]) / (high - low) * 1000
            found[model] = (ends[low], ends[high], added)
    return found


def of_held(rows):
    grown, found = growth(rows), []
    flat = [model for model, (_, _, added) in grown.items() if added < WALK_NS]
    for claim, group in (
            (f'One held open adds less than {WALK_NS} ns to a new connection: ', flat),
            (f'Each held open adds {WALK_NS} ns or more to a new connection: ',
             [model for model in grown if model not in flat])):
        if group:
            found.append(Verdict(f'{claim}{listed(group)}.', ', '.join(
                f'{model} {number(max(grown[model][2], 0))} ns, from {number(grown[model][0])} us'
                f' to {number(grown[model][1])} us'
                for model in group)))
    return found


def of_lifecycle(rows):
    found = []
    limited = {row['model']: row['served'] for row in rows
               if row.get('served') is not None and row['served'] < row['clients']}
    if limited:
        found.append(Verdict(f'Not all clients are served at once by {listed(limited)}.', ', '.join(
            f'{model} serves {number(served)}' for model, served in limited.items())))
    each = {}  # KiB a client, of the models that got this far
    step = step_of(rows, 1000)
    for model, full in column(rows, 'pss_kib', clients=step).items():
        empty = column(rows, 'pss_kib', clients=0).get(model)
        if step and empty and model not in limited:
            each[model] = Spread(*((full.median - empty.median) / step,) * 3)
    found += ranking(each, False, 'Least memory for a client', ' KiB')
    zombies = [row['model'] for row in rows if row.get('zombies_left')]
    peaks = column(rows, 'zombies_peak')
    if peaks:
        claim = f'Zombies stay behind: {listed(zombies)}.' if zombies else 'No zombie stays behind.'
        found.append(Verdict(claim, 'at most at once: ' + ', '.join(
            f'{model} {number(peak.median)}' for model, peak in peaks.items() if peak.median)))
    return found


def of_stall(rows):
    pairs = {}
    for loop in ('closed', 'schedule'):
        for model, found in column(rows, 'p90', loop=loop).items():
            pairs.setdefault(model, {})[loop] = found.median
    pairs = {model: pair for model, pair in pairs.items() if len(pair) == 2}
    blind = [model for model, pair in pairs.items() if pair['schedule'] >= BLIND * pair['closed']]
    if not pairs:
        return []
    claim = 'The closed loop hides the stall' + (
        '' if len(blind) == len(pairs) else f' of {listed(blind)}' if blind else ' of none') + '.'
    return [Verdict(claim, 'p90 by closed loop and by schedule: ' + ', '.join(
        f'{model} {number(pair["closed"])} and {number(pair["schedule"])} us'
        for model, pair in pairs.items()))]


def fate(row):
    """What became of the other clients, in a word: None where nothing was measured."""
    if (row.get('note') or '').startswith(DIED):
        return 'cut'
    if row.get('note') or row['kind'] is None:
        return None
    if row['kind'] == 'crash':
        return 'cut' if row['lost'] or not row['welcome'] else 'served'
    if not row['rate']:
        return 'starved'
    return 'cut' if row['failed'] else 'served'


def fates(rows):
    """{model: {kind: word}}"""
    found = {}
    for row in rows:
        word = fate(row)
        if word:
            found.setdefault(row['model'], {})[row['kind']] = word
    return found


MISDEEDS = {'reset': 'Resetting connections', 'halfclose': 'Closing half of a connection',
            'dribble': 'Dribbling byte by byte', 'deaf': 'Never reading the echo',
            'storm': 'A storm of connections', 'crash': 'A crash'}


def of_misbehaviour(rows):
    kept, found = fates(rows), []
    if not kept:
        return []
    safe = [model for model, words in kept.items() if set(words.values()) == {'served'}]
    if safe:
        found.append(Verdict(f'Whatever the others do, clients stay served by {listed(safe)}.', ''))
    for word, claim in (('starved', 'starves'), ('cut', 'cuts off')):
        for kind in MISDEEDS:
            harmed = [model for model, words in kept.items() if words.get(kind) == word]
            if harmed:
                found.append(Verdict(f'{MISDEEDS[kind]} {claim} the other clients of'
                                     f' {listed(harmed)}.', ''))
    return found


def of_figure_30_1(rows):
    spent = column(rows, 'cpu_s')
    return pairs(spent, ('takes more processor time than', 'takes less processor time than'),
                 ' s') or ranking(spent, False, 'Least processor time', ' s')


OF = {'lifecycle': of_lifecycle, 'connect': of_connect, 'ping': of_ping, 'held': of_held,
      'stall': of_stall, 'misbehaviour': of_misbehaviour, 'figure-30.1': of_figure_30_1}
