"""report.py: the page. One file with everything in it, to be read on a screen of any width, on
paper, by a person or by a program that reads it aloud.

SECTIONS says in order what the page shows: the workload, its plots with what to see in each,
and the tables of tables.py. The words of a verdict are verdicts.py's.
"""
import csv
from collections import namedtuple
from html import escape
from pathlib import Path

import drawing
import plots
import stevens
import verdicts
from plots import Dots, Lines
from tables import EXTRA, busy_points, numbers_table, table
from verdicts import BUSY, column, number
from workloads import CONNECTIONS, OTHERS, SCHEDULED, STALL, WRONGDOERS

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

    def rounds(self):
        return len({row['round'] for rows in self.kept.values() for row in rows if row['round']})

    def lines(self, workload, value, above=-1, scale=1):
        """{model: [(clients, Spread)]}, for more clients than `above`: as many as were served, where
        a server serves fewer than were asked for. What it has of so many it has once."""
        rows, series = self.rows(workload), {}
        for step in self.steps(workload):
            served = column(rows, 'served', clients=step)
            for model, found in column(rows, value, clients=step).items():
                line = series.setdefault(model, [])
                clients = served[model].median if model in served else step
                if clients > (line[-1][0] if line else above):
                    scaled = verdicts.Spread(*(part * scale for part in found))
                    line.append((clients, scaled))
        return {model: series[model] for model in self.models if series.get(model)}

    def steps(self, workload):
        return sorted({row['clients'] for row in self.rows(workload)
                       if isinstance(row['clients'], float)})

    def ticks(self, workload, series):
        """{clients: label} of the steps at which a line has a point, and of where the last ends."""
        there = {x for line in series.values() for x, _ in line}
        return {x: f'{x:g}' for x in sorted({*self.steps(workload)} & there | {max(there)})}

    def ordered(self, spreads):
        return {model: spreads[model] for model in self.models if model in spreads}


def lines_of(workload, value, y, log_y=True, above=-1, log_x=True, x='clients at once', scale=1):
    def draw(data):
        series = data.lines(workload, value, above, scale)
        points = {(model, step): found.median for model, line in series.items()
                  for step, found in line}
        rings = [(model, step, points[model, step]) for model, step in
                 busy_points(data, workload) if (model, step) in points]
        return Lines(x, y, log_x, log_y, series, rings=rings, ring=f'busy client ({BUSY} %)',
                     ticks=data.ticks(workload, series)) if series else None
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
    return Dots(f'microseconds ({number(step or 0)} clients at once)', series) if message else None


def draw_waits_apart(data):
    """From the start of connecting to the connection, and from the message to its echo."""
    rows = data.rows('connect')
    step = verdicts.step_of(rows, 8)
    series = {'connecting': data.ordered(column(rows, 'connect-p50', clients=step)),
              'the message': data.ordered(column(rows, 'message-p50', clients=step))}
    what = f'microseconds ({number(step or 0)} clients at once)'
    return Dots(what, series) if all(series.values()) else None


def draw_stall(data):
    """Of two models only, as all lie on one another: one of each kind where it was measured."""
    rows = data.rows('stall')
    marks = [name for name in ('p50', 'p90', 'p99', 'p99.9', 'max')
             if any(row.get(name) for row in rows)]
    some = [model for model in ('forkecho', 'epollecho') if model in data.models]
    series, names, dashed = {}, {}, []
    for loop in ('schedule', 'closed'):
        for model in some or data.models[:2]:
            line = [(place, column(rows, mark, model=model, loop=loop).get(model))
                    for place, mark in enumerate(marks)]
            line = [(place, found) for place, found in line if found]
            if line:
                name = f'{model}, {loop}'
                series[name], names[name] = line, model
                dashed += [name] if loop == 'closed' else []
    if not series:
        return None
    return Lines('percentile', 'microseconds', False, True, series, names, dashed,
                 dict(enumerate(marks)))


def draw_figure_30_1(data):
    """Above the iterative server; in all where that was not measured."""
    rows = data.rows('figure-30.1')
    found = {model: verdicts.spread(values) for model, values in stevens.above(rows).items()}
    what = 'above iterecho' if found else 'in all'
    found = found or column(rows, 'cpu_s')
    return Dots(f'seconds {what} (scaled to {CONNECTIONS:,})',
                {'measured here': data.ordered(found)}, log=False) if found else None


# ---- the page's sections -----------------------------------------------------------------

NO_VERDICT = ('No verdict is drawn from rates and waits: the client shares the processors with the'
              ' server, so they tell of both, and of all else that runs. Verdicts are of the'
              " server's own processor time.")

