"""report.py: the page. One file with everything in it, to be read on a screen of any width, on
paper, by a person or by a program that reads it aloud.

SECTIONS says in order what the page shows: the workload, its plots with what to see in each,
and the table of its numbers. The words of a verdict are verdicts.py's.
"""
import csv
from collections import namedtuple
from html import escape
from pathlib import Path

import plots
import verdicts
from plots import Dots, Lines
from verdicts import column, number
from workloads import MISCHIEF, SCHEDULED, STALL, WORKLOADS

HERE = Path(__file__).resolve().parent

# see: what to look for. draw(data) gives a plot, or None where there is nothing to draw.
Figure = namedtuple('Figure', 'name title see draw')
Section = namedtuple('Section', 'workload title lead figures')


# ---- from rows to plots ------------------------------------------------------------------

def numeric(row):
    """A row of a CSV file with numbers where it has numbers, and None where it has nothing."""
    def value(text):
        try:
            return float(text)
        except ValueError:
            return text or None
    return {name: value(text) for name, text in row.items()}


class Data:
    """All that was measured: rows(workload), and the models in the order of the page."""

    def __init__(self, results, models):
        self.models = list(models)
        self.kept = {name: [numeric(row) for row in each.rows if row['model'] in models]
                     for name, each in results.items()}

    def rows(self, workload):
        return self.kept.get(workload, [])

    def lines(self, workload, value, above=-1, scale=1):
        """{model: [(clients, Spread)]}, for more clients than `above`."""
        rows, series = self.rows(workload), {}
        steps = sorted({row['clients'] for row in rows if isinstance(row['clients'], float)})
        for step in steps:
            if step > above:
                for model, found in column(rows, value, clients=step).items():
                    scaled = verdicts.Spread(*(part * scale for part in found))
                    series.setdefault(model, []).append((step, scaled))
        return {model: series[model] for model in self.models if model in series}

    def ordered(self, spreads):
        return {model: spreads[model] for model in self.models if model in spreads}


def lines_of(workload, value, y, log_y=True, above=-1, log_x=True, x='clients at once', scale=1):
    def draw(data):
        series = data.lines(workload, value, above, scale)
        return Lines(x, y, log_x, log_y, series) if series else None
    return draw


def draw_costs_apart(data):
    """A connection without its one message, beside a message, at the same number of clients."""
    step = verdicts.step_of(data.rows('connect'), 8)
    whole = column(data.rows('connect'), 'cpu_us', clients=step)
    message = column(data.rows('ping'), 'cpu_us', clients=step)
    only = {model: verdicts.Spread(*(part - message[model].median for part in whole[model]))
            for model in whole if model in message and whole[model].low > message[model].median}
    series = {'a message': data.ordered(message), 'a connection without its message':
              data.ordered(only)}
    series = {name: marks for name, marks in series.items() if marks}
    return Dots('us of processor time of the server', series) if message else None


def draw_waits_apart(data):
    """From the start of connecting to the connection, and from the message to its echo."""
    rows = data.rows('connect')
    step = verdicts.step_of(rows, 8)
    series = {'connecting': data.ordered(column(rows, 'connect-p50', clients=step)),
              'the message': data.ordered(column(rows, 'message-p50', clients=step))}
    return Dots('us that half of the clients waited', series) if all(series.values()) else None


def draw_stall(data):
    rows, ticks = data.rows('stall'), {}
    marks = [name for name in ('p50', 'p90', 'p99', 'p99.9', 'max')
             if any(row.get(name) for row in rows)]
    series, dashed = {}, {}
    for model in data.models:
        for loop in ('schedule', 'closed'):
            line = [(place, column(rows, mark, model=model, loop=loop).get(model))
                    for place, mark in enumerate(marks)]
            line = [(place, found) for place, found in line if found]
            if line:
                series[model if loop == 'schedule' else f'{model} closed'] = line
                if loop == 'closed':
                    dashed[f'{model} closed'] = model
    ticks = dict(enumerate(marks))
    return Lines('so many of 100 messages', 'us until the answer', False, True, series, dashed,
                 ticks) if series else None


def draw_figure_30_1(data):
    spent = column(data.rows('figure-30.1'), 'cpu_s')
    return Dots('seconds of processor time for 5,000 connections',
                {'measured here': data.ordered(spent)}) if spent else None


# ---- the page's sections -----------------------------------------------------------------

