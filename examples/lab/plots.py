"""plots.py: the plots, drawn by gnuplot as SVG that fits into a page.

A plot is a namedtuple below; svg() draws it. The same model has the same look in all of them: a
family has a colour and a shape, its static build the same, hollow and dotted, and the textbook is
as black as the words. The colours are told apart by the colour-blind as far as ten can be, the
shapes by all, and they stand out on white and on black alike.

A plot is 480 units wide with words of 14, so that on a phone, 343 pixels wide, they are still 10.
More than five lines in one are not followed by anybody: then it is drawn as several, side by side,
with the same axes: panels().
"""
import math
import re
import subprocess
from collections import namedtuple
from xml.sax.saxutils import escape

WIDTH, LETTERS = 480, 14
LEGEND_ROW = 21       # units that gnuplot takes for a row of the legend
LEGEND_LETTERS = 20   # the longest entry of which two are side by side; longer ones make one column
COLOURS = ['#0072b2', '#d55e00', '#009e73', '#c0659a', '#a87900', '#808080', '#8060d0', '#6b8e23',
           '#3b8fcb', '#c03b3b']
SHAPES = [7, 5, 9, 13, 11, 15]  # gnuplot's numbers of full shapes; one less is the hollow one
CROSS, RING = 2, 6
PLAIN, DASHED, DOTTED = '1', '(6,4)', '(2,2)'
# Their looks stay what they are, whatever other servers are built; those follow in turn.
FAMILIES = ['forkecho', 'threadecho', 'epollecho', 'preforkecho', 'pollecho', 'iterecho',
            'selectecho', 'threadpoolecho', 'exec']

# The panels of a plot of many models; what is in none of them comes last. REFERENCE is in all.
MOST = 5
REFERENCE = 'forkecho'
KINDS = {'a process for each client': {'forkecho', 'exec', 'textbook'},
         'kept processes, and threads': {'preforkecho', 'threadecho', 'threadpoolecho'},
         'one process for all clients': {'iterecho', 'selectecho', 'pollecho', 'epollecho'},
         'other servers': set()}

# x, y: what the axes are, with their units in words. series: {name: [(x, Spread)]}. A line a model.
# models: {name: model} where the names are not those of all models, but chosen ones; dashed: names
# of lines drawn so. ticks: {x: label} where x is not a number of anything. rings: [(name, x, y)] of
# points to mark, and ring: what the mark says. whole: the series of all panels, if it is one.
Lines = namedtuple('Lines', 'x y log_x log_y series models dashed ticks rings ring whole',
                   defaults=({}, (), None, (), '', None))
# A row a model and a mark a measure. series: {measure: {model: Spread}}.
Dots = namedtuple('Dots', 'x series log', defaults=(True,))
Look = namedtuple('Look', 'colour shape dash')


