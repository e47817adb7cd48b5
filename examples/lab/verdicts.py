"""verdicts.py: what the numbers say, in words. Pure functions over rows of the CSV files.

A verdict is a claim, in words that hold from one run to the next, and the numbers of this run
behind it. Whether two of them differ is judge()'s to say, here and in the tables, and nobody else's.
RULES has its words, and stands on the page. Processor time, memory and counts move less than rates
and waits do when a machine does other things as well, and the load generator shares the processors
with the server, so claims are of those.
"""
import math
import statistics
from collections import Counter, namedtuple

import stevens

# Between what one server differs by from run to run, up to 1.25, and the next that designs came to,
# 1.45: forkecho and the textbook made 1.09 to 1.25, now apart and now not. Beside 2,500 held, who
# looks at none of them made 0.8 to 1.3, and who walks over all of them 2.1 to 7.
CLEAR = 1.3
MANY = 500    # so many held, and more, tell a cost that grows with them from one that does not
UNSETTLED = {'threadecho', 'threadpoolecho'}  # which made 1.3 to 3.5 there: not the same twice
DIED = 'the server died'  # how a note begins that says so
BUSY = 90     # per cent: a client as busy as that may have been what was measured
QUIET = 10    # per cent of the processors: what others may take of them while we measure
STEADY = {'lifecycle'}  # memory and counts, which are the same however busy a machine is

RULES = [
    f'Two numbers differ where their spreads are apart, and their medians by {CLEAR} times or more.'
    ' This is the one rule for all that is compared on this page.',
    'Else there is no clear difference, and beside the numbers stands why: the spreads overlap, or'
    f' they are apart, but by less than {CLEAR} times. The next run may well turn it round.',
    'The spread is all rounds but a fourth of them at either end: the middle three of five, or'
    ' all of three. One slow moment of the machine changes nothing.',
    'No verdict says how a thread is started beside thousands of others: what the kernel takes for'
    ' it differs by twice and more from one run to the next.',
    f'Where other programs took more than {QUIET} % of the processors, nothing is claimed but memory'
    ' and counts, which that does not change.']

ONE_ROUND = 'There was only one round, so there is no spread, and a difference may be chance.'

# numbers: a row a model, the name first. head: what the columns are, where that is not plain.
Spread = namedtuple('Spread', 'median low high')
Verdict = namedtuple('Verdict', 'claim numbers head note', defaults=((), (), ''))