SECTIONS = [
    Section('connect', 'Connections', 'Each client connects, sends one message, takes the echo'
            ' back and closes; then the next begins.', [
        Figure('connect-rate', 'Connections a second', 'A line higher up serves more. Where it'
               ' stops rising, the processors are busy.',
               lines_of('connect', 'rate', 'connections/s', False)),
        Figure('connect-p50', 'Time of a connection, p50', 'Half of the connections took no'
               ' longer. Beyond the number of processors, twice the clients wait twice as long.',
               lines_of('connect', 'p50', 'us')),
        Figure('connect-p99', 'Time of a connection, p99', 'One in a hundred took longer. A line'
               ' far above its p50 says that some clients wait for others.',
               lines_of('connect', 'p99', 'us')),
        Figure('connect-cpu', 'Processor time of a connection', 'What the server spends on each,'
               ' processes and threads that it made included. Is a process dearer than a thread,'
               ' and a thread than an entry in a table?',
               lines_of('connect', 'cpu_us', 'us of processor time', False)),
        Figure('waits-apart', 'Connecting and the message apart', 'The kernel completes a'
               ' connection before the server knows of it, so connecting is quick everywhere;'
               ' what making a process or a thread takes is part of the wait for the first echo.',
               draw_waits_apart),
    ]),
    Section('ping', 'Messages', 'Clients stay connected and send one message of 64 bytes after'
            ' the other, each when the last has come back.', [
        Figure('ping-rate', 'Messages a second', 'No process or thread is made here, so compare'
               ' the distance between the lines with that above.',
               lines_of('ping', 'rate', 'messages/s', False)),
        Figure('ping-p50', 'Time of a message, p50', 'Half of the messages were back sooner.',
               lines_of('ping', 'p50', 'us')),
        Figure('ping-p99', 'Time of a message, p99', 'One in a hundred took longer: here a'
               ' scheduler that has many processes to choose from shows.',
               lines_of('ping', 'p99', 'us')),
        Figure('ping-cpu', 'Processor time of a message', 'A server that serves several clients at'
               ' one wakeup spends less on each, the more there are.',
               lines_of('ping', 'cpu_us', 'us of processor time', False)),
        Figure('costs-apart', 'Connection and message apart', 'The distance between the two marks'
               ' of a row is what it costs to begin and end a client; the left mark is what it'
               ' costs to serve one.', draw_costs_apart),
    ]),
    Section('held', 'A connection beside many others', 'Eight clients call while more and more'
            ' others are held open and idle. Measured is the processor time of the one thread'
            ' that every new connection has to pass: the parent, or the main thread.', [
        Figure('held-cost', 'Cost of a connection against held ones', 'A flat line: the server'
               ' goes straight to whom a connection concerns. A rising one: it walks all, as the'
               ' textbook does by waitpid(-1), and poll by its list.',
               lines_of('held', 'main_us', 'us of the main thread', False, log_x=False,
                        x='others held open')),
        Figure('held-rate', 'Connections a second against held ones', 'The same as a client sees'
               ' it.', lines_of('held', 'rate', 'connections/s', False, log_x=False,
                                x='others held open')),
    ]),
    Section('lifecycle', 'What a client leaves behind', 'Clients come, stay, and leave together.'
            ' Counted from outside, over the whole tree of processes. Memory is PSS: a page that'
            ' processes share counts once; what the kernel itself takes for a process or a'
            ' socket is not in it.', [
        Figure('memory', 'Memory of the server', 'Processes share most of their pages. What is'
               ' left, for each client, is how steep a line is at its end.',
               lines_of('lifecycle', 'pss_kib', 'MiB (PSS)', True, 0, scale=1 / 1024)),
        Figure('descriptors', 'Open descriptors', 'Where one process serves all, it needs a'
               ' descriptor for each and meets its limit (ulimit -n); where each has a process,'
               ' no process has many.',
               lines_of('lifecycle', 'descriptors', 'descriptors of all processes', True, 0)),
    ]),
    Section('stall', 'A moment of silence', f'The whole server is stopped for {STALL * 1000:.0f}'
            ' ms. A closed loop (dashed) asks again only when it has its answer, so it hardly'
            f' meets the silence; {SCHEDULED:,} messages a second on a fixed schedule (solid)'
            ' count from when each was due.', [
        Figure('stall', 'The same stall, measured in two ways', 'Where dashed lines stay low until'
               ' the last point: what the closed loop did not ask, it did not measure. This is'
               ' coordinated omission.', draw_stall),
    ]),
    Section('misbehaviour', 'What some clients do to the others', 'Four clients send messages'
            ' while 32 others misbehave: reset their connections, close half of them, dribble'
            ' byte by byte, never read (deaf), or connect and vanish (storm). In a crash, the'
            ' process that serves one of five clients dies by SIGSEGV.', []),
    Section('figure-30.1', "Stevens' Figure 30.1, made again", '5,000 connections, at most 10 at'
            ' once, 4,000 bytes each. Measured for a moment and scaled to 5,000.', [
        Figure('figure-30-1', 'Processor time for 5,000 connections', 'Read the order, not the'
               ' seconds: between his machines and this one lie decades. Is the order of the'
               ' designs still his?', draw_figure_30_1),
    ]),
]


