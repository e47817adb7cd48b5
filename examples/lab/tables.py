"""tables.py: the tables of the page. EXTRA at the end says which workload has which of its own;
all have that of their numbers.
"""
from html import escape

import stevens
import verdicts
from verdicts import BUSY, column, number
from workloads import MISCHIEF, WORKLOADS


def table(head, rows, caption='', label=''):
    """Rows of cells that are safe as they are; the first of each is its head. `label` is what a
    program calls it that reads the page aloud, where the caption is not its alone."""
    def cells(row):
        return f'<th scope="row">{row[0]}</th>' + ''.join(f'<td>{cell}</td>' for cell in row[1:])
    top = ''.join(f'<th scope="col">{escape(cell)}</th>' for cell in head)
    said = f'<p class="caption">{escape(caption)}</p>' if caption else ''
    return (f'<div class="table">{said}<section class="wide" tabindex="0"'
            f' aria-label="{escape(label or caption)}"><table><thead><tr>{top}</tr></thead>'
            '<tbody>' + ''.join(f'<tr>{cells(row)}</tr>' for row in rows)
            + '</tbody></table></section></div>')


# What a column is measured in, where its name does not end with it.
WAITS = ('p50', 'p90', 'p99', 'p99.9', 'p99.99', 'max', 'connect-p50', 'message-p50')
UNITS = {'rate': '1/s', 'client-busy': '%', **dict.fromkeys(WAITS, 'µs')}
ENDINGS = {'_us': 'µs', '_ms': 'ms', '_s': 's', '_kib': 'KiB'}


def with_unit(name):
    """The head of a column: p50 (µs), cpu (s). What is a mere count stays as it is."""
    for ending, unit in ENDINGS.items():
        if name.endswith(ending):
            return f'{name.removesuffix(ending)} ({unit})'
    return f'{name} ({UNITS[name]})' if name in UNITS else name.replace('_', ' ')


def numbers_table(workload, data):
    """All medians of a workload with their spreads: a row a model and a step."""
    about, rows = WORKLOADS[workload], data.rows(workload)
    keys = dict.fromkeys((row['model'], row[about.step]) for row in rows)
    keys = sorted(keys, key=lambda key: data.models.index(key[0]))
    shown = []
    for model, step in keys:
        own = [row for row in rows if (row['model'], row[about.step]) == (model, step)]
        cells = [verdicts.spread([row.get(name) for row in own]) for name in about.columns]
        notes = dict.fromkeys(row['note'] for row in own if row['note'])
        label = step if isinstance(step, str) else '' if step is None else number(step)
        shown.append([escape(model), label, *(verdicts.told(cell, '') if cell else ''
                                              for cell in cells), escape('; '.join(notes))])
    return table(['model', about.step, *map(with_unit, about.columns), 'note'], shown,
                 'Medians, in brackets the spread', f'{workload}: medians and spreads')


SIGNS = {'served': '✓ served', 'slowed': '– slowed', 'starved': '✗ starved',
         'cut': '✗ cut off', 'unjudged': 'not judged'}


def losses(lost, row):
    """Whom a crash takes with it. A server that serves one at a time has no others to lose."""
    later = [] if row['welcome'] else ['all that come later']
    if not row['others']:
        return ', '.join(['no others', *(f'{who} lost' for who in later)])
    part = f'{verdicts.told(lost, "")} of {number(row["others"])} others lost'
    return ', and '.join([part, *later])


def misbehaviour_cell(rows, kind, word):
    """What became of the others in all rounds, and in small how that shows. (class, html)"""
    own = [row for row in rows if row['kind'] == kind]
    words = [verdicts.fate(row) for row in own]
    ratio, slowed = verdicts.to_none(rows, own[0]['model'], kind)
    if kind == 'crash':
        lost = verdicts.spread([row['lost'] for row in own])
        detail = losses(lost, own[0]) if lost else own[0]['note']
    elif kind == 'none':
        detail = verdicts.told(verdicts.spread([row['rate'] for row in own]), '/s')
    else:
        detail = f'rate {verdicts.told(ratio, "")} of alone' if ratio else \
            own[0].get('note') or 'no answer'
    name, partly = 'slowed' if slowed and word == 'served' else word, ''
    if kind != 'crash' and verdicts.taken(rows) > verdicts.QUIET:
        name = 'unjudged'  # a crash takes whom it takes, however busy the machine is
    if len(set(words)) > 1:
        detail += f'; in {words.count(word)} of {len(words)} rounds'
        partly = ' partly'
    return f'<span class="{name}{partly}">{SIGNS[name]}</span><br><small>{escape(detail)}</small>'