def spread(values):
    """The median, and the range without a fourth of the values at either end. None of none."""
    values = sorted(value for value in values if value is not None)
    if not values:
        return None
    inner = values[len(values) // 4:len(values) - len(values) // 4]
    return Spread(statistics.median(values), inner[0], inner[-1])


def judge(one, other):
    """The one rule: (whether two spreads differ, the words that stand beside them)."""
    low, high = sorted((one, other))
    apart = low.high < high.low
    clear = apart and high.median >= low.median * CLEAR
    words = [times(high.median / low.median)] if low.median > 0 else []
    if not clear:
        words.append(f'apart, but by less than {CLEAR} times' if apart else 'the spreads overlap')
    return clear, '; '.join(words)


def differ(one, other):
    return judge(one, other)[0]


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
    dash = '-' if found.low >= 0 else ' to '
    return f'{text} ({number(found.low)}{dash}{number(found.high)})'


def listed(names):
    names = list(names)
    return names[0] if len(names) == 1 else f'{", ".join(names[:-1])} and {names[-1]}'


def in_words(verdict):
    """The numbers behind a claim: forkecho 149 µs (147-151), threadecho 46 µs: 3.2 times"""
    def told_row(row):
        return f'{row[0]} ' + ', '.join(
            f'{what} {cell}' if what else cell
            for what, cell in zip(verdict.head[1:] or [''] * len(row), row[1:]) if cell)
    joint = '; ' if verdict.head else ', '
    return joint.join(map(told_row, verdict.numbers)) + \
        (': ' if verdict.numbers and verdict.note else '') + verdict.note


def times(ratio):
    """A ratio, never rounded up: one that is less than a bound is not to be shown as equal to it."""
    return f'{number(math.floor(ratio * 100) / 100)} times'


def compare(spreads, one, other, words, unit):
    """How one model stands to another: more or less in the given words, or neither."""
    if one not in spreads or other not in spreads:
        return []
    a, b = spreads[one], spreads[other]
    clear, note = judge(a, b)
    claim = f'{built(one)} {words[0] if a > b else words[1]} {other}.' if clear else \
        f'{built(one)} and {other}: no clear difference.'
    return [Verdict(claim, [(one, told(a, unit)), (other, told(b, unit))], note=note)]


def built(name):
    """A model by its name, and that it is built in another way than the rest, where it is."""
    return f'{name} (another build: static, with musl)' if name.endswith('-static') else name


def ranking(spreads, high_is_best, word, unit):
    """Who is best, with all that are not clearly different from it, and who is last."""
    if len(spreads) < 2:
        return []
    best = best_group(spreads, high_is_best)
    claim = f'{word}: {listed(sorted(best))}'
    claim += '; none of them differs clearly from the best.' if len(best) > 1 else '.'
    last = (min if high_is_best else max)(spreads, key=lambda name: spreads[name].median)
    return [Verdict(claim, [
        (name, told(spreads[name], unit), judge(spreads[name], spreads[best[0]])[1]
         if name != best[0] else '') for name in dict.fromkeys([*best, last])],
        ('model', 'measured', 'beside the best'))]


# ---- a verdict a workload ----------------------------------------------------------------

# What readers ask first, of all the pairs that there are. All but the last are like for like: built
# in the same way.
PAIRS = [('forkecho', 'threadecho'), ('exec', 'forkecho'), ('exec-static', 'forkecho-static'),
         ('forkecho', 'textbook'), ('forkecho-static', 'textbook')]


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
                   ' µs') + \
        pairs(work, ('spends more processor time on a connection than',
                     'spends less processor time on a connection than'), ' µs')


def of_ping(rows):
    step = step_of(rows, 128) or 0
    return ranking(column(rows, 'cpu_us', clients=step), False,
                   f'Least processor time for a message ({number(step)} clients)', ' µs')


def growth(rows):
    """{model: (the most held, Spread of the cost with none, Spread with those)}"""
    found = {}
    for model in dict.fromkeys(row['model'] for row in rows):
        own = [row for row in rows if row['model'] == model and row.get('main_us') is not None]
        steps = [row['clients'] for row in own]
        if own and max(steps) - min(steps) >= MANY:
            found[model] = (max(steps), *(column(own, 'main_us', clients=step)[model]
                                          for step in (min(steps), max(steps))))
    return found


def of_held(rows):
    grown, groups = growth(rows), {'same': [], 'dearer': [], 'cheaper': [], 'unsettled': []}
    for model, (_, none, most) in grown.items():
        groups['unsettled' if model.removesuffix('-static') in UNSETTLED else
               'same' if not differ(none, most) else
               'dearer' if most > none else 'cheaper'].append(model)
    claims = {
        'same': 'Others held open make no clear difference to a connection of {}.',
        'dearer': 'A connection costs more beside others held open, with {}.',
        'cheaper': 'A connection costs less beside others held open, with {}.',
        'unsettled': 'No verdict on {}, which are not the same from one run to the next.'}
    return [Verdict(claims[name].format(listed(group)), [
        (model, told(none, ' µs'), told(most, ' µs'), number(held), judge(none, most)[1],
         f'{number((most.median - none.median) / held * 1000)} ns')
        for model in group for held, none, most in [grown[model]]],
        ('model', 'with none', 'with the most', 'the most', 'they differ by', 'for each held'))
        for name, group in groups.items() if group]