# ---- tables ------------------------------------------------------------------------------

def table(head, rows, caption=''):
    """Rows of cells that are safe as they are; the first of each is its head."""
    def cells(row):
        return f'<th scope="row">{row[0]}</th>' + ''.join(f'<td>{cell}</td>' for cell in row[1:])
    top = ''.join(f'<th scope="col">{escape(cell)}</th>' for cell in head)
    return (f'<div class="wide" tabindex="0"><table><caption>{escape(caption)}</caption>'
            f'<thead><tr>{top}</tr></thead><tbody>'
            + ''.join(f'<tr>{cells(row)}</tr>' for row in rows) + '</tbody></table></div>')


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
    return table(['model', about.step, *about.columns, 'note'], shown,
                 'Medians, in brackets the spread')


SIGNS = {'served': '✓ served', 'starved': '✗ starved', 'cut': '✗ cut off'}


def misbehaviour_table(data):
    kept, rows = verdicts.fates(data.rows('misbehaviour')), data.rows('misbehaviour')
    shown = []
    for model in data.models:
        cells = []
        for kind in MISCHIEF[1:]:
            word = kept.get(model, {}).get(kind)
            row = next((row for row in rows if (row['model'], row['kind']) == (model, kind)), {})
            if not word:
                cells.append(escape(row.get('note') or 'not measured'))
                continue
            if kind == 'crash':
                detail = f'{number(row["lost"])} of {number(row["others"])} others lost' + \
                    ('' if row['welcome'] else ', and all that come later')
            elif row.get('p99'):
                detail = f'p99 {number(row["p99"])} us'
            else:
                detail = row.get('note') or 'no answer'
            cells.append(f'<span class="{word}">{SIGNS[word]}</span><br><small>{escape(detail)}'
                         '</small>')
        if model in kept:
            shown.append([escape(model), *cells])
    return table(['model', *MISCHIEF[1:]], shown, 'What becomes of the other clients')


def baseline(spent):
    return spent['iterecho'].median if 'iterecho' in spent else None


def figure_30_1_table(data):
    """His columns, and ours above our own iterative server, where that was measured."""
    with open(HERE / 'unp-figure-30.1.csv', newline='') as file:
        printed = list(csv.DictReader(line for line in file if not line.startswith('#')))
    names = ['solaris', 'dunix', 'bsdos', 'third_edition']
    spent = data.ordered(column(data.rows('figure-30.1'), 'cpu_s'))
    base = baseline(spent)
    ours = [[escape(model), verdicts.told(found, ''),
             'not known' if base is None else number(max(found.median - base, 0))]
            for model, found in spent.items()]
    above = 'The baseline, iterecho, was not measured.' if base is None else \
        'Above the baseline: without what iterecho, the iterative server, took.'
    return table(['measured here', 'seconds', 'above the baseline'], ours, above) + \
        table(['printed by Stevens', 'Solaris', 'DUnix', 'BSD/OS', '3rd edition'],
              [[escape(row['design']), *(escape(row[name]) or '–' for name in names)]
               for row in printed], 'Seconds above the baseline. W. R. Stevens et al., UNIX'
              ' Network Programming vol. 1, Figure 30.1')


def lifecycle_table(data):
    """What happened when a wave of clients left at once."""
    shown = [[escape(row['model']), number(row['wave']), number(row['zombies_peak']),
              f'{row["zombie_ms"]:.0f} ms', number(row['zombies_left']),
              'keeps some' if row['clean_ms'] is None else f'{row["clean_ms"]:.0f} ms']
             for row in data.rows('lifecycle') if row.get('wave') is not None]
    return table(['model', 'clients that left', 'zombies at most', 'one stayed for', 'left over',
                  'as small as before after'], shown,
                 'When all leave at once. A pool keeps processes or threads for the next clients.')


EXTRA = {'misbehaviour': misbehaviour_table, 'figure-30.1': figure_30_1_table,
         'lifecycle': lifecycle_table}


# ---- the page ----------------------------------------------------------------------------