SECTIONS = [
    Section('connect', 'Connections', 'Each client connects, sends one message, takes the echo'
            ' back and closes; then the next begins. ' + NO_VERDICT, [
        Figure('connect-rate', 'Connections a second', 'A line higher up serves more. Where it'
               ' stops rising, the processors are busy: with the server or, at a point with a'
               ' ring, with the client, and then the server could do more.',
               lines_of('connect', 'rate', 'connections a second', False)),
        Figure('connect-p50', 'Time of a connection, p50', 'Half of the connections took no'
               ' longer. Beyond the number of processors, twice the clients wait twice as long.',
               lines_of('connect', 'p50', 'microseconds')),
        Figure('connect-p99', 'Time of a connection, p99', 'One in a hundred took longer. A line'
               ' far above its p50 says that some clients wait for others.',
               lines_of('connect', 'p99', 'microseconds')),
        Figure('connect-cpu', 'Processor time of a connection', 'What the server spends on each,'
               ' processes and threads that it made included. Is a process dearer than a thread,'
               ' and a thread than an entry in a table? What does exec add to fork, and how much of'
               ' that is the loading of shared libraries, which exec-static has not?',
               lines_of('connect', 'cpu_us', 'microseconds of processor time', False)),
        Figure('waits-apart', 'What half of the clients waited, in two parts',
               'The kernel completes a connection before the server knows of it, so connecting is'
               ' quick everywhere;'
               ' what making a process or a thread takes is part of the wait for the first echo.',
               draw_waits_apart),
    ]),
    Section('ping', 'Messages', 'Clients stay connected and send one message of 64 bytes after'
            ' the other, each when the last has come back. ' + NO_VERDICT, [
        Figure('ping-rate', 'Messages a second', 'No process or thread is made here, so compare'
               ' the distance between the lines with that above.',
               lines_of('ping', 'rate', 'messages a second', False)),
        Figure('ping-p50', 'Time of a message, p50', 'Half of the messages were back sooner.',
               lines_of('ping', 'p50', 'microseconds')),
        Figure('ping-p99', 'Time of a message, p99', 'One in a hundred took longer: here a'
               ' scheduler that has many processes to choose from shows.',
               lines_of('ping', 'p99', 'microseconds')),
        Figure('ping-cpu', 'Processor time of a message', 'Of the whole run, so the opening and'
               ' ending of the clients is in it, spread over their messages. A server that'
               ' serves several clients at one wakeup spends less on each, the more there are.',
               lines_of('ping', 'cpu_us', 'microseconds of processor time', False)),
        Figure('costs-apart', 'Processor time of connection and message apart',
               'One mark of a row is what it costs to serve a message, the other what it costs to'
               ' begin and end a client,'
               ' without its message. On a logarithmic axis the same distance is the same'
               ' ratio.', draw_costs_apart),
    ]),
    Section('held', 'A connection beside many others', 'Eight clients call while more and more'
            ' others are held open and idle. What is measured is the processor time of what'
            ' every new connection has to pass and what is there before and after: the parent that'
            ' forks, the main thread, or the workers of a pool of processes, whose parent never'
            ' touches a connection.', [
        Figure('held-cost', 'Cost of a connection against held ones', 'A flat line: the server'
               ' goes straight to whom a connection concerns. A steep one: it walks all, as the'
               ' textbook does by waitpid(-1), and poll by its list. Threads are in between,'
               ' and differ by twice from one run to the next.',
               lines_of('held', 'main_us', 'microseconds of processor time', False, log_x=False,
                        x='others held open')),
        Figure('held-rate', 'Connections a second against held ones', 'The same as a client sees'
               ' it.', lines_of('held', 'rate', 'connections a second', False,
                                log_x=False, x='others held open')),
    ]),
    Section('lifecycle', 'What a client leaves behind', 'Clients come, stay, and leave together.'
            ' They are counted from outside, over the whole tree of processes. Memory is PSS: a page'
            ' that processes share counts once; what the kernel itself takes for a process or a'
            ' socket is not in it. A line ends where its server serves no more at once.', [
        Figure('memory', 'Memory of the server', 'Processes share most of their pages. How'
               ' steep a line is at its end shows what one more client takes.',
               lines_of('lifecycle', 'pss_kib', 'mebibytes (PSS)', True, 0, scale=1 / 1024)),
        Figure('descriptors', 'Open descriptors of all processes',
               'Where one process serves all, it needs a descriptor for each and meets its limit'
               ' (ulimit -n); where each has a process,'
               ' no process has many.',
               lines_of('lifecycle', 'descriptors', 'open descriptors', True, 0)),
    ]),
    Section('stall', 'A moment of silence', f'The whole server is stopped for {STALL * 1000:.0f}'
            f' ms of {STALL * 4000:.0f}. A closed loop (dashed) asks again only when it has its'
            f' answer, so it hardly meets the silence; {SCHEDULED:,} messages a second on a fixed'
            ' schedule (solid) count from when each was due.', [
        Figure('stall', 'The same stall, measured in two ways', 'Where dashed lines stay low until'
               ' the last point: what the closed loop did not ask, it did not measure. This is'
               ' coordinated omission. Two servers are drawn, as all look alike.', draw_stall),
    ]),
    Section('misbehaviour', 'What some clients do to the others', f'{OTHERS} clients send messages'
            f' while {WRONGDOERS} others misbehave: reset their connections, close half of them,'
            ' dribble byte by byte, never read (nonreading), or connect and vanish (storm). In a'
            f' crash, the process that serves one of {OTHERS + 1} clients dies by SIGSEGV. A server'
            ' that serves fewer at once has as many as it serves: where it is one at a time, one client'
            ' sends beside those that misbehave, and a crash has no others to take.', []),
    Section('figure-30.1', "Stevens' Figure 30.1, made again", 'Connections of 4,000 bytes each,'
            f' at most 10 at once. At least {CONNECTIONS:,} are made, for as long as that takes,'
            f' and the processor time is scaled to {CONNECTIONS:,}.', [
        Figure('figure-30-1', 'Processor time above the iterative server', 'Read the order, not'
               ' the seconds: between his machines and this one lie decades. A mark left of'
               ' zero is cheaper than one at a time: under ten callers, a loop finds several of them'
               ' ready at one wakeup, where the iterative server goes to sleep and is woken for each'
               ' byte that it waits for. A pool is near zero, on either side: it makes nothing for'
               ' a connection, but its workers sleep and are woken, too.',
               draw_figure_30_1),
    ]),
]


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