def limits(rows):
    """{model: how many clients it serves at once}, of those that do not serve all."""
    return {row['model']: row['served'] for row in rows
            if row.get('served') is not None and row['served'] < row['clients']}


def memory_of_a_client(rows):
    """{model: Spread of KiB}, of the models that serve so many."""
    step, each = step_of(rows, 1000), {}
    empty = {(row['model'], row['round']): row['pss_kib'] for row in rows
             if row['clients'] == 0 and row.get('pss_kib') is not None}
    for row in rows:
        before = empty.get((row['model'], row.get('round')))
        if step and row['clients'] == step and before is not None and \
                row.get('pss_kib') is not None and row['model'] not in limits(rows):
            each.setdefault(row['model'], []).append((row['pss_kib'] - before) / step)
    return {model: spread(values) for model, values in each.items()}


def reaping(row):
    """How long zombies stayed, once their parent could reap them, by what can be told of it."""
    if not row['zombies']:
        return 'none to reap'
    if row['reap_ms'] is None:
        return f'over {number(row["zombies_left"])} left'
    if row['reap_ms'] <= row['look_ms']:
        return f'< {number(row["reap_ms"])} ms'
    return f'at most {number(row["reap_ms"])} ms'


def of_lifecycle(rows):
    found, limited = [], limits(rows)
    if limited:
        found.append(Verdict(f'{listed(limited)} cannot serve all clients at once.', [
            (model, number(served)) for model, served in limited.items()]))
    found += ranking(memory_of_a_client(rows), False, 'Least memory for a client', ' KiB')
    left = list(dict.fromkeys(row['model'] for row in rows if row.get('zombies_left')))
    if any(row.get('zombies_left') is not None for row in rows):
        slowest = {}
        for row in rows:
            if row.get('zombies') and row.get('reap_ms') is not None:
                slowest[row['model']] = max(row, slowest.get(row['model'], row),
                                            key=lambda each: each['reap_ms'])
        found.append(Verdict(
            f'Zombies stay behind: {listed(left)}.' if left else 'No zombie stays behind.',
            [(model, number(row['zombies']), reaping(row)) for model, row in slowest.items()],
            ('model', 'zombies', 'reaped, in the slowest round')))
    return found


def of_stall(rows):
    pairs = {}
    for loop in ('closed', 'schedule'):
        for model, found in column(rows, 'p90', loop=loop).items():
            pairs.setdefault(model, {})[loop] = found
    pairs = {model: pair for model, pair in pairs.items() if len(pair) == 2}
    blind = [model for model, pair in pairs.items()
             if pair['schedule'] > pair['closed'] and differ(*pair.values())]
    if not pairs:
        return []
    claim = 'The closed loop does not hide the stall.' if not blind else \
        'The closed loop hides the stall' + \
        (f' of {listed(blind)}' if len(blind) < len(pairs) else '') + '.'
    return [Verdict(claim, [(model, told(pair['closed'], ' µs'), told(pair['schedule'], ' µs'),
                             judge(*pair.values())[1]) for model, pair in pairs.items()],
                    ('model', 'p90 by closed loop', 'p90 by schedule', 'they differ by'))]


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


def counted_fates(rows):
    """{model: {kind: Counter of words}}: what was so in how many rounds."""
    found = {}
    for row in rows:
        if word := fate(row):
            found.setdefault(row['model'], {}).setdefault(row['kind'], Counter())[word] += 1
    return found


def fates(rows):
    """{model: {kind: word}}: what was so in most rounds."""
    return {model: {kind: counted.most_common(1)[0][0] for kind, counted in kinds.items()}
            for model, kinds in counted_fates(rows).items()}