def misbehaviour_table(data):
    kept, shown = verdicts.fates(data.rows('misbehaviour')), []
    for model in data.models:
        rows = [row for row in data.rows('misbehaviour') if row['model'] == model]
        notes = {row['kind']: row['note'] for row in rows}
        words = kept.get(model, {})
        if words:
            shown.append([escape(model), *(
                misbehaviour_cell(rows, kind, words[kind]) if words.get(kind)
                else escape(notes.get(kind) or 'not measured') for kind in MISCHIEF)])
    return table(['model', *MISCHIEF], shown, 'What becomes of the other clients. Beside none:'
                 ' their messages a second; else, what part of that is left to them, with the'
                 ' spread. Slowed: the two rates differ, by the rule above. No claim is made of that,'
                 ' as wrongdoers take processors, too, and few clients on few of them vary a lot.')


def figure_30_1_table(data):
    """His columns beside ours: a row a design, and then our servers that he had not."""
    rows, printed = data.rows('figure-30.1'), stevens.printed()
    spent = data.ordered(column(rows, 'cpu_s'))
    above = {model: verdicts.spread(values) for model, values in stevens.above(rows).items()}
    def ours(model):
        return ['–'] * 2 if model not in spent else \
            [verdicts.told(spent[model], ''),
             verdicts.told(above[model], '') if model in above else 'not known']
    shown = []
    for place, row in printed.items():
        model = stevens.DESIGNS.get(place, ('', ''))[1]
        shown.append([escape(row['design']), escape(model) or '–', *ours(model),
                      *('–' if row[host] is None else f'{row[host]:g}'
                        for host in stevens.HOSTS)])
    shown += [['–', escape(model), *ours(model), *['–'] * len(stevens.HOSTS)]
              for model in spent if model not in stevens.matched()]
    return table(['design', 'server', 'here: seconds', 'above iterecho', *stevens.HOSTS.values()],
                 shown, 'Seconds of processor time: measured here, in all and above iterecho of the'
                 ' same round, and as printed by Stevens, above his iterative server (W. R. Stevens'
                 ' et al., UNIX Network Programming vol. 1, Figure 30.1). –: none, or not given.')


def lifecycle_table(data):
    """What happened when a wave of clients left at once, over the rounds."""
    shown = []
    for model in data.models:
        rows = [row for row in data.rows('lifecycle')
                if row['model'] == model and row.get('wave') is not None]
        if not rows:
            continue
        cleaned = verdicts.spread([row['clean_ms'] for row in rows])
        shown.append([escape(model), number(rows[0]['wave']),
                      number(max(row['zombies_peak'] for row in rows)),
                      number(max(row['zombies'] for row in rows)), reaped(rows),
                      number(max(row['zombies_left'] for row in rows)),
                      f'at most {verdicts.told(cleaned, " ms")}' if cleaned else 'keeps some'])
    return table(['model', 'clients that left', 'zombies at most', 'of a stopped parent',
                  'reaped after', 'left over', 'as small as before after'], shown,
                 'When all leave at once. Zombies at most: as seen in all rounds, by looks that'
                 ' take milliseconds, so there may be more. Of a stopped parent: those that wait'
                 ' for it when it goes on; reaped after: from then until a look finds none, <'
                 ' where the first does. A pool keeps processes or threads for the next clients.')


def reaped(rows):
    """How long the zombies stayed, with the spread of the rounds."""
    timed = [row for row in rows if row['reap_ms'] is not None]
    if not timed:
        return 'none to reap' if not any(row['zombies'] for row in rows) else 'not all'
    found = verdicts.spread([row['reap_ms'] for row in timed])
    first = all(row['reap_ms'] <= row['look_ms'] for row in timed)
    return f'{"&lt;" if first else "at most"} {verdicts.told(found, " ms")}'


def busy_points(data, workload):
    """[(model, clients)] where the client was so busy that it may have been what was measured."""
    rows = data.rows(workload)
    return [(model, step) for step in sorted({row['clients'] for row in rows if row['clients']})
            for model, found in data.ordered(column(rows, 'client-busy', clients=step)).items()
            if found.median > BUSY]


def busy_clients(workload):
    def told(data):
        points = busy_points(data, workload)
        if not points:
            return ''
        steps = {}
        for model, step in points:
            steps.setdefault(model, []).append(number(step))
        return (f'<p>The client was more than {BUSY} % busy, so that the server could do more than'
                ' was asked of it: ' + escape('; '.join(
                    f'{model} at {verdicts.listed(at)}' for model, at in steps.items()))
                + ' clients.</p>')
    return told


EXTRA = {'connect': busy_clients('connect'), 'ping': busy_clients('ping'),
         'misbehaviour': misbehaviour_table, 'figure-30.1': figure_30_1_table,
         'lifecycle': lifecycle_table}