def absent(workload, plot, data):
    """Who is not in a plot, and why."""
    if isinstance(plot, Lines) and plot.models:
        return ''
    there = plot.series if isinstance(plot, Lines) else \
        {model for marks in plot.series.values() for model in marks}
    why = {row['model']: f' ({row["note"]})' for row in data.rows(workload) if row.get('note')}
    names = [model + why.get(model, '') for model in data.models if model not in there]
    return f' Not in this plot: {verdicts.listed(names)}.' if names else ''


def figure_html(workload, figure, data, style, folder):
    plot = figure.draw(data)
    if plot is None:
        return ''
    drawn, parts = '', plots.panels(plot)
    for place, (kind, panel) in enumerate(parts, 1):
        name = figure.name + (f'-{place}' if kind else '')
        title = figure.title + (f': {kind}' if kind else '')
        svg = plots.svg(f'plot-{name}', panel, style, title, in_words(panel))
        (folder / f'{name}.svg').write_text(plots.as_file(svg) + '\n')
        drawn += f'<div><p class="panel">{escape(kind)}</p>{svg}</div>' if kind else svg
    see = figure.see + absent(workload, plot, data)
    whole = ''
    if len(parts) > 1:
        whole = ' class="whole"'
        drawn = f'<div class="panels">{drawn}</div>'
        see += f' {plots.REFERENCE} is in each part, and all have the same axes.'
    return (f'<figure{whole}><h3>{escape(figure.title)}</h3>'
            f'{drawn}<figcaption>{escape(see)}</figcaption></figure>')


MANY_ROWS = 3  # of numbers are a table, fewer a sentence


def verdicts_html(found):
    def one(verdict):
        if len(verdict.numbers) <= MANY_ROWS and not verdict.head:
            return escape(verdicts.in_words(verdict)) + '</p>'
        head = verdict.head or ['model', 'measured']
        return escape(verdict.note) + '</p>' + table(
            head, [list(map(escape, row)) for row in verdict.numbers], label=verdict.claim)
    return '<ul class="verdicts">' + ''.join(
        f'<li><p><strong>{escape(each.claim)}</strong> {one(each)}</li>'
        for each in found) + '</ul>' if found else ''


def missing(results, section):
    """What a reader has to know is not there: each note once, with its model."""
    notes = dict.fromkeys((row['model'], row['note']) for row in results[section.workload].rows
                          if row['note'])
    return ''.join(f'<li>{escape(model)}: {escape(note)}</li>' for model, note in notes)


def anchor(section):
    """Its id, which has no dot."""
    return section.workload.replace('.', '-')