def to_none(rows, model, kind):
    """The others' messages a second, as a part of those where nobody misbehaves, round by round:
    a Spread. And whether that is slowed: the rates differ."""
    rates = {name: {row.get('round'): row['rate'] for row in rows
                    if (row['model'], row['kind']) == (model, name) and row.get('rate')}
             for name in ('none', kind)}
    both = [turn for turn in rates[kind] if turn in rates['none']]
    if not both:
        return None, False
    alone, beside = spread(rates['none'].values()), spread(rates[kind].values())
    return spread([rates[kind][turn] / rates['none'][turn] for turn in both]), \
        beside < alone and differ(alone, beside)


MISDEEDS = {'reset': 'Resetting connections', 'halfclose': 'Closing half of a connection',
            'dribble': 'Dribbling byte by byte', 'nonreading': 'Never reading the echo',
            'storm': 'A storm of connections', 'crash': 'A crash'}


def of_misbehaviour(rows):
    counted, found = counted_fates(rows), []
    safe = [model for model, kinds in counted.items()
            if all(set(words) == {'served'} for words in kinds.values())]
    if safe:
        found.append(Verdict(f'The clients of {listed(safe)} are served in every round, whatever'
                             ' the others do, also when a process crashes.',
                             note='How much slower they are served is in the table.'))
    for word, claim in (('starved', 'starves'), ('cut', 'cuts off')):
        for kind in MISDEEDS:
            harmed = {model: kinds[kind] for model, kinds in counted.items()
                      if word in kinds.get(kind, ())}
            if harmed:
                found.append(Verdict(
                    f'{MISDEEDS[kind]} {claim} the other clients of {listed(harmed)}.',
                    [(model, f'in {words[word]} of {words.total()} rounds')
                     for model, words in harmed.items() if len(words) > 1]))
    return found


def of_figure_30_1(rows):
    spent = column(rows, 'cpu_s')
    return (pairs(spent, ('takes more processor time for 5,000 connections than',
                          'takes less processor time for 5,000 connections than'), ' s')
            or ranking(spent, False, 'Least processor time for 5,000 connections', ' s')) + \
        order(spent)


def order(spent):
    """Where two designs stood in the same order on all of his machines: whether they still do."""
    still, changed, same = [], [], []
    for (dear, one), (cheap, other) in stevens.ordered_pairs():
        if one in spent and other in spent:
            if not differ(spent[one], spent[other]):
                same.append(f'{dear} and {cheap}')
            else:
                (still if spent[one] > spent[other] else changed).append(
                    f'{dear} takes {"more" if spent[one] > spent[other] else "less"} than {cheap}')
    words = [('As on all of his machines', still), ('Unlike on his machines', changed),
             ('No clear difference any more', same)]
    rows = [(one, told(spent[one], ' s')) for one in stevens.matched() if one in spent]
    return [Verdict(' '.join(f'{word}: {", ".join(group)}.' for word, group in words if group),
                    rows)] if still or changed or same else []


def untold(workload, rows):
    """Why no verdict is drawn from what there is."""
    if all(row.get('note') for row in rows):
        return 'No verdict: no server could be measured.'
    if workload == 'held':
        return ('No verdict: a cost that grows is known from one that does not only where'
                f' {MANY} clients or more are held.')
    return 'No verdict: there is no other server to compare with.'


def taken(rows):
    """Per cent of the processors that other programs took while these rows were measured."""
    known = [row['taken'] for row in rows if row.get('taken') is not None]
    return statistics.mean(known) if known else 0


def of(workload, rows):
    """The verdicts of a workload; where there is none, one that says why."""
    found = OF[workload](rows)
    if found and workload not in STEADY and taken(rows) > QUIET:
        return [Verdict(f'No verdict: other programs took {taken(rows):.0f} % of the processors.')]
    return found if found or not rows else [Verdict(untold(workload, rows))]


OF = {'lifecycle': of_lifecycle, 'connect': of_connect, 'ping': of_ping, 'held': of_held,
      'stall': of_stall, 'misbehaviour': of_misbehaviour, 'figure-30.1': of_figure_30_1}