def in_words(plot):
    """What a plot shows, for those who do not see it."""
    if isinstance(plot, Dots):
        parts = [f'{measure}: ' + ', '.join(f'{model} {number(found.median)}'
                                            for model, found in marks.items())
                 for measure, marks in plot.series.items()]
        return f'{plot.x}. ' + '; '.join(parts) + '.'
    parts = [f'{name} from {number(line[0][1].median)} to {number(line[-1][1].median)}'
             for name, line in plot.series.items()]
    return f'{plot.y} against {plot.x}, from the first point to the last: {"; ".join(parts)}.'


def figure_html(figure, data, style, folder):
    plot = figure.draw(data)
    if plot is None:
        return ''
    text = in_words(plot)
    drawn = plots.svg(figure.name, plot, style, figure.title, text)
    (folder / f'{figure.name}.svg').write_text(plots.as_file(drawn) + '\n')
    return (f'<figure><h3>{escape(figure.title)}</h3>{drawn}'
            f'<figcaption>{escape(figure.see)}</figcaption></figure>')


def verdicts_html(found):
    return '<ul class="verdicts">' + ''.join(
        f'<li><strong>{escape(each.claim)}</strong> {escape(each.numbers)}</li>'
        for each in found) + '</ul>' if found else ''


def missing(results, section):
    """What a reader has to know is not there: each note once, with its model."""
    notes = dict.fromkeys((row['model'], row['note']) for row in results[section.workload].rows
                          if row['note'])
    return ''.join(f'<li>{escape(model)}: {escape(note)}</li>' for model, note in notes)


def section_html(section, data, style, folder, results, found):
    rows = data.rows(section.workload)
    if not rows:
        return f'<section><h2>{escape(section.title)}</h2><p>Not measured.</p></section>'
    figures = ''.join(figure_html(figure, data, style, folder) for figure in section.figures)
    extra = EXTRA[section.workload](data) if section.workload in EXTRA else ''
    notes = missing(results, section)
    return (f'<section id="{section.workload}"><h2>{escape(section.title)}</h2>'
            f'<p>{escape(section.lead)}</p>{verdicts_html(found)}'
            f'<div class="figures">{figures}</div>{extra}'
            + (f'<p>Left out or failed:</p><ul>{notes}</ul>' if notes else '')
            + f'<details><summary>The numbers of this section</summary>'
            f'{numbers_table(section.workload, data)}</details></section>')


def summary_html(sections):
    return '<section id="summary"><h2>In short</h2><dl>' + ''.join(
        f'<dt><a href="#{section.workload}">{escape(section.title)}</a></dt>'
        + ''.join(f'<dd>{escape(each.claim)}</dd>' for each in found)
        for section, found in sections if found) + '</dl></section>'


def write(folder, machine, models, known, results):
    """Writes machine.txt, verdicts.csv, the plots, and report.html."""
    data, style = Data(results, models), plots.Style(known)
    (folder / 'machine.txt').write_text(''.join(f'{name}: {value}\n'
                                                for name, value in machine.items()))
    sections = [(section, verdicts.OF[section.workload](data.rows(section.workload)))
                for section in SECTIONS if section.workload in results]
    with open(folder / 'verdicts.csv', 'w', newline='') as file:
        writer = csv.writer(file)
        writer.writerow(['workload', 'claim', 'numbers'])
        for section, found in sections:
            writer.writerows([section.workload, *each] for each in found)
    body = summary_html(sections) + models_html(models) + ''.join(
        section_html(section, data, style, folder, results, found)
        for section, found in sections) + machine_html(machine)
    page = (HERE / 'page.html').read_text()
    where = f'{machine["processor"]}, {machine["cores"]} cores, {machine["kernel"]}'
    for name, text in (('WHEN', escape(machine['when'])), ('WHERE', escape(where)),
                       ('RUN', escape(f'{machine["run"]}; it took {machine["took"]}')),
                       ('BODY', body)):
        page = page.replace(f'@{name}@', text)
    (folder / 'report.html').write_text(page)


def models_html(models):
    return '<section><h2>The servers</h2>' + table(
        ['model', 'what it is'], [[escape(name), escape(model.about)]
                                  for name, model in models.items()]) + '</section>'


def machine_html(machine):
    return '<section><h2>The machine and the run</h2>' + table(
        ['', ''], [[escape(name), escape(value)] for name, value in machine.items()]) + \
        ('<p>Processor time is that of the server and of all processes that it made, from its'
         ' start to its end (wait4): also of those that it left to be reaped by others. The load'
         ' generator shares the processors. All servers were measured in turn, round by round, so'
         ' that a slow minute hit all alike; compare within this page, not with another.</p>'
         '</section>')