def section_html(section, data, style, folder, results, found):
    rows = data.rows(section.workload)
    if not rows:
        return f'<section><h2>{escape(section.title)}</h2><p>Not measured.</p></section>'
    figures = ''.join(figure_html(section.workload, figure, data, style, folder)
                      for figure in section.figures)
    extra = EXTRA[section.workload](data) if section.workload in EXTRA else ''
    notes = missing(results, section)
    return (f'<section id="{anchor(section)}"><h2>{escape(section.title)}</h2>'
            f'<p>{escape(section.lead)}</p>{verdicts_html(found)}'
            f'<div class="figures">{figures}</div>{extra}'
            + (f'<p>Left out or failed:</p><ul>{notes}</ul>' if notes else '')
            + f'<details><summary>The numbers of this section</summary>'
            f'{numbers_table(section.workload, data)}</details></section>')


def busy_words(results):
    """That other programs worked while something was measured, and what; '' where it was quiet."""
    taken = {section.title: verdicts.taken([numeric(row) for row in results[section.workload].rows])
             for section in SECTIONS if section.workload in results}
    busy = {title: share for title, share in taken.items() if share > verdicts.QUIET}
    if not busy:
        return ''
    least, most = (f'{share:.0f}' for share in (min(busy.values()), max(busy.values())))
    part = least if least == most else f'{least} to {most}'
    what = 'all of this' if len(busy) == len(taken) else \
        verdicts.listed(f'"{title}"' for title in busy)
    return (f'This machine was busy. Other programs took {part} % of its processors while {what}'
            ' was measured. What that can change has no verdict: measure again when nothing else'
            ' runs.')


def busy_html(results):
    words = busy_words(results)
    return f'<p class="busy"><strong>{escape(words)}</strong></p>' if words else ''


def summary_html(sections, data):
    doubt = f'<p><strong>{verdicts.ONE_ROUND}</strong></p>' if data.rounds() == 1 else ''
    return f'<section id="summary"><h2>In short</h2>{doubt}<dl>' + ''.join(
        f'<dt><a href="#{anchor(section)}">{escape(section.title)}</a></dt>'
        + ''.join(f'<dd>{escape(each.claim)}</dd>' for each in found)
        for section, found in sections if found) + '</dl>' + rules_html() + '</section>'


def rules_html():
    return '<h3>When two numbers differ</h3><ul>' + ''.join(
        f'<li>{escape(rule)}</li>' for rule in verdicts.RULES) + '</ul>'


def write(folder, machine, models, known, results, pictures=''):
    """Writes machine.txt, verdicts.csv, the plots, and report.html, with the pictures that
    gallery.py has drawn."""
    data, style = Data(results, models), plots.Style(known)
    (folder / 'machine.txt').write_text(''.join(f'{name}: {value}\n'
                                                for name, value in machine.items()))
    sections = [(section, verdicts.of(section.workload, data.rows(section.workload)))
                for section in SECTIONS if section.workload in results]
    with open(folder / 'verdicts.csv', 'w', newline='') as file:
        writer = csv.writer(file)
        writer.writerow(['workload', 'claim', 'numbers'])
        for section, found in sections:
            writer.writerows([section.workload, each.claim, verdicts.in_words(each)]
                             for each in found)
    body = busy_html(results) + summary_html(sections, data) + models_html(models) + ''.join(
        section_html(section, data, style, folder, results, found)
        for section, found in sections) + pictures + machine_html(machine)
    where = f'{machine["when"]} on {machine["processor"]}, {machine["cores"]} cores,' \
        f' {machine["kernel"]}.'
    took = f'{machine["run"]}; it took {machine["took"]}.'
    (folder / 'report.html').write_text(
        page_of('Echo servers compared', f'{escape(where)}<br>{escape(took)}', body))


def page_of(title, about, body):
    page = (HERE / 'page.html').read_text()
    for name, text in (('TITLE', title), ('ABOUT', about), ('STYLE', drawing.STYLE.lstrip()),
                       ('BODY', body)):
        page = page.replace(f'@{name}@', text)
    return page


def page_of_pictures(pictures):
    """The pictures of gallery.py alone."""
    return page_of('Echo servers and their processes', 'Drawn by examples/lab/gallery.', pictures)


def models_html(models):
    return '<section><h2>The servers</h2>' + table(
        ['model', 'what it is'], [[escape(name), escape(model.about)]
                                  for name, model in models.items()],
        label='The servers') + '</section>'


def machine_html(machine):
    return '<section><h2>The machine and the run</h2>' + table(
        ['what', 'as it was'],
        [[escape(name), escape(value)] for name, value in machine.items()],
        label='The machine and the run') + \
        ('<p>Processor time is that of the server and of all processes that it made, from its'
         ' start to its end (wait4): also of those that it left to be reaped by others. The load'
         ' generator shares the processors. All servers were measured in turn, round by round, so'
         ' that a slow minute hit all alike; compare within this page, not with another.</p>'
         '</section>')