class Style:
    """Which look a model has: by its place among its families, those of `models` that are new last.
    No two of 60 families have both colour and shape in common."""

    def __init__(self, models):
        bases = [model.removesuffix('-static') for model in models if model != 'textbook']
        self.place = {base: place for place, base in enumerate(dict.fromkeys([*FAMILIES, *bases]))}

    def of(self, model):
        if model == 'textbook':
            return Look('black', CROSS, PLAIN)
        place = self.place[model.removesuffix('-static')]
        shape = SHAPES[(place + place // 30) % len(SHAPES)]  # 30: where colours and shapes meet
        static = model.endswith('-static')
        return Look(COLOURS[place % len(COLOURS)], shape - static, DOTTED if static else PLAIN)


def quoted(text):
    return '"' + text.replace('\\', '\\\\').replace('"', '\\"').replace('_', '\\\\_') + '"'


def block(name, lines):
    return f'{name} << EOD\n' + ''.join(' '.join(map(str, line)) + '\n' for line in lines) + 'EOD\n'


def begin(plot_id, height):
    return (f'set terminal svg size {WIDTH},{height} dynamic enhanced font "sans-serif,{LETTERS}"'
            f' name "{plot_id}"\nset encoding utf8\n'
            'set grid ytics lc rgb "gray" dt 3 lw 0.5\nset border 3\nset tics nomirror\n'
            'set pointintervalbox 0\n')  # from gnuplot 6 on, error bars too have such boxes


def logarithmic(axis, low, high):
    """From one whole power of ten to another, with a tick at each: gnuplot 6 chooses more."""
    first, last = math.floor(math.log10(low)), math.ceil(math.log10(high))
    powers = [f'{10.0 ** power:.10g}' for power in range(first, max(last, first + 1) + 1)]
    ticks = ', '.join(f'"{power}" {power}' for power in powers)
    return f'set logscale {axis} 10\nset {axis}range [{powers[0]}:{powers[-1]}]\n' \
        f'set {axis}tics ({ticks})\n'


def apart(labels, low, high, log):
    """The labels of {x: label}, but none that would touch the next; the last is kept."""
    def place(x):
        return math.log(x) if log else x
    letter = 0.65 * LETTERS * (place(high) - place(low)) / (WIDTH - 80)  # 80: left of the axis
    kept, end = {}, math.inf
    for x, label in sorted(labels.items(), reverse=True):
        fits = place(x) + len(label) / 2 * letter < end
        kept[x] = label if fits else ''
        end = place(x) - (len(label) / 2 + 1) * letter if fits else end
    return kept


def kind_of(model):
    base = model.removesuffix('-static')
    return next((kind for kind, bases in KINDS.items() if base in bases), list(KINDS)[-1])


def panels(plot):
    """[(kind of server, Lines)]: the plot itself, if it has few lines; else each kind beside the
    reference."""
    if not isinstance(plot, Lines) or len(plot.series) <= MOST:
        return [('', plot)]
    found, shared = [], [name for name in plot.series if name == REFERENCE]
    for kind in KINDS:
        own = [name for name in plot.series if kind_of(name) == kind and name not in shared]
        for first in range(0, len(own), MOST - len(shared)):
            names = shared + own[first:first + MOST - len(shared)]
            found.append((kind, plot._replace(
                series={name: plot.series[name] for name in names}, whole=plot.series,
                rings=[ring for ring in plot.rings if ring[0] in names])))
    return found


def labelled(what, log):
    return quoted(f'{what}, logarithmic' if log else what)


def above_zero(found):
    """The ends of spreads that a logarithmic axis can have."""
    return [value for spread in found for value in (spread.low, spread.high) if value > 0]


def y_axis(plot):
    """From zero, or by whole powers of ten. Of panels gnuplot sees one, so it is told of all."""
    found = [spread for line in (plot.whole or plot.series).values() for _, spread in line]
    if plot.log_y and above_zero(found):
        return logarithmic('y', min(above_zero(found)), max(above_zero(found)))
    return f'set yrange [0:{max(spread.high for spread in found) * 1.05 if plot.whole else "*"}]\n'


def x_axis(plot):
    """A tick at each point that was measured, and a little room at both ends."""
    points = sorted({x for line in (plot.whole or plot.series).values() for x, _ in line})
    labels = plot.ticks or {x: f'{x:g}' for x in points}
    low, high = points[0], points[-1]
    if plot.log_x:
        room = (high / low) ** 0.04 if high > low else 2
        low, high = low / room, high * room
    else:
        room = (high - low) * 0.04 or 1
        low, high = low - room, high + room
    labels = apart(labels, low, high, plot.log_x)
    ticks = ', '.join(f'"{label}" {x}' for x, label in sorted(labels.items()))
    return ('set logscale x 10\n' if plot.log_x else '') + \
        f'set xtics ({ticks})\nset xrange [{low}:{high}]\n'


def legend(names):
    """(what draws the legend, its height). gnuplot takes its rows from the plot, so a plot has to
    be as much higher; `width` is because it takes letters for wider than they are."""
    columns = 2 if max(map(len, names)) <= LEGEND_LETTERS else 1
    return (f'set key bmargin center horizontal Left reverse maxcols {columns} samplen 2 width -3'
            ' height 0.4\n', -(-len(names) // columns) * LEGEND_ROW)


def lines_script(plot, style):
    key, rows = legend([*plot.series, plot.ring] if plot.rings else list(plot.series))
    script = begin('plot', 330 + rows) + key
    script += f'set xlabel {labelled(plot.x, plot.log_x)} offset 0,0.6\n'
    script += f'set ylabel {labelled(plot.y, plot.log_y)} offset 1\n'
    script += x_axis(plot) + y_axis(plot)
    drawn = []
    for place, (name, line) in enumerate(plot.series.items()):
        script += block(f'$line{place}', [(x, *found) for x, found in line])
        look = style.of((plot.models or {}).get(name, name))
        dash = DASHED if name in plot.dashed else look.dash
        drawn.append(f'$line{place} using 1:2:3:4 with yerrorlines lc rgb "{look.colour}"'
                     f' pt {look.shape} ps 0.7 lw {1 if name in plot.dashed else 2} dt {dash}'
                     f' title {quoted(name)}')
    if plot.rings:
        script += block('$rings', [(x, y) for _, x, y in plot.rings])
        drawn.append(f'$rings using 1:2 with points lc rgb "black" pt {RING} ps 1.5 lw 1'
                     f' title {quoted(plot.ring)}')
    return script + 'plot ' + ', \\\n  '.join(drawn) + '\n'


def round_ticks(low, high):
    """At round numbers, and four steps from low to high at most: a label may have seven letters,
    whatever font the page is shown in."""
    span = high - low or 1
    unit = 10 ** math.floor(math.log10(span / 4))
    return next(unit * factor for factor in (1, 2, 5, 10, 20) if span <= 4 * unit * factor)


def dots_script(plot, style):
    last = list(plot.series.values())[-1]
    models = sorted(dict.fromkeys(model for marks in plot.series.values() for model in marks),
                    key=lambda model: last[model].median if model in last else 0)
    script = begin('plot', 115 + 24 * len(models) + LEGEND_ROW * ((len(plot.series) + 1) // 2))
    script += f'set xlabel {labelled(plot.x, plot.log)} offset 0,0.6\nunset grid\n'
    found = [spread for marks in plot.series.values() for spread in marks.values()]
    if plot.log and above_zero(found):
        script += logarithmic('x', min(above_zero(found)), max(above_zero(found)))
    else:
        step = round_ticks(min(spread.low for spread in found), max(spread.high for spread in found))
        script += f'set yzeroaxis lt -1\nset xtics {step:g}\n'
    script += 'set grid xtics ytics lc rgb "gray" dt 3 lw 0.5\n'
    script += 'set key bmargin center horizontal Left reverse samplen 1 height 0.4\n' \
        if len(plot.series) > 1 else 'unset key\n'
    rows = {model: len(models) - place for place, model in enumerate(models)}
    script += 'set ytics (' + ', '.join(f'{quoted(m)} {row}' for m, row in rows.items()) + ')\n'
    script += f'set yrange [0.3:{len(models) + 0.7}]\n'
    drawn = []
    for place, (measure, marks) in enumerate(plot.series.items()):
        shape = SHAPES[place]
        for model, found in marks.items():
            name = f'$mark{place}_{rows[model]}'
            script += block(name, [(found.median, rows[model], found.low, found.high)])
            drawn.append(f'{name} using 1:2:3:4 with xerrorbars lc rgb "{style.of(model).colour}"'
                         f' pt {shape} ps 1 lw 2 notitle')
        drawn.append(f'NaN with points lc rgb "#808080" pt {shape} ps 1 title {quoted(measure)}')
    return script + 'plot ' + ', \\\n  '.join(drawn) + '\n'


def svg(plot_id, plot, style, title, text):
    """Draws it, for a page: with a title and a text for those who do not see it, without names
    that another plot of the page has, and in the page's own colour. ValueError if gnuplot
    cannot."""
    script = (lines_script if isinstance(plot, Lines) else dots_script)(plot, style)
    drawn = subprocess.run(['gnuplot'], input=script, capture_output=True, encoding='utf-8',
                           timeout=60, check=False)
    if drawn.returncode != 0 or '</svg>' not in drawn.stdout:
        raise ValueError(f'gnuplot: {drawn.stderr.strip()}')
    return for_a_page(plot_id, drawn.stdout, title, text)


def for_a_page(plot_id, drawn, title, text):
    drawn = drawn[drawn.index('<svg'):]
    drawn = re.sub(r'<title>plot</title>\s*<desc>.*?</desc>',
                   f'<title>{escape(title)}</title><desc>{escape(text)}</desc>', drawn, count=1,
                   flags=re.S)
    label = escape(f'{title}. {text}', {'"': '&quot;'})
    drawn = re.sub(r'<svg\b', f'<svg id="{plot_id}" role="img" aria-label="{label}"', drawn,
                   count=1)
    drawn = re.sub(r'\sxmlns(:xlink)?="[^"]*"', '', drawn).replace('xlink:href', 'href')
    drawn = re.sub(r'''(\bid=['"]|#)(?=gp|gnuplot|textbox|greybox|plot_)''', rf'\g<1>{plot_id}-',
                   drawn)
    drawn = re.sub(r'''\scolor=(['"])black\1''', '', drawn)
    drawn = re.sub(r'''\b(fill|stroke|color)\s*=\s*(['"])(?:black|rgb\(\s*0,\s*0,\s*0\))\2''',
                   r'\1="currentColor"', drawn)
    drawn = re.sub(r'<filter\b.*?</filter>\s*', '', drawn, flags=re.S)
    drawn = re.sub(r'<g [^>]*>\s*</g>\s*', '', drawn)  # gnuplot's groups with nothing in them
    return re.sub(r'\n\s+', '\n', drawn).strip()


def as_file(drawn):
    """The same as a file of its own, which has to say what it is."""
    return drawn.replace('<svg', '<svg xmlns="http://www.w3.org/2000/svg"', 1)
